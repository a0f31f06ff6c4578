"""Visits in HDF5 as frames: write what ``pandas.read_hdf`` reads, read it safely.

The layout is pandas' *table* format, written with h5py alone: no pickled column,
each chunk compressed and checksummed, text as fixed-size UTF-8. ``docs/visits-h5.md``
describes it for people who read it without pandas.


Named levels of an index are stored as columns, and pandas makes them the index again.
"""

from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path

import pandas as pd

from visit_tables.columns import UnsupportedColumnError
from visit_tables.frames import batch_of_frame, frame_of_batch, frame_of_batches
from visit_tables.hdf5.batches import hdf5_tables, iterate_hdf5
from visit_tables.hdf5.nodes import HDF5FileError, child_group, open_hdf5
from visit_tables.hdf5.tables import StoredTable, stored_table
from visit_tables.hdf5.write import write_batches

__all__ = [
    "HDF5FileError",
    "hdf5_tables",
    "index_levels",
    "read_frame",
    "read_visits",
    "with_index",
    "with_levels",
    "write_visits",
]


def write_visits(path: str | Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write frames to an HDF5 file that ``pandas.read_hdf`` reads.

    Parameters
    ----------
    path
        The file to write. An older file is replaced, once the new one is whole.
    tables
        Frames by key; visits go to ``observations``. Their indexes are not kept:
        readers get 0, 1, 2 and so on.

    Raises
    ------
    UnsupportedColumnError
        If a name or a value cannot be represented.
    """
    batches = {name: batch_of_frame(frame) for name, frame in tables.items()}
    write_batches(
        path, ((name, len(tables[name]), [batches[name]]) for name in batches)
    )


def read_visits(
    path: str | Path,
    *,
    table: str = "observations",
    columns: Collection[str] | None = None,
    first_day_obs: date | None = None,
    last_day_obs: date | None = None,
) -> pd.DataFrame:
    """Read visits from HDF5, without running what the file may hold.

    Parameters
    ----------
    path
        File in pandas' table format (as we write) or fixed format (as older
        archives did; its pickles are read by a reader that admits plain values only).
    table
        Key of the table.
    columns
        Columns to return; None returns all. The order is always the table's.
    first_day_obs, last_day_obs
        First and last night to return, both included; None is unbounded. In files
        that we wrote, chunks of other nights are not read.

    Returns
    -------
    visits
        One row a visit, in the order of the file, with a fresh integer index.

    Raises
    ------
    HDF5FileError
        If the file is damaged, lacks the table or a column, or leads elsewhere
        (links, virtual or external datasets, objects).
    """
    return frame_of_batches(
        iterate_hdf5(
            path,
            table,
            columns,
            first_day_obs=first_day_obs,
            last_day_obs=last_day_obs,
        )
    )


def index_levels(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the names of an index; none if it is not named.

    Raises
    ------
    UnsupportedColumnError
        If some levels have names and others none.
    """
    names = list(frame.index.names)
    if all(name is None for name in names):
        return ()
    if not all(isinstance(name, str) for name in names):
        raise UnsupportedColumnError(str(names), "are names of an index")
    return tuple(map(str, names))


def with_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Make named levels of an index columns; an index without a name is dropped."""
    return frame.reset_index() if index_levels(frame) else frame


def with_index(table: StoredTable) -> pd.DataFrame:
    """Return a stored table with its index."""
    frame = frame_of_batch(table.read(table.columns, 0, table.n_rows))
    levels = table.index()
    values = [frame_of_batch({"level": level.array})["level"] for level in levels]
    if len(levels) == 1:
        frame.index = pd.Index(values[0].array, name=levels[0].name)
    else:
        names = [level.name for level in levels]
        frame.index = pd.MultiIndex.from_arrays(values, names=names)
    return frame


def read_frame(path: str | Path, key: str) -> pd.DataFrame:
    """Read a frame with its index, without running what the file may hold.

    Raises
    ------
    HDF5FileError
        If the file is damaged or not safe to read, or has no such key.
    """
    with open_hdf5(path) as file:
        return with_index(stored_table(child_group(file, key)))
