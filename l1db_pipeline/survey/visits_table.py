"""When and where a survey looked: the visits of an opsim file or a visits.h5.

Times
-----
A visit's time here is UTC and the middle of the visit where the file gives its
duration, else its start. `visit_tables.time_scales` knows the scale of each column.

Ids
---
An id comes from the visit's own row, so that it is the same whatever other visits a
file has: ``day_obs * 100000 + n``, day_obs as YYYYMMDD (UTC-12). Consdb's ``visit_id``
is of that form already; else n is the file's own number (``observationId``) modulo
99,999, plus 1; of a file without numbers n is the second of the night, from 1.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.survey.visits_files import VisitsFileError, read_columns
from visit_tables.time_scales import (
    SiderealTimeError,
    check_sidereal_time,
    utc_from_mjd,
)

__all__ = ["VisitsFileError", "VisitsTable", "read_visits_table"]

_NAMES: Mapping[str, tuple[str, ...]] = {
    "start": ("observationStartMJD", "obs_start_mjd"),
    "ra": ("fieldRA", "s_ra"),
    "dec": ("fieldDec", "s_dec"),
}
_OPTIONAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "duration": ("visitTime", "visitExposureTime", "shut_time", "exp_time"),
    "order": ("observationId", "visit_id"),
    "band": ("band", "filter"),
}
_LIMITS = {"start": (41317.0, 100_000.0), "ra": (0.0, 360.0), "dec": (-90.0, 90.0)}
_LST = "observationStartLST"
_IDS_PER_NIGHT = 99_999
_US_PER_S = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitsTable:
    """Visits in time order; all arrays have one length."""

    visit_ids: NDArray[np.int64]
    """``day_obs * 100000 + n``, n from 1 to 99,999."""
    times: NDArray[np.datetime64]
    """UTC, ``datetime64[us]``."""
    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    """Centre of the field, ICRS."""
    bands: NDArray[np.str_]
    """``u`` to ``y``, empty where the file has none."""

    def __len__(self) -> int:
        return len(self.visit_ids)


def read_visits_table(
    path: str | os.PathLike[str], *, table: str = "observations"
) -> VisitsTable:
    """Read the visits of an opsim file (SQLite) or a visits.h5 (HDF5).

    Parameters
    ----------
    path
        File of rubin_scheduler, of the visit archive, or of consdb's columns
        (``obs_start_mjd``, ``s_ra``, ``s_dec``); other columns do not matter.
    table
        Table (SQLite) or key (HDF5) that holds them.

    Returns
    -------
    visits
        In order of start, those that start together in order of their ids in the
        file.

    Raises
    ------
    VisitsFileError
        If the file is missing, empty, cut short or of another kind, has no such
        table or not the columns needed, a value that cannot be used, a visit twice,
        or times that contradict its own sidereal times.
    """
    path = Path(path)
    groups = {**_NAMES, **_OPTIONAL_NAMES}
    wanted = [name for names in groups.values() for name in names] + [_LST]
    columns = read_columns(path, table, wanted)
    chosen = {
        what: next((columns[name] for name in names if name in columns), None)
        for what, names in groups.items()
    }
    lacking = [names for what, names in _NAMES.items() if chosen[what] is None]
    if lacking:
        described = ", ".join(f"{names[0]} (or {names[1]})" for names in lacking)
        raise VisitsFileError(path, f"table {table!r} lacks {described}")
    values = {
        what: _numbers(path, _found(names, columns), columns)
        for what, names in groups.items()
        if chosen[what] is not None and what != "band"
    }
    names = {what: _found(_NAMES[what], columns) for what in _NAMES}
    for what, (low, high) in _LIMITS.items():
        _check(path, names[what], values[what], low, high)
    _check_sidereal_time(path, names["start"], values["start"], columns)
    return _ordered(path, names["start"], values, chosen["band"])


def _found(names: tuple[str, ...], columns: Mapping[str, Any]) -> str:
    return next(name for name in names if name in columns)


def _numbers(
    path: Path, name: str, columns: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64]:
    try:
        return columns[name].astype(np.float64)
    except (TypeError, ValueError) as error:
        raise VisitsFileError(path, f"{name} is not a number: {error}") from error


def _check(
    path: Path, name: str, values: NDArray[np.float64], low: float, high: float
) -> None:
    bad = ~((values >= low) & (values <= high))  # true for NaN, which NULL becomes
    if bad.any():
        row = int(np.argmax(bad))
        raise VisitsFileError(
            path,
            f"row {row} (of {int(bad.sum())} such rows): "
            f"{name} is {values[row]}, not within {low:g}..{high:g}",
        )


def _check_sidereal_time(
    path: Path,
    name: str,
    start: NDArray[np.float64],
    columns: Mapping[str, NDArray[Any]],
) -> None:
    if _LST not in columns or not len(start):
        return
    try:
        check_sidereal_time(
            name, float(start[0]), float(_numbers(path, _LST, columns)[0]), 0
        )
    except SiderealTimeError as error:
        raise VisitsFileError(path, str(error)) from error


def _ordered(
    path: Path,
    start_name: str,
    values: Mapping[str, NDArray[np.float64]],
    bands: NDArray[Any] | None,
) -> VisitsTable:
    n = len(values["start"])
    rows = np.lexsort((values.get("order", np.zeros(n)), values["start"]))
    start = utc_from_mjd(start_name, values["start"][rows])
    seconds = np.nan_to_num(values.get("duration", np.zeros(n))[rows], posinf=0)
    half = np.rint(seconds / 2 * _US_PER_S).astype("timedelta64[us]")
    names = np.full(n, "") if bands is None else np.array([_text(b) for b in bands])
    numbers = values["order"][rows] if "order" in values else None
    ids = _visit_ids(path, rows, start, numbers)
    _refuse_twins(path, rows, ids, "have one number in one night")
    places = np.column_stack(
        (values["start"][rows], values["ra"][rows], values["dec"][rows])
    )
    _refuse_twins(path, rows, places, "start at the same time at the same place")
    return VisitsTable(
        visit_ids=ids,
        times=start + half,
        ra_deg=values["ra"][rows] % 360.0,
        dec_deg=values["dec"][rows],
        bands=names[rows],
    )


def _refuse_twins(
    path: Path, rows: NDArray[np.int64], keys: NDArray[Any], why: str
) -> None:
    """Refuse a visit that a file has twice, with its rows."""
    _, group, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    twice = counts[group.reshape(-1)] > 1
    if twice.any():
        first = group.reshape(-1)[np.argmax(twice)]
        same = np.sort(rows[group.reshape(-1) == first])[:3].tolist()
        raise VisitsFileError(
            path,
            f"rows {' and '.join(map(str, same))} are a visit twice: they {why} "
            f"(of {int(twice.sum())} such rows): keep one row of each visit",
        )


def _text(value: object) -> str:
    """Return a band's name: opsim's ``r``, or ``r_57`` of a physical filter."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return str(text).partition("_")[0] if text is not None else ""


