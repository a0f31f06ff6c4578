"""What makes rows visits: one rule for the AP reader, the archive and its checks.

A visit has a time and a place, under opsim's names or consdb's, both finite and within
their limits; the first row's time agrees with its sidereal time, where a file has it.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visit_tables.time_scales import SiderealTimeError, check_sidereal_time

__all__ = [
    "LST",
    "POINTING_NAMES",
    "numbers_of",
    "pointing_names",
    "pointing_problems",
    "sidereal_problems",
]

POINTING_NAMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "start": ("observationStartMJD", "obs_start_mjd"),
        "ra": ("fieldRA", "s_ra"),
        "dec": ("fieldDec", "s_dec"),
    }
)
"""What each visit has, and its names: opsim's, and consdb's."""
LST = "observationStartLST"
_LIMITS = {"start": (41317.0, 100_000.0), "ra": (0.0, 360.0), "dec": (-90.0, 90.0)}
"""MJD from 1972 on, whence UTC has whole leap seconds; deg."""

_Columns = Mapping[str, NDArray[Any]]


def pointing_names(columns: _Columns) -> dict[str, str]:
    """Return the name that each of `POINTING_NAMES` has in a table that has it."""
    return {
        what: name
        for what, names in POINTING_NAMES.items()
        if (name := next((n for n in names if n in columns), None)) is not None
    }


def numbers_of(columns: _Columns, name: str) -> NDArray[np.float64]:
    """Return a column of numbers.

    Raises
    ------
    ValueError
        If it holds texts.
    """
    values = columns[name]
    if values.dtype.kind not in "biufO":
        raise ValueError(f"{name} is not a number: it holds {values.dtype.name}")
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not a number: {error}") from error


def pointing_problems(columns: _Columns) -> list[str]:
    """Return what is wrong with visits; nothing of sound ones, or of no row.

    Parameters
    ----------
    columns
        Equally long arrays, of which those of `POINTING_NAMES` and `LST` count.
    """
    names = pointing_names(columns)
    lacking = [" (or ".join(n) + ")" for w, n in POINTING_NAMES.items()
               if w not in names]  # fmt: skip
    if lacking:
        return [f"lacks {', '.join(lacking)}"]
    found = [*_values_out_of_range(columns, names)]
    return found or [*sidereal_problems(columns)]


def _values_out_of_range(columns: _Columns, names: Mapping[str, str]) -> Iterator[str]:
    for what, (low, high) in _LIMITS.items():
        try:
            values = numbers_of(columns, names[what])
        except ValueError as error:
            yield str(error)
            continue
        bad = ~((values >= low) & (values <= high))  # true for NaN, which NULL is
        if bad.any():
            row = int(np.argmax(bad))
            yield (
                f"row {row} (of {int(bad.sum())} such rows): {names[what]} is "
                f"{values[row]}, not within {low:g}..{high:g}"
            )


def sidereal_problems(columns: _Columns) -> Iterator[str]:
    """Yield how the time of the first row contradicts its sidereal time, if so."""
    start = pointing_names(columns).get("start")
    if start is None or LST not in columns or not len(columns[start]):
        return
    try:
        mjd, lst = (numbers_of(columns, n)[0] for n in (start, LST))
        if np.isfinite(mjd):
            check_sidereal_time(start, float(mjd), float(lst), 0)
    except (SiderealTimeError, ValueError) as error:
        yield str(error)
