"""Frames whose index matters, in the layout of `visit_tables.hdf5.read`.

Named levels of an index are stored as columns, and pandas makes them the index again.
"""

from pathlib import Path

import pandas as pd

from visit_tables.columns import UnsupportedColumnError
from visit_tables.frames import frame_of_batch
from visit_tables.hdf5.nodes import child_group, open_hdf5
from visit_tables.hdf5.tables import StoredTable, stored_table

__all__ = ["index_levels", "read_frame", "with_index", "with_levels"]


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
