"""Visits from a file of either format, told by its first bytes, without pandas."""

from collections.abc import Collection, Iterator
from pathlib import Path

from visit_tables.columns import Batch, VisitsFileError, check_regular
from visit_tables.hdf5.batches import iterate_hdf5
from visit_tables.hdf5.nodes import child_group, open_hdf5
from visit_tables.hdf5.tables import stored_table
from visit_tables.opsim.batches import iterate_opsim
from visit_tables.opsim.file import declared_columns, open_opsim

__all__ = [
    "SQLITE_EXTENSIONS",
    "is_hdf5",
    "is_sqlite",
    "iterate_visits",
    "visits_columns",
]

SQLITE_EXTENSIONS = {".db", ".sqlite", ".sqlite3", ".db3"}
_SQLITE = b"SQLite format 3\0"
_HDF5 = b"\x89HDF\r\n\x1a\n"


def _first_bytes(path: str | Path) -> bytes:
    check_regular(path)
    try:
        with Path(path).open("rb") as stream:
            return stream.read(16)
    except OSError as error:
        raise VisitsFileError(path, f"cannot be opened: {error.strerror}") from error


def is_sqlite(path: str | Path) -> bool:
    """Return whether a file begins as an SQLite file does."""
    return _first_bytes(path).startswith(_SQLITE)


def is_hdf5(path: str | Path) -> bool:
    """Return whether a file begins as an HDF5 file does."""
    return _first_bytes(path).startswith(_HDF5)


def iterate_visits(
    path: str | Path,
    table: str = "observations",
    columns: Collection[str] | None = None,
) -> Iterator[Batch]:
    """Read a table of an opsim or HDF5 file in batches.

    Raises
    ------
    VisitsFileError
        If the file is of neither format, or cannot be read.
    """
    if is_hdf5(path):
        return iterate_hdf5(path, table, columns)
    if is_sqlite(path):
        return iterate_opsim(path, table, columns)
    raise _of_neither_format(path)


def visits_columns(path: str | Path, table: str = "observations") -> list[str]:
    """Return the names of the columns of a table, in its order; errors as above."""
    if is_hdf5(path):
        with open_hdf5(path) as file:
            return list(stored_table(child_group(file, table)).columns)
    if is_sqlite(path):
        with open_opsim(path) as connection:
            return [name for name, _ in declared_columns(connection, path, table)]
    raise _of_neither_format(path)


def _of_neither_format(path: str | Path) -> VisitsFileError:
    what = "is neither an opsim (SQLite) nor an HDF5 file"
    return VisitsFileError(path, what if Path(path).stat().st_size else "is empty")
