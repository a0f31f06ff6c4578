"""The night (``day_obs``) of a date, in every spelling, and of each visit of a table.

``day_obs`` is the calendar date at UTC-12 (SITCOMTN-032): the date of
``floor(MJD - 0.5)`` for a UTC MJD. Nights are held as whole MJD numbers.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from operator import index
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from visit_tables.columns import Batch, UnsupportedColumnError
from visit_tables.errors import VisitTablesError
from visit_tables.time_scales import in_utc, mjd_utc

__all__ = [
    "DAY_OBS_ZONE",
    "TIME_COLUMNS",
    "DayObs",
    "DayObsError",
    "NoTimeColumnError",
    "date_of_mjd",
    "day_obs_at",
    "dayobs_to_date",
    "mjd_of_date",
    "night_column",
    "night_mjds",
    "today_day_obs",
]


DAY_OBS_ZONE = timezone(timedelta(hours=-12))
"""The zone whose calendar date is ``day_obs`` (SITCOMTN-032)."""


@runtime_checkable
class SupportsToDatetime(Protocol):
    """What we need of ``astropy.time.Time``, so that it need not be imported."""

    def to_datetime(self, timezone: timezone) -> datetime | NDArray[np.object_]:
        """Return the time, or an array of times, in a zone."""
        ...


DayObs: TypeAlias = str | date | int | np.integer | SupportsToDatetime
"""The accepted spellings of a night."""


class DayObsError(VisitTablesError, ValueError, AssertionError):
    """A value is not a night; it is an AssertionError because the original's was."""

    def __init__(self, value: object) -> None:
        super().__init__(value)
        self.value = value

    @override
    def __str__(self) -> str:
        return (
            f"{self.value!r} is not a day_obs: give a date, YYYY-MM-DD, "
            "the integer YYYYMMDD or one astropy Time"
        )


def dayobs_to_date(dayobs: DayObs) -> date:
    """Return a night as a date, from any of its accepted spellings.

    Parameters
    ----------
    dayobs
        A date; a datetime, whose date is taken as it stands, whatever its zone; an
        ISO text; an integer YYYYMMDD of Python or numpy; or an astropy ``Time``,
        scalar or of one element, whose date at UTC-12 is taken.

    Returns
    -------
    day
        Calendar date at UTC-12, which is the local date of the evening.

    Raises
    ------
    DayObsError
        If the value is none of these, or no such day exists.
    """
    match dayobs:
        case bool() | np.bool_():
            raise DayObsError(dayobs)
        case datetime():
            return dayobs.date()
        case date():
            return dayobs
        case str():
            return _date_of_text(dayobs)
        case int() | np.integer():
            return _date_of_number(index(dayobs))
        case SupportsToDatetime():
            return _date_of_time(dayobs)
        case _:
            raise DayObsError(dayobs)


def _date_of_text(text: str) -> date:
    try:
        return datetime.fromisoformat(text).date()
    except ValueError as error:
        raise DayObsError(text) from error


def _date_of_number(number: int) -> date:
    try:
        return date(number // 10000, number // 100 % 100, number % 100)
    except (OverflowError, ValueError) as error:
        raise DayObsError(number) from error


def _date_of_time(time: SupportsToDatetime) -> date:
    found = time.to_datetime(timezone=DAY_OBS_ZONE)
    if isinstance(found, np.ndarray):
        if found.size != 1:
            raise DayObsError(time)
        found = found.item()
    if not isinstance(found, datetime):
        raise DayObsError(time)
    return found.date()


def day_obs_at(time: datetime, place: str = "time") -> date:
    """Return the night that a moment belongs to; ``place`` is for the error.

    Raises
    ------
    NaiveTimeError
        If the time has no time zone.
    """
    return in_utc(time, place).astimezone(DAY_OBS_ZONE).date()


def today_day_obs() -> date:
    """Return the current night, whatever the zone of this computer."""
    return day_obs_at(datetime.now(UTC))


TIME_COLUMNS = ("day_obs", "obs_start_mjd", "observationStartMJD")
"""Columns that tell the night, the first present is used."""

_MJD_EPOCH = date(1858, 11, 17)


class NoTimeColumnError(UnsupportedColumnError):
    """A table of visits has no column that tells the night."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(", ".join(TIME_COLUMNS), f"not among {sorted(columns)}")

    @override
    def __str__(self) -> str:
        return f"visits lack a time: none of {self.column} {self.reason}"


def date_of_mjd(mjd: int) -> date:
    """Return the calendar date of a whole MJD."""
    return _MJD_EPOCH + timedelta(days=int(mjd))


def mjd_of_date(day: date) -> int:
    """Return the whole MJD of a calendar date."""
    return (day - _MJD_EPOCH).days


def night_column(columns: Collection[str]) -> str:
    """Return the column that tells the night.

    Raises
    ------
    NoTimeColumnError
        If there is none.
    """
    for name in TIME_COLUMNS:
        if name in columns:
            return name
    raise NoTimeColumnError(list(columns))


def night_mjds(batch: Batch) -> NDArray[np.int64]:
    """Return the night of every visit as the whole MJD of its ``day_obs``.

    Parameters
    ----------
    batch
        Visits with one of `TIME_COLUMNS`. A ``day_obs`` is a date, an ISO text, or
        an integer YYYYMMDD; the others are MJD, days, each in its time scale.

    Raises
    ------
    UnsupportedColumnError
        If there is no such column, or a visit has no valid night.
    """
    name = night_column(batch)
    values = batch[name]
    if name != "day_obs":
        if not np.all(np.isfinite(values.astype(np.float64))):
            raise UnsupportedColumnError(name, "holds times that are not finite")
        days = mjd_utc(name, values.astype(np.float64))
        return np.floor(days - 0.5).astype(np.int64)
    found, inverse = np.unique(values, return_inverse=True)
    known = [_night_of_day_obs(day) for day in found]
    return np.array(known, dtype=np.int64)[inverse.reshape(-1)]


def _night_of_day_obs(value: np.generic) -> int:
    try:
        if value.dtype.kind == "S":  # MISSING_TEXT is not a date, either
            return mjd_of_date(date.fromisoformat(value.item().decode()[:10]))
        if value.dtype.kind == "M":
            return mjd_of_date(value.astype("datetime64[D]").item())
        number = int(value.item())
        return mjd_of_date(date(number // 10000, number // 100 % 100, number % 100))
    except (AttributeError, TypeError, ValueError) as error:
        message = f"holds {value!s}, which is not a date"
        raise UnsupportedColumnError("day_obs", message) from error
