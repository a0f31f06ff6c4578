"""What makes rows visits: one rule for the AP reader, the archive and its checks.

A visit has a time and a place, under opsim's names or consdb's, both finite and within
their limits; the first row's time agrees with its sidereal time, where a file has it.
The archive takes tables that lack some of it, and none that contradict it.
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
    "given_problems",
    "numbers_of",
    "pointing_names",
    "pointing_problems",
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
    return found or [*_sidereal_problems(columns)]


def given_problems(columns: _Columns, *, first_row: int = 0) -> list[str]:
    """Return what is wrong with what a table of an archive does give of its visits.

    An archive also keeps tables of exposures that have no pointing: a column or value
    that is missing is no problem here, and is one to those who need it.

    Parameters
    ----------
    columns
        As for `pointing_problems`, a batch of them.
    first_row
        Row of the table that the batch begins with.
    """
    names = pointing_names(columns)
    found = [*_values_out_of_range(columns, names, first_row, may_lack=True)]
    return found or [*(_sidereal_problems(columns) if not first_row else ())]


def _values_out_of_range(
    columns: _Columns,
    names: Mapping[str, str],
    first_row: int = 0,
    *,
    may_lack: bool = False,
) -> Iterator[str]:
    for what, name in names.items():
        low, high = _LIMITS[what]
        try:
            values = numbers_of(columns, name)
        except ValueError as error:
            yield str(error)
            continue
        bad = ~((values >= low) & (values <= high))  # true for NaN, which NULL is
        if may_lack:
            bad &= ~np.isnan(values)
        if bad.any():
            row = int(np.argmax(bad))
            yield (
                f"row {first_row + row} (of {int(bad.sum())} such rows): {name} is "
                f"{values[row]}, not within {low:g}..{high:g}"
            )


def _sidereal_problems(columns: _Columns) -> Iterator[str]:
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
