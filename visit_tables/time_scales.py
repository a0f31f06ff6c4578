"""Time scales: which one each column of visits has, and how to get from one to another.

``observationStartMJD`` of opsim is UTC: rubin_scheduler's almanac, its sidereal times
and the files that schedview publishes agree with that to 0.02 s. ``obs_start_mjd`` of
consdb is TAI, which is 37 s ahead since 2017. Leap seconds are those of ERFA.
"""

from datetime import UTC, datetime
from functools import cache
from typing import Any

import erfa
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from visit_tables.errors import VisitTablesError

__all__ = [
    "TAI_COLUMNS",
    "UTC_COLUMNS",
    "NaiveTimeError",
    "SiderealTimeError",
    "TimeRangeError",
    "check_sidereal_time",
    "in_utc",
    "mjd_tai_from_utc",
    "mjd_utc",
    "utc64",
    "utc_from_mjd",
    "utc_from_mjd_tai",
    "utc_from_mjd_utc",
]

UTC_COLUMNS = ("observationStartMJD",)
"""Columns of visits that hold Modified Julian Dates in UTC."""
TAI_COLUMNS = ("obs_start_mjd",)
"""Columns of visits that hold Modified Julian Dates in TAI."""

_Mjds = NDArray[np.floating[Any]]
_MJD_ZERO = np.datetime64("1858-11-17T00:00:00", "us")
_US_PER_DAY = 86_400_000_000
_TT_MINUS_TAI_DAYS = 32.184 / 86400
_LONGITUDE_DEG = -70.7494
"""Of the Rubin Observatory, the one that rubin_scheduler takes."""
_LST_TOLERANCE_DEG = 0.075
"""18 s: half of what TAI is ahead of UTC, far above what is rounded or neglected."""


class NaiveTimeError(VisitTablesError, ValueError):
    """A time has no time zone, so that nobody knows which moment it is."""

    def __init__(self, place: str, time: str) -> None:
        super().__init__(place, time)
        self.place = place
        self.time = time

    @override
    def __str__(self) -> str:
        return (
            f"{self.place}: {self.time} has no time zone: "
            "pass an aware datetime, e.g. with tzinfo=UTC"
        )


class TimeRangeError(VisitTablesError, ValueError):
    """A time that the database could not give back as it was."""

    def __init__(self, place: str, time: str, first: str, end: str) -> None:
        super().__init__(place, time, first, end)
        self.place = place
        self.time = time
        self.first = first
        self.end = end

    @override
    def __str__(self) -> str:
        return (
            f"{self.place}: {self.time} is out of range "
            f"({self.first} <= time < {self.end}, UTC); nothing was stored"
        )


class SiderealTimeError(VisitTablesError, ValueError):
    """The times of visits contradict the sidereal time that their file states."""


def in_utc(time: datetime, place: str = "time") -> datetime:
    """Return an aware time in UTC.

    ``place`` says in an error whose time it is.

    Raises
    ------
    NaiveTimeError
        If the time has no time zone.
    TimeRangeError
        If it is before the year 1 or after 9999 in UTC.
    """
    if time.utcoffset() is None:
        raise NaiveTimeError(place, time.isoformat())
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise TimeRangeError(place, time.isoformat(), "0001-01-01", "10000") from None


def utc64(time: datetime, place: str = "time") -> np.datetime64:
    """Return an aware time as ``datetime64[us]``, UTC; a naive one as `in_utc`."""
    return np.datetime64(in_utc(time, place).replace(tzinfo=None), "us")


@cache
def _leaps() -> tuple[NDArray[np.datetime64], NDArray[np.timedelta64]]:
    """Return the UTC dates from which TAI - UTC holds, and those whole seconds."""
    table = erfa.leap_seconds.get()
    table = table[table["year"] >= 1972]
    since = np.array(
        [f"{row['year']:04d}-{row['month']:02d}-01" for row in table], "datetime64[us]"
    )
    seconds = np.rint(table["tai_utc"]).astype(np.int64)
    return since, (seconds * 1_000_000).astype("timedelta64[us]")


