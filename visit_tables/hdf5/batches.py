"""Read tables of an HDF5 file of visits as batches, going straight to the nights."""

from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path

import h5py
import numpy as np

from visit_tables.columns import Batch
from visit_tables.day_obs import mjd_of_date, night_column, night_mjds
from visit_tables.hdf5.nodes import (
    HDF5FileError,
    attribute,
    child_dataset,
    child_group,
    open_hdf5,
    table_keys,
)
from visit_tables.hdf5.tables import StoredTable, TableFormat, stored_table
from visit_tables.hdf5.write import NIGHT_INDEX

__all__ = ["hdf5_tables", "iterate_hdf5"]

_BATCH_BYTES = 16_000_000
_ROW_BYTES = 500


def hdf5_tables(path: str | Path) -> list[str]:
    """Return the names of the tables of an HDF5 file.

    Raises
    ------
    HDF5FileError
        If the file cannot be read.
    """
    with open_hdf5(path) as file:
        return table_keys(file)


def iterate_hdf5(
    path: str | Path,
    table: str = "observations",
    columns: Collection[str] | None = None,
    *,
    first_day_obs: date | None = None,
    last_day_obs: date | None = None,
) -> Iterator[Batch]:
    """Read a table in batches, in the order of its rows.

    Parameters
    ----------
    path
        A file in table format (ours, or of pandas) or in pandas' fixed format.
    table
        Its key.
    columns
        Columns to read; None reads all. The order is always the table's.
    first_day_obs, last_day_obs
        First and last night wanted, both included; None is unbounded.

    Yields
    ------
    batch
        Columns with the same dtypes in every batch; at least one batch, which is
        empty when no row is wanted.

    Raises
    ------
    HDF5FileError
        If the file, the table or a column cannot be read, or is not safe to read.
    """
    with open_hdf5(path) as file:
        group = child_group(file, table)
        stored = stored_table(group)
        wanted = _wanted_columns(stored, columns)
        if first_day_obs is None and last_day_obs is None:
            yield from _pieces(stored, wanted, 0, stored.n_rows)
            return
        first = -(2**62) if first_day_obs is None else mjd_of_date(first_day_obs)
        last = 2**62 if last_day_obs is None else mjd_of_date(last_day_obs)
        time = night_column(stored.columns)
        is_found = False
        for start, stop in _row_ranges(group, stored, first, last):
            for batch in _pieces(stored, [*wanted, time], start, stop):
                nights = night_mjds({time: batch[time]})
                chosen = (nights >= first) & (nights <= last)
                if chosen.any():
                    is_found = True
                    yield {name: batch[name][chosen] for name in wanted}
        if not is_found:
            yield from _pieces(stored, wanted, 0, 0)


def _wanted_columns(stored: StoredTable, columns: Collection[str] | None) -> list[str]:
    if columns is None:
        return stored.columns
    unknown = set(columns) - set(stored.columns)
    if unknown:
        raise HDF5FileError("", f"has no column {', '.join(sorted(unknown))}")
    return [name for name in stored.columns if name in columns]


def _pieces(
    stored: StoredTable, wanted: Collection[str], first: int, last: int
) -> Iterator[Batch]:
    if not isinstance(stored, TableFormat) or first == last:
        yield stored.read(wanted, first, last)
        return
    step = max(1, _BATCH_BYTES // _ROW_BYTES // stored.chunk_rows) * stored.chunk_rows
    for start in range(first - first % stored.chunk_rows, last, step):
        yield stored.read(wanted, max(start, first), min(last, start + step))


def _row_ranges(
    group: h5py.Group, stored: StoredTable, first: int, last: int
) -> list[tuple[int, int]]:
    """Return ranges of rows that may hold the nights, from the index of chunks."""
    everything = [(0, stored.n_rows)]
    if not isinstance(stored, TableFormat) or NIGHT_INDEX not in group:
        return everything
    nights = child_dataset(group, NIGHT_INDEX)[()]
    rows = int(attribute(group[NIGHT_INDEX], "chunk_rows", 0))
    total = int(attribute(group[NIGHT_INDEX], "n_rows", -1))
    if rows < 1 or total != stored.n_rows or nights.shape != (-(-total // rows), 2):
        # somebody appended with pandas: the index does not describe the table
        return everything
    overlaps = (nights[:, 0] <= last) & (nights[:, 1] >= first)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], overlaps, [0]])))
    return [
        (int(start) * rows, min(int(stop) * rows, total))
        for start, stop in edges.reshape(-1, 2)
    ]
