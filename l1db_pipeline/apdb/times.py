"""Times of astropy as the store takes them, and the units that they name."""

from datetime import UTC, datetime

import numpy as np
from astropy.time import Time

from visit_tables.time_scales import utc_from_mjd_tai

__all__ = [
    "exposure_of_unit",
    "mjd_tai",
    "unit_id",
    "unix_tai_of_unit",
    "utc_of_mjd_tai",
]

_JD_1970 = 2_440_587.5
_US_PER_DAY = 86_400_000_000
_PLACES = 1024


def mjd_tai(time: Time) -> float:
    """Return the double that an APDB keeps of a time."""
    return float(time.tai.mjd)


def utc_of_mjd_tai(mjd: float) -> datetime:
    """Return an aware time, to a microsecond."""
    (found,) = utc_from_mjd_tai(np.array([mjd])).tolist()
    aware: datetime = found.replace(tzinfo=UTC)
    return aware


def unit_id(time: Time, place: int) -> int:
    """Return the number of a unit of storing: TAI in microseconds, and a place.

    Parameters
    ----------
    time
        Of the visit, to 0.1 ns as astropy has it.
    place
        The detector, less than 1024.
    """
    tai = time.tai
    # whole days apart from the rest, so that no microsecond is rounded away
    first, second = float(tai.jd1), float(tai.jd2)
    day = round(first - _JD_1970)
    rest = (first - _JD_1970 - day) + second
    return (day * _US_PER_DAY + round(rest * _US_PER_DAY)) * _PLACES + place


def exposure_of_unit(number: int) -> int:
    """Return the number that all units of one time have in common."""
    return number // _PLACES * _PLACES


def unix_tai_of_unit(number: int) -> float:
    """Return the time that is in a unit's number, TAI seconds since 1970."""
    return number // _PLACES / 1e6
