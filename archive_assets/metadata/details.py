"""The columns of each kind of sequence, checked before they are stored."""

from collections.abc import Mapping
from datetime import date
from typing import TypeAlias, TypedDict
from uuid import UUID

from archive_assets.metadata.errors import UnknownFieldError
from archive_assets.metadata.sequences import own_columns
from archive_assets.metadata.values import (
    checked_hash,
    checked_name,
    checked_text,
    checked_uuid,
    json_kwargs,
    optional_day,
)
from pipeline_runtime.urls import check_url
from visit_tables.day_obs import DayObs

__all__ = ["Day", "Details", "checked_details", "checked_field"]

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
    elif field == "telescope":
        checked = checked_name(value, "telescope")
    elif isinstance(value, str):
        if field.endswith("_url"):
            check_url(value, field)
        checked = checked_text(value, field, allow_empty=field != "visitseq_label")
    return checked
