"""Every table of an opsim file to HDF5 and back, in bounded memory, without pandas."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from typing_extensions import override

from visit_tables.columns import Batch
from visit_tables.errors import VisitTablesError
from visit_tables.hdf5.batches import hdf5_tables, iterate_hdf5
from visit_tables.hdf5.write import replacing_file, write_batches
from visit_tables.opsim.batches import open_tables
from visit_tables.opsim.write import create_table, rows_of

__all__ = [
    "FileAlreadyThereError",
    "hdf5_to_opsim",
    "hdf5_to_opsimdb",
    "opsim_to_hdf5",
    "opsimdb_to_hdf5",
]


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
