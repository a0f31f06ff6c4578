"""Times as columns keep them: UTC from aware datetimes, Modified Julian Dates TAI."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.errors import NaiveTimeError

__all__ = ["mjd_tai_from_utc", "utc64", "utc_from_mjd_tai"]

_MJD_ZERO = np.datetime64("1858-11-17T00:00:00", "us")
_US_PER_DAY = 86_400_000_000
# UTC from which TAI - UTC is so many seconds: IERS Bulletin C; none since 2017
_LEAPS = (
    ("1972-01-01", 10), ("1972-07-01", 11), ("1973-01-01", 12), ("1974-01-01", 13),
    ("1975-01-01", 14), ("1976-01-01", 15), ("1977-01-01", 16), ("1978-01-01", 17),
    ("1979-01-01", 18), ("1980-01-01", 19), ("1981-07-01", 20), ("1982-07-01", 21),
    ("1983-07-01", 22), ("1985-07-01", 23), ("1988-01-01", 24), ("1990-01-01", 25),
    ("1991-01-01", 26), ("1992-07-01", 27), ("1993-07-01", 28), ("1994-07-01", 29),
    ("1996-01-01", 30), ("1997-07-01", 31), ("1999-01-01", 32), ("2006-01-01", 33),
    ("2009-01-01", 34), ("2012-07-01", 35), ("2015-07-01", 36), ("2017-01-01", 37),
)  # fmt: skip
_FROM_UTC = np.array([day for day, _ in _LEAPS], "datetime64[us]")
_OFFSETS = np.array([seconds for _, seconds in _LEAPS], np.int64) * 1_000_000
_FROM_TAI = _FROM_UTC + _OFFSETS.astype("timedelta64[us]")


def utc64(time: datetime, place: str = "time") -> np.datetime64:
    """Return an aware time as ``datetime64[us]``, UTC.

    ``place`` says in an error whose time it is.

    Raises
    ------
    NaiveTimeError
        If the time has no time zone.
    """
    if time.utcoffset() is None:
        raise NaiveTimeError(place, time.isoformat())
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")


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
    tai = utc + _offset(_FROM_UTC, utc)
    days = np.subtract(tai, _MJD_ZERO).astype(np.int64) / _US_PER_DAY
    return np.where(np.isnat(utc), np.nan, days)


def utc_from_mjd_tai(mjd_tai: NDArray[np.floating[Any]]) -> NDArray[np.datetime64]:
    """Return UTC times, ``datetime64[us]``, of Modified Julian Dates TAI.

    Inverse of `mjd_tai_from_utc` to a microsecond; NaN becomes NaT. Within a leap
    second the first second of the next day is returned.
    """
    missing = np.isnan(mjd_tai)
    days = np.where(missing, 0.0, mjd_tai)
    whole = np.floor(days)
    microseconds = whole.astype(np.int64) * _US_PER_DAY + np.rint(
        (days - whole) * _US_PER_DAY
    ).astype(np.int64)
    tai = _MJD_ZERO + microseconds.astype("timedelta64[us]")
    utc = tai - _offset(_FROM_TAI, tai)
    return np.where(missing, np.datetime64("NaT", "us"), utc)


def _offset(
    since: NDArray[np.datetime64], times: NDArray[np.datetime64]
) -> NDArray[np.timedelta64]:
    place = np.searchsorted(since, times, side="right") - 1
    offsets = _OFFSETS[np.clip(place, 0, len(_OFFSETS) - 1)]
    return offsets.astype("timedelta64[us]")
