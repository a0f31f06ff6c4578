"""Times as columns keep them: UTC, from aware datetimes."""

from datetime import UTC, datetime

import numpy as np

from l1db_pipeline.errors import NaiveTimeError

__all__ = ["utc64"]


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
