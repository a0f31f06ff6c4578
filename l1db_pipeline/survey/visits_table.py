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

from visit_tables.columns import MISSING_TEXT, Batch, VisitsFileError
from visit_tables.files import iterate_visits, visits_columns
from visit_tables.time_scales import utc_from_mjd
from visit_tables.validity import (
    LST,
    POINTING_NAMES,
    numbers_of,
    pointing_names,
    pointing_problems,
)

__all__ = ["VisitsTable", "read_visits_table"]

_OPTIONAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "duration": ("visitTime", "visitExposureTime", "shut_time", "exp_time"),
    "order": ("observationId", "visit_id"),
    "band": ("band", "filter"),
}
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
    columns = _read(Path(path), table)
    if problems := pointing_problems(columns):
        raise VisitsFileError(path, f"table {table!r}: {'; '.join(problems)}")
    names = pointing_names(columns)
    names |= {
        what: name
        for what, known in _OPTIONAL_NAMES.items()
        if (name := next((n for n in known if n in columns), None)) is not None
    }
    band = names.pop("band", None)
    try:
        values = {what: numbers_of(columns, name) for what, name in names.items()}
    except ValueError as error:
        raise VisitsFileError(path, f"table {table!r}: {error}") from error
    bands = None if band is None else columns[band]
    return _ordered(Path(path), names["start"], values, bands)


def _read(path: Path, table: str) -> Batch:
    """Return those columns of a table that matter here."""
    groups = [*POINTING_NAMES.values(), *_OPTIONAL_NAMES.values(), (LST,)]
    wanted = {name for names in groups for name in names}
    present = [name for name in visits_columns(path, table) if name in wanted]
    pieces = list(iterate_visits(path, table, present))
    return {name: np.concatenate([piece[name] for piece in pieces])
            for name in present}  # fmt: skip


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
    names = (
        np.full(n, "")
        if bands is None
        else np.array([_text(b) for b in bands.tolist()], dtype=np.str_)
    )
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
    if not isinstance(value, bytes) or value == MISSING_TEXT:
        return ""
    return value.decode("utf-8", "replace").partition("_")[0]


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
