"""UTC microseconds and Modified Julian Dates TAI, both ways, without loss.

A double holds a date of this century to 0.6 us, so that a microsecond survives.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mjd_tai_to_utc", "utc_to_mjd_tai"]

_MJD_EPOCH = np.datetime64("1858-11-17T00:00:00", "us")
_DAY_US = 86_400_000_000
# IERS Bulletin C: TAI - UTC in seconds from each date on
_LEAPS = (
    ("1972-01-01", 10), ("1972-07-01", 11), ("1973-01-01", 12), ("1974-01-01", 13),
    ("1975-01-01", 14), ("1976-01-01", 15), ("1977-01-01", 16), ("1978-01-01", 17),
    ("1979-01-01", 18), ("1980-01-01", 19), ("1981-07-01", 20), ("1982-07-01", 21),
    ("1983-07-01", 22), ("1985-07-01", 23), ("1988-01-01", 24), ("1990-01-01", 25),
    ("1991-01-01", 26), ("1992-07-01", 27), ("1993-07-01", 28), ("1994-07-01", 29),
    ("1996-01-01", 30), ("1997-07-01", 31), ("1999-01-01", 32), ("2006-01-01", 33),
    ("2009-01-01", 34), ("2012-07-01", 35), ("2015-07-01", 36), ("2017-01-01", 37),
)  # fmt: skip
_LEAP_UTC_US = np.array(
    [(np.datetime64(day, "us") - _MJD_EPOCH).astype(np.int64) for day, _ in _LEAPS]
)
_OFFSET_US = np.array([10, *(seconds for _, seconds in _LEAPS)]) * 1_000_000
_LEAP_TAI_US = _LEAP_UTC_US + _OFFSET_US[1:]


def utc_to_mjd_tai(times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Return MJD TAI in days of UTC ``datetime64[us]``; times before 1972 use 10 s."""
    utc_us = (times - _MJD_EPOCH).astype(np.int64)
    tai_us = utc_us + _OFFSET_US[np.searchsorted(_LEAP_UTC_US, utc_us, side="right")]
    days, rest = np.divmod(tai_us, _DAY_US)
    mjd: NDArray[np.float64] = days + rest / float(_DAY_US)
    return mjd


def mjd_tai_to_utc(days: NDArray[np.floating[Any]]) -> NDArray[np.datetime64]:
    """Return UTC ``datetime64[us]`` of MJD TAI in days, to the nearest microsecond."""
    whole = np.floor(days)
    tai_us = whole.astype(np.int64) * _DAY_US
    tai_us += np.rint((days - whole) * _DAY_US).astype(np.int64)
    utc_us = tai_us - _OFFSET_US[np.searchsorted(_LEAP_TAI_US, tai_us, side="right")]
    utc: NDArray[np.datetime64] = _MJD_EPOCH + utc_us.astype("timedelta64[us]")
    return utc
