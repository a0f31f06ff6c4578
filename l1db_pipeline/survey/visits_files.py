"""Columns of a table in a SQLite or HDF5 file that a stranger may have made.

Nothing in the file is run: SQLite is opened read-only and plain tables alone are
read; from HDF5 only arrays of numbers and fixed text, inside the file itself.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.errors import FileError

__all__ = ["VisitsFileError", "read_columns"]

_SQLITE_MAGIC = b"SQLite format 3\0"
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"

_Columns = dict[str, NDArray[Any]]


class VisitsFileError(FileError):
    """A file of visits cannot be read or used."""

    kind = "visits file"


def read_columns(path: Path, table: str, names: Sequence[str]) -> _Columns:
    """Return those of the named columns that a table has, in the order of its rows.

    Parameters
    ----------
    path
        SQLite or HDF5, told by the first bytes.
    table
        Name of a plain table, or key of a pandas table or fixed frame.
    names
        Columns to look for; compared exactly.

    Raises
    ------
    VisitsFileError
        If the file is missing, empty, damaged or of another kind, or has no such
        table.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(16)
    except OSError as error:
        raise VisitsFileError(path, f"cannot read it: {error.strerror}") from error
    if magic == _SQLITE_MAGIC:
        return _read_sqlite(path, table, names)
    if magic.startswith(_HDF5_MAGIC):
        return _read_hdf5(path, table, names)
    what = "neither SQLite nor HDF5" if magic else "empty"
    raise VisitsFileError(path, f"the file is {what}: give an opsim .db or a visits.h5")


def _read_sqlite(path: Path, table: str, names: Sequence[str]) -> _Columns:
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            return _select(connection, path, table, names)
    except sqlite3.Error as error:
        raise VisitsFileError(path, f"SQLite cannot read it: {error}") from error


def _select(
    connection: sqlite3.Connection, path: Path, table: str, names: Sequence[str]
) -> _Columns:
    kinds = dict(
        connection.execute("SELECT name, type || ' ' || sql FROM sqlite_master")
    )
    kind = kinds.get(table, "")
    if not kind.startswith("table CREATE TABLE"):
        plain = sorted(n for n, k in kinds.items() if (k or "").startswith("table "))
        raise VisitsFileError(
            path, f"no table {table!r}; it has {', '.join(plain) or 'no table'}"
        )
    present = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM pragma_table_info(?)", (table,)
        )
    }
    found = [name for name in names if name in present]
    if not found:
        return {}
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in found)
    source = '"' + table.replace('"', '""') + '"'
    # names are those that the table itself has, and quoted
    rows = connection.execute(f"SELECT {quoted} FROM {source}").fetchall()  # noqa: S608
    values = np.empty((len(rows), len(found)), dtype=object)
    if rows:
        values[:] = rows
    return {name: values[:, place] for place, name in enumerate(found)}


def _read_hdf5(path: Path, table: str, names: Sequence[str]) -> _Columns:
    with _opened(path) as file:
        group = _child(path, file, table)
        if not isinstance(group, h5py.Group):
            raise VisitsFileError(
                path, f"no group {table!r}; it has {', '.join(file) or 'nothing'}"
            )
        if "table" in group:
            return _table_columns(path, group, names)
        return _fixed_columns(path, group, names)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # h5py raises these
        raise VisitsFileError(path, f"HDF5 cannot read it: {error}") from error


def _child(path: Path, group: h5py.Group, name: str) -> Any:
    """Return an object that lies in the file itself, `None` if there is none."""
    if name not in group.keys():  # noqa: SIM118 - "in group" follows paths
        return None
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise VisitsFileError(path, f"{name} is a link to elsewhere, which is refused")
    item = group[name]
    if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
        raise VisitsFileError(path, f"{name} is kept in other files, which is refused")
    return item


def _table_columns(path: Path, group: h5py.Group, names: Sequence[str]) -> _Columns:
    """Read pandas' table format: one compound array, a field for each column."""
    data = _child(path, group, "table")
    if not isinstance(data, h5py.Dataset) or not data.dtype.names:
        raise VisitsFileError(path, f"{group.name}/table is not a table")
    fields = [name for name in names if name in data.dtype.names]
    return {name: data.fields(name)[:] for name in fields if _plain(data.dtype[name])}


def _fixed_columns(path: Path, group: h5py.Group, names: Sequence[str]) -> _Columns:
    """Read pandas' fixed format: a matrix for each type; pickled ones are left out."""
    columns: _Columns = {}
    for key in group:
        if not (key.startswith("block") and key.endswith("_items")):
            continue
        items = _child(path, group, key)
        block = _child(path, group, key.replace("_items", "_values"))
        if block is None or not _plain(items.dtype) or not _plain(block.dtype):
            continue
        labels = [_label(item) for item in items[:]]
        for name in names:
            if name in labels and block.ndim == 2:
                columns[name] = block[:, labels.index(name)]
    return columns


def _plain(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biufS" and dtype.shape == ()


def _label(item: object) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
