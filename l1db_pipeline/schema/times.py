"""The range of times that a column holds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.schema.model import Datatype
from visit_tables.time_scales import TimeRangeError

__all__ = ["TIME_RANGES", "check_times_fit"]

TIME_RANGES: Mapping[Datatype, tuple[np.datetime64, np.datetime64]] = MappingProxyType(
    {
        # the last day is left out: the end of a range that is read may be in it
        Datatype.TIMESTAMP: (
            np.datetime64("1970-01-01", "us"),
            np.datetime64("9999-12-31", "us"),
        ),
        # whole leap seconds from 1972 on; a double of 65,536 days or more, as they
        # are at this end, would no longer give back every microsecond
        Datatype.MJD_TAI: (
            np.datetime64("1972-01-01", "us"),
            np.datetime64("2038-04-23", "us"),
        ),
    }
)
"""First time that a column of a type holds, and the one from which it holds none."""


def check_times_fit(
    times: NDArray[Any], datatype: Datatype, place: str, mask: Any = False
) -> None:
    """Refuse times that a column of a type does not hold.

    Parameters
    ----------
    times
        ``datetime64[us]``, UTC.
    place
        Says in an error whose times they are.
    mask
        Where there is no time.

    Raises
    ------
    TimeRangeError
        If one is out of `TIME_RANGES`.
    """
    first, end = TIME_RANGES[datatype]
    bad = np.flatnonzero(((times < first) | (times >= end)) & ~np.asarray(mask))
    if len(bad):
        row = f" in row {bad[0]}" if times.ndim else ""
        value = times.reshape(-1)[bad[0]]
        raise TimeRangeError(f"{place}{row}", str(value), str(first), str(end))
