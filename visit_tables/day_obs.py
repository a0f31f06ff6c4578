"""The night of a date: ``day_obs``, in every spelling that callers use."""

from datetime import date, datetime, timedelta, timezone
from operator import index
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from visit_tables.errors import VisitTablesError

__all__ = ["DAY_OBS_ZONE", "DayObs", "DayObsError", "dayobs_to_date"]

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
    """A value is no night; it is an AssertionError because the original's was."""

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
