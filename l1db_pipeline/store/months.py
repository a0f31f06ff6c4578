"""Calendar months (UTC) of visit time, the unit in which history is kept or expires."""

from typing import Any

import numpy as np

__all__ = ["month_of", "starts"]

_Months = Any  # datetime64[M], one or an array: numpy's types do not tell units


def month_of(times: Any) -> _Months:
    """Return the month of a time, or of each of an array."""
    return times.astype("datetime64[M]")


def starts(month: _Months) -> np.datetime64:
    """Return when a month begins, in microseconds."""
    first: np.datetime64 = month.astype("datetime64[us]")
    return first
