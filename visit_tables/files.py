"""A visits file of either format, told by its first bytes, and one from the other.

In bounded memory, and without pandas.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from typing_extensions import override

from visit_tables.columns import Batch, VisitsFileError, check_regular
from visit_tables.errors import VisitTablesError
from visit_tables.hdf5.batches import hdf5_tables, iterate_hdf5
from visit_tables.hdf5.nodes import child_group, open_hdf5
from visit_tables.hdf5.tables import stored_table
from visit_tables.hdf5.write import replacing_file, write_batches
from visit_tables.opsim.batches import iterate_opsim, open_tables
from visit_tables.opsim.file import declared_columns, open_opsim
from visit_tables.opsim.write import create_table, rows_of

__all__ = [
    "SQLITE_EXTENSIONS",
    "FileAlreadyThereError",
    "hdf5_to_opsim",
    "hdf5_to_opsimdb",
    "is_hdf5",
    "is_sqlite",
    "iterate_visits",
    "opsim_to_hdf5",
    "opsimdb_to_hdf5",
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


def opsim_to_hdf5(
    opsim: str | Path,
    h5: str | Path,
    *,
    watch: Callable[[Iterable[Batch]], Iterable[Batch]] = iter,
) -> None:
    """Write every ordinary table of an opsim file to HDF5.

    Parameters
    ----------
    opsim
        SQLite file with a table ``observations``. It may have no rows.
    h5
        The file to write. An older file is replaced, once the new one is whole.
    watch
        Sees the batches of ``observations`` on their way to the file.

    Raises
    ------
    OpsimFileError
        If the opsim file is not usable.
    UnsupportedColumnError
        If a name or a value cannot be represented in HDF5.
    """

    def tables() -> Iterator[tuple[str, int, Iterable[Batch]]]:
        with open_tables(opsim) as source:
            source.check_observations()
            for name in source.names():
                table = source.table(name)
                batches: Iterable[Batch] = table.batches()
                if name == "observations":
                    batches = watch(batches)
                yield name, table.n_rows, batches

    write_batches(h5, tables())


def hdf5_to_opsim(h5: str | Path, opsim: str | Path) -> None:
    """Write every table of an HDF5 file to an SQLite file.

    Parameters
    ----------
    h5
        File in a layout of pandas.
    opsim
        The file to write. An older file is replaced, once the new one is whole.

    Raises
    ------
    HDF5FileError
        If the HDF5 file cannot be read safely.
    UnsupportedColumnError
        If names differ only in case, which SQLite does not tell apart.
    """
    with (
        replacing_file(opsim) as partial,
        closing(sqlite3.connect(partial)) as connection,
    ):
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        for name in hdf5_tables(h5):
            _copy_table(connection, h5, name)
        connection.commit()


def _copy_table(connection: sqlite3.Connection, h5: str | Path, table: str) -> None:
    insert = ""
    for batch in iterate_hdf5(h5, table):
        if not insert:
            insert = create_table(connection, table, batch)
        connection.executemany(insert, rows_of(batch))


class FileAlreadyThereError(VisitTablesError, FileExistsError, ValueError):
    """A file would be overwritten that nobody asked to overwrite."""

    @override
    def __str__(self) -> str:
        return f"{self.args[0]} exists already"


def opsimdb_to_hdf5(
    opsimdb_path: str | Path, hdf5_path: str | Path | None = None
) -> str:
    """Write every table of an opsim file to HDF5.

    Parameters
    ----------
    opsimdb_path
        SQLite file.
    hdf5_path
        File to write, replaced if it exists; by default beside the opsim file,
        with suffix ``.h5``.

    Returns
    -------
    hdf5_path
        The file written.

    Raises
    ------
    OpsimFileError
        If the opsim file is not usable.
    """
    target = Path(opsimdb_path).with_suffix(".h5") if hdf5_path is None else hdf5_path
    opsim_to_hdf5(opsimdb_path, target)
    return str(target)


def hdf5_to_opsimdb(
    hdf5_path: str | Path, opsimdb_path: str | Path | None = None
) -> str:
    """Write every table of an HDF5 file of visits to SQLite.

    Parameters
    ----------
    hdf5_path
        File in a layout of pandas.
    opsimdb_path
        File to write; by default beside the HDF5 file, with suffix ``.db``.

    Returns
    -------
    opsimdb_path
        The file written.

    Raises
    ------
    FileAlreadyThereError
        If there is such a file already. (The original raised ValueError at the
        first table that existed, and left those before it.)
    HDF5FileError
        If the HDF5 file cannot be read safely.
    """
    target = (
        Path(hdf5_path).with_suffix(".db") if opsimdb_path is None else opsimdb_path
    )
    if Path(target).exists():
        raise FileAlreadyThereError(target)
    hdf5_to_opsim(hdf5_path, target)
    return str(target)
