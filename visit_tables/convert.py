"""Every table of an opsim file to HDF5 and back, in bounded memory, without pandas."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visit_tables.columns import (
    MISSING_TEXT,
    Batch,
    UnsupportedColumnError,
)
from visit_tables.hdf5.batches import hdf5_tables, iterate_hdf5
from visit_tables.hdf5.write import replacing_file, write_batches
from visit_tables.opsim.batches import plan_table, read_table
from visit_tables.opsim.file import (
    check_observations,
    open_opsim,
    opsim_table_names,
    quote_identifier,
)

__all__ = ["create_table", "hdf5_to_opsim", "opsim_to_hdf5", "rows_of"]

_AFFINITIES = {"i": "INTEGER", "u": "INTEGER", "b": "INTEGER", "f": "REAL", "S": "TEXT"}


def opsim_to_hdf5(opsim: str | Path, h5: str | Path) -> None:
    """Write every ordinary table of an opsim file to HDF5.

    Parameters
    ----------
    opsim
        SQLite file with a table ``observations``. It may have no rows.
    h5
        The file to write. An older file is replaced, once the new one is whole.

    Raises
    ------
    OpsimFileError
        If the opsim file is not usable.
    UnsupportedColumnError
        If a name or a value cannot be represented in HDF5.
    """

    def tables() -> Iterator[tuple[str, int, Iterable[Batch]]]:
        with open_opsim(opsim) as connection:
            connection.execute("BEGIN")  # nobody writes while we read
            check_observations(connection, opsim, allow_empty=True)
            for name in opsim_table_names(connection):
                plan = plan_table(connection, opsim, name)
                yield name, plan.n_rows, read_table(connection, opsim, plan)

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


def create_table(connection: sqlite3.Connection, table: str, batch: Batch) -> str:
    """Create a table for a batch; return the statement that fills it.

    Raises
    ------
    UnsupportedColumnError
        If names differ only in case, which SQLite does not tell apart.
    """
    columns = ", ".join(
        f"{quote_identifier(name)} {_AFFINITIES.get(values.dtype.kind, 'TEXT')}"
        for name, values in batch.items()
    )
    try:
        connection.execute(f"CREATE TABLE {quote_identifier(table)} ({columns})")
    except sqlite3.OperationalError as error:
        raise UnsupportedColumnError(table, f"cannot be created: {error}") from error
    marks = ", ".join("?" * len(batch))
    return f"INSERT INTO {quote_identifier(table)} VALUES ({marks})"  # noqa: S608 quoted


def rows_of(batch: Batch) -> Iterator[tuple[object, ...]]:
    """Return the rows of a batch as SQLite takes them."""
    return zip(*(_python_values(values) for values in batch.values()), strict=True)


def _python_values(values: NDArray[np.generic]) -> list[object]:
    """Return values as SQLite takes them: NULL for what is missing."""
    match values.dtype.kind:
        case "S":
            return [
                None if text == MISSING_TEXT else text.decode()
                for text in values.tolist()
            ]
        case "b":
            flags: list[object] = values.astype(np.int64).tolist()
            return flags
        case "f":
            numbers: list[object] = values.astype(np.float64).tolist()
            return [None if number != number else number for number in numbers]  # noqa: PLR0124 NaN
        case "M" | "m":
            return [None if text == "NaT" else text for text in values.astype(str)]
        case _:
            plain: list[object] = values.tolist()
            return plain
