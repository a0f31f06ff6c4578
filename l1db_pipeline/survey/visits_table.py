"""When and where a survey looked: the visits of an opsim file or a visits.h5.

Times
-----
``observationStartMJD`` is taken as TAI: rubin_scheduler computes the sky of its
``mjd`` with ``Time(mjd, format="mjd", scale="tai")`` (``utils/rotskypos.py``), and
consdb documents ``obs_start_mjd`` as TAI too. A visit's time here is UTC and the
middle of the visit where the file gives its duration, else its start.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.schema.times import utc_from_mjd_tai
from l1db_pipeline.survey.visits_files import VisitsFileError, read_columns

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
_MAX_PER_NIGHT = 99_999
_SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitsTable:
    """Visits in time order; all arrays have one length."""

    visit_ids: NDArray[np.int64]
    """``day_obs * 100000 + n``, day_obs as YYYYMMDD (UTC-12), n from 1 each night."""
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
        file. An id depends on all visits of its night in the file: read the same
        file to get the same ids.

    Raises
    ------
    VisitsFileError
        If the file is missing, empty, cut short or of another kind, has no such
        table or not the columns needed, or a value that cannot be used.
    """
    path = Path(path)
    groups = {**_NAMES, **_OPTIONAL_NAMES}
    wanted = [name for names in groups.values() for name in names]
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
    for what, (low, high) in _LIMITS.items():
        _check(path, _found(_NAMES[what], columns), values[what], low, high)
    return _ordered(path, values, chosen["band"])


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


def _ordered(
    path: Path, values: Mapping[str, NDArray[np.float64]], bands: NDArray[Any] | None
) -> VisitsTable:
    n = len(values["start"])
    order = np.lexsort((values.get("order", np.zeros(n)), values["start"]))
    start = values["start"][order]
    middle = start + values.get("duration", np.zeros(n))[order] / 2 / _SECONDS_PER_DAY
    names = np.full(n, "") if bands is None else np.array([_text(b) for b in bands])
    return VisitsTable(
        visit_ids=_visit_ids(path, start),
        times=utc_from_mjd_tai(np.where(np.isfinite(middle), middle, start)),
        ra_deg=values["ra"][order] % 360.0,
        dec_deg=values["dec"][order],
        bands=names[order],
    )


def _text(value: object) -> str:
    """Return a band's name: opsim's ``r``, or ``r_57`` of a physical filter."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return str(text).partition("_")[0] if text is not None else ""


def _visit_ids(path: Path, start_mjd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return ids that count the visits of each night; ``start_mjd`` is sorted."""
    nights = np.floor(start_mjd - 0.5).astype(np.int64)
    _, firsts, counts = np.unique(nights, return_index=True, return_counts=True)
    if counts.max(initial=0) > _MAX_PER_NIGHT:
        raise VisitsFileError(
            path, f"a night has {counts.max()} visits, at most {_MAX_PER_NIGHT} fit"
        )
    days = np.datetime64("1858-11-17") + nights.astype("timedelta64[D]")
    months = days.astype("datetime64[M]")
    years = days.astype("datetime64[Y]")
    day_obs = (
        (years.astype(np.int64) + 1970) * 10_000
        + ((months - years).astype(np.int64) + 1) * 100
        + (days - months).astype(np.int64)
        + 1
    )
    sequence = np.arange(len(nights)) - np.repeat(firsts, counts) + 1
    return np.asarray(day_obs * 100_000 + sequence, dtype=np.int64)