def _visit_ids(
    path: Path,
    rows: NDArray[np.int64],
    start: NDArray[np.datetime64],
    numbers: NDArray[np.float64] | None,
) -> NDArray[np.int64]:
    """Return the id of each visit, from its start (UTC) and its own number alone."""
    noons = (start - np.timedelta64(12, "h")).astype("datetime64[D]")
    days = np.asarray(_day_obs(noons), dtype=np.int64)
    if numbers is None:
        since_noon = start - (noons + np.timedelta64(12, "h"))
        return days * 100_000 + since_noon.astype(np.int64) // _US_PER_S + 1
    bad = ~(np.abs(numbers) < 2**53) | (numbers % 1 != 0)  # true for NaN
    if bad.any():
        place = int(np.argmax(bad))
        raise VisitsFileError(
            path,
            f"row {rows[place]}: the number of the visit (observationId or visit_id) "
            f"is {numbers[place]}, not a whole number: correct or drop the column",
        )
    own = numbers.astype(np.int64)
    counted = days * 100_000 + own % _IDS_PER_NIGHT + 1
    return np.where(own // 100_000 == days, own, counted)


def _day_obs(days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return dates as whole numbers, YYYYMMDD."""
    months = days.astype("datetime64[M]")
    years = days.astype("datetime64[Y]")
    return np.asarray(
        (years.astype(np.int64) + 1970) * 10_000
        + ((months - years.astype("datetime64[M]")).astype(np.int64) + 1) * 100
        + (days - months.astype("datetime64[D]")).astype(np.int64)
        + 1
    )
