"""Check and convert what callers pass before it reaches the database."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TypeAlias, TypedDict
from uuid import UUID

from archive_assets.metadata.errors import InvalidValueError, UnknownFieldError
from archive_assets.metadata.sequences import own_columns
from pipeline_runtime.urls import check_url, check_words
from visit_tables.day_obs import DayObs, DayObsError, dayobs_to_date
from visit_tables.time_scales import in_utc

__all__ = [
    "JSON_DUMP_LIMIT",
    "Day",
    "Details",
    "checked_details",
    "checked_field",
    "checked_hash",
    "checked_name",
    "checked_nights",
    "checked_tags",
    "checked_text",
    "checked_time",
    "checked_url",
    "checked_uuid",
    "json_kwargs",
    "optional_day",
    "time_of_text",
]


JSON_DUMP_LIMIT = 4096

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_MAX_TEXT_BYTES = 1 << 20
_SHA256_BYTES = 32


def checked_text(text: object, what: str, *, allow_empty: bool = False) -> str:
    """Return a text that PostgreSQL can store, or say what is wrong with it.

    Raises
    ------
    InvalidValueError
        If it is not text, is empty, is over 1 MiB, or holds NUL or half a
        surrogate pair.
    CredentialsError
        If a URL in it holds credentials: all who read the archive can read it.
    """
    if not isinstance(text, str):
        raise InvalidValueError(f"{what} must be text, not {type(text).__name__}")
    if not text.strip() and not allow_empty:
        raise InvalidValueError(f"{what} must not be empty")
    if "\0" in text:
        raise InvalidValueError(f"{what} must not hold a NUL character")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidValueError(f"{what} is not valid Unicode: {error}") from error
    if size > _MAX_TEXT_BYTES:
        raise InvalidValueError(f"{what} has {size} bytes; at most {_MAX_TEXT_BYTES}")
    check_words(text, what)
    return text


def checked_url(url: object, what: str) -> str:
    """Return a URL that PostgreSQL can store and that holds no credentials.

    Raises
    ------
    InvalidValueError
        As `checked_text`.
    CredentialsError
        If it holds a key, a password or a signature.
    """
    check_url(url, what)
    return checked_text(url, what)


def checked_name(name: object, what: str) -> str:
    """Return a name that may become part of a path: ASCII letters, digits, ``_.-``.

    Raises
    ------
    InvalidValueError
        If it holds anything else, starts with a dot or dash, or is over 100 long.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidValueError(
            f"{what} {name!r} is not usable: letters, digits, '_', '.', '-' only, "
            "starting with a letter or digit, at most 100"
        )
    return name


def checked_tags(tags: object) -> list[str]:
    """Return the tags in their order, each once.

    Raises
    ------
    InvalidValueError
        If a tag is not text or is empty, or if one string is given for a sequence.
    """
    if isinstance(tags, str) or not hasattr(tags, "__iter__"):
        raise InvalidValueError(f"tags must be a sequence of texts, not {tags!r}")
    return list(dict.fromkeys(checked_text(tag, "a tag") for tag in tags))


def checked_uuid(value: object) -> UUID:
    """Return a UUID given as such or as text.

    Raises
    ------
    InvalidValueError
        If it is neither.
    """
    if isinstance(value, UUID):
        return value
    try:
        return UUID(str(value))
    except ValueError as error:
        raise InvalidValueError(f"{value!r} is not a UUID") from error


def checked_hash(value: object, what: str) -> bytes:
    """Return a SHA-256 of 32 bytes.

    Raises
    ------
    InvalidValueError
        If it is not bytes, or not 32 of them.
    """
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InvalidValueError(f"{what} must be bytes, not {type(value).__name__}")
    if len(value) != _SHA256_BYTES:
        raise InvalidValueError(f"{what} must have 32 bytes, not {len(value)}")
    return bytes(value)


