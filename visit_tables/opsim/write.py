"""Batches of a visits table as a table of SQLite."""

import sqlite3
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from visit_tables.columns import MISSING_TEXT, Batch, UnsupportedColumnError
from visit_tables.opsim.file import quote_identifier

__all__ = ["create_table", "rows_of"]

_AFFINITIES = {"i": "INTEGER", "u": "INTEGER", "b": "INTEGER", "f": "REAL", "S": "TEXT"}


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