def mjd_tai_from_utc(times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Return Modified Julian Dates, TAI, of UTC times.

    Parameters
    ----------
    times
        ``datetime64``, any shape; from 1972 on. NaT becomes NaN.

    Returns
    -------
    mjd_tai
        Days; a double resolves 0.6 microseconds today.
    """
    utc = times.astype("datetime64[us]")
    since, offsets = _leaps()
    tai = utc + _offset(since, offsets, utc)
    days = np.subtract(tai, _MJD_ZERO).astype(np.int64) / _US_PER_DAY
    return np.where(np.isnat(utc), np.nan, days)


def utc_from_mjd_tai(mjd_tai: _Mjds) -> NDArray[np.datetime64]:
    """Return UTC times, ``datetime64[us]``, of Modified Julian Dates TAI.

    Inverse of `mjd_tai_from_utc` to a microsecond; NaN becomes NaT. Within a leap
    second the first second of the next day is returned.
    """
    tai = _calendar(mjd_tai, np.array(_US_PER_DAY))
    since, offsets = _leaps()
    return tai - _offset(since + offsets, offsets, tai)


def utc_from_mjd_utc(mjd_utc: _Mjds) -> NDArray[np.datetime64]:
    """Return UTC times, ``datetime64[us]``, of Modified Julian Dates UTC.

    The day of a leap second is 86,401 s long, as ERFA has it; NaN becomes NaT.
    """
    day = _calendar(np.floor(mjd_utc), np.array(_US_PER_DAY))
    since, offsets = _leaps()
    longer = _offset(since, offsets, day + np.timedelta64(1, "D"))
    longer -= _offset(since, offsets, day)
    return _calendar(mjd_utc, _US_PER_DAY + longer.astype(np.int64))


def utc_from_mjd(column: str, mjd: _Mjds) -> NDArray[np.datetime64]:
    """Return UTC times of a column of `UTC_COLUMNS` or `TAI_COLUMNS`."""
    return utc_from_mjd_tai(mjd) if column in TAI_COLUMNS else utc_from_mjd_utc(mjd)


def mjd_utc(column: str, mjd: _Mjds) -> NDArray[np.float64]:
    """Return Modified Julian Dates UTC of a column, to compare and to find nights."""
    days = np.asarray(mjd, dtype=np.float64)
    if column not in TAI_COLUMNS:
        return days
    since, offsets = _leaps()
    tai = _calendar(days, np.array(_US_PER_DAY))
    ahead = _offset(since + offsets, offsets, tai).astype(np.int64) / _US_PER_DAY
    return np.asarray(days - ahead, dtype=np.float64)


def check_sidereal_time(column: str, mjd: float, lst_deg: float, row: int) -> None:
    """Refuse times that contradict the local sidereal time of the same row.

    Parameters
    ----------
    column, mjd
        When a visit started.
    lst_deg
        Local mean sidereal time then, as the file states it; NaN is not checked.
    row
        Named in the error.

    Raises
    ------
    SiderealTimeError
        If they differ by more than 18 s, half of what TAI is ahead of UTC.
    """
    utc = float(mjd_utc(column, np.array([mjd]))[0])
    tai = float(mjd_tai_from_utc(utc_from_mjd(column, np.array([mjd])))[0])
    zero = erfa.DJM0
    # UT1 is within 0.9 s of UTC
    angle = erfa.gmst06(zero, utc, zero, tai + _TT_MINUS_TAI_DAYS)
    found = (np.degrees(angle) + _LONGITUDE_DEG) % 360
    apart = (lst_deg - found + 180) % 360 - 180
    if abs(apart) > _LST_TOLERANCE_DEG:
        scale = "TAI" if column in TAI_COLUMNS else "UTC"
        raise SiderealTimeError(
            f"row {row}: {column} {mjd:.6f} ({scale}) has the sidereal time "
            f"{found:.4f} deg at Rubin Observatory, but observationStartLST says "
            f"{lst_deg:.4f} deg, {apart * 240:+.0f} s: give {column} in {scale}, or "
            "correct or drop observationStartLST"
        )


def _calendar(days: _Mjds, us_per_day: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Return the dates and times of Modified Julian Dates; NaT for NaN."""
    missing = np.isnan(days)
    given = np.where(missing, 0.0, days)
    whole = np.floor(given)
    of_day = np.rint((given - whole) * us_per_day).astype(np.int64)
    microseconds = whole.astype(np.int64) * _US_PER_DAY + of_day
    times = _MJD_ZERO + microseconds.astype("timedelta64[us]")
    return np.where(missing, np.datetime64("NaT", "us"), times)


def _offset(
    since: NDArray[np.datetime64],
    offsets: NDArray[np.timedelta64],
    times: NDArray[np.datetime64],
) -> NDArray[np.timedelta64]:
    place = np.searchsorted(since, times, side="right") - 1
    return offsets[np.clip(place, 0, len(offsets) - 1)]