def checked_time(value: object) -> datetime | None:
    """Return a time with its zone; None stays None.

    Parameters
    ----------
    value
        Aware datetime, or scalar astropy ``Time`` of any scale.

    Raises
    ------
    NaiveTimeError
        If it has no time zone.
    InvalidValueError
        If it is masked, not scalar, or no time at all.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        in_utc(value, "creation_time")
        return value
    utc = getattr(value, "utc", None)  # of an astropy Time, not imported here
    if utc is None:
        raise InvalidValueError(f"{value!r} is not a time")
    if getattr(value, "masked", False):
        raise InvalidValueError("the creation time is masked")
    converted = utc.to_datetime(timezone=UTC)
    if not isinstance(converted, datetime):
        if getattr(converted, "size", 0) != 1:
            raise InvalidValueError(f"one creation time is needed, not {value!r}")
        converted = converted.item()
    time: datetime = converted
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def time_of_text(text: str) -> datetime:
    """Return an ISO time; one without a zone is in UTC, as the original's users write.

    Raises
    ------
    InvalidValueError
        If it is not ISO.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidValueError(f"{text!r} is not an ISO time") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def optional_day(value: DayObs | None, what: str) -> date | None:
    """Return a day_obs of any spelling as a date; None stays None.

    Raises
    ------
    InvalidValueError
        If it is not a day.
    """
    if value is None:
        return None
    try:
        return dayobs_to_date(value)
    except DayObsError as error:
        raise InvalidValueError(f"{what} is not a day: {error}") from error


def checked_nights(
    first: DayObs | None, last: DayObs | None
) -> tuple[date | None, date | None]:
    """Return the first and last day_obs, in order.

    Raises
    ------
    InvalidValueError
        If either is not a day, or the first is after the last.
    """
    first_day = optional_day(first, "first_day_obs")
    last_day = optional_day(last, "last_day_obs")
    if first_day is not None and last_day is not None and first_day > last_day:
        raise InvalidValueError(
            f"first_day_obs {first_day} is after last_day_obs {last_day}"
        )
    return first_day, last_day


def json_kwargs(kwargs: Mapping[str, object]) -> dict[str, object]:
    """Return arguments as JSON can hold them.

    A value that JSON cannot say, or that takes more than 4096 characters, becomes
    ``["Not json serializable", repr(value)]``, the text cut to 4096.
    """
    return {str(name): _json_value(value) for name, value in kwargs.items()}


def _json_value(value: object) -> object:
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        text = None
    if text is None or len(text) > JSON_DUMP_LIMIT or "\\u0000" in text:
        shown = repr(value).replace("\0", "\\x00")
        return ["Not json serializable", shown[:JSON_DUMP_LIMIT]]
    return value


Day: TypeAlias = DayObs | None
"""A night in any of its spellings, or none."""
_DAYS = ("first_day_obs", "last_day_obs", "parent_last_day_obs",
         "last_early_day_obs", "first_late_day_obs")  # fmt: skip


class Details(TypedDict, total=False):
    """Columns that a sequence has by its kind; all are optional."""

    scheduler_version: str | None
    config_url: str | None
    conda_env_sha256: bytes | None
    parent_visitseq_uuid: UUID | str | None
    sim_runner_kwargs: Mapping[str, object] | None
    parent_last_day_obs: Day
    query: str | None
    last_early_day_obs: Day
    first_late_day_obs: Day
    early_parent_uuid: UUID | str
    late_parent_uuid: UUID | str


def checked_details(kind: str, details: Mapping[str, object]) -> dict[str, object]:
    """Return the columns of a kind's own table, checked; without those that are None.

    Raises
    ------
    UnknownTableError
        If there is no such kind.
    UnknownFieldError
        If the kind has no such column.
    InvalidValueError
        If a value cannot be stored.
    """
    own = own_columns(kind)
    given = {name: value for name, value in details.items() if value is not None}
    for name in given:
        if name not in own:
            raise UnknownFieldError(name, own)
    return {name: checked_field(name, value) for name, value in given.items()}


def checked_field(field: str, value: object) -> object:
    """Return a new value of a column, checked as far as its name tells."""
    checked = value
    if value is None:
        return None
    if field in _DAYS:
        day = value if isinstance(value, date | int) else str(value)
        checked = optional_day(day, field)
    elif field.endswith("sha256"):
        checked = checked_hash(value, field)
    elif field.endswith("_uuid"):
        checked = checked_uuid(value)
    elif field == "sim_runner_kwargs" and isinstance(value, Mapping):
        checked = json_kwargs(value)
        check_words(json.dumps(checked), field)
    elif field == "telescope":
        checked = checked_name(value, "telescope")
    elif isinstance(value, str):
        if field.endswith("_url"):
            check_url(value, field)
        checked = checked_text(value, field, allow_empty=field != "visitseq_label")
    return checked
