"""Visits of an opsim SQLite file as a frame, and the choice among them by a condition.

The condition is SQL, as opsim files have always been asked. It runs in an SQLite of
its own, in memory, that holds nothing but the columns it names: it can read no file,
and change nothing.
"""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from typing_extensions import override

from visit_tables.columns import Batch
from visit_tables.errors import VisitTablesError
from visit_tables.frames import batch_of_frame, frame_of_batches
from visit_tables.opsim.batches import iterate_opsim
from visit_tables.opsim.file import (
    OpsimFileError,
    check_opsim,
)
from visit_tables.opsim.write import create_table, rows_of

__all__ = [
    "ConstraintError",
    "OpsimFileError",
    "check_opsim",
    "matching_visits",
    "read_opsim",
]


def read_opsim(
    path: str | Path,
    table: str = "observations",
    columns: Collection[str] | None = None,
) -> pd.DataFrame:
    """Read one table of an opsim file.

    Parameters
    ----------
    path
        An SQLite file as ``rubin_scheduler`` writes it. It is opened read-only;
        columns beyond the usual 45 to 48 are kept.
    table
        Name of an ordinary table; views are not read.
    columns
        Columns to read; None reads all. The order is always the table's.

    Returns
    -------
    visits
        One row a visit, in the order of the table, with a fresh integer index.
        Integers with NULL become floats, NULL texts NaN.

    Raises
    ------
    OpsimFileError
        If the file, the table or a column cannot be read.
    """
    return frame_of_batches(iterate_opsim(path, table, columns))


_TABLE = "observations"
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}


class ConstraintError(VisitTablesError, ValueError):
    """A condition is not SQL, names an absent column, or does more than choose."""

    def __init__(self, constraint: str, reason: object) -> None:
        super().__init__(constraint, reason)
        self.constraint = constraint
        self.reason = reason

    @override
    def __str__(self) -> str:
        return f"cannot choose visits by {self.constraint!r}: {self.reason}"


def matching_visits(visits: pd.DataFrame, constraint: str) -> pd.DataFrame:
    """Return the visits that a condition is true for.

    Parameters
    ----------
    visits
        Visits with a fresh integer index.
    constraint
        What may follow ``WHERE`` in a query of the table ``observations``, such as
        ``"band = 'r' AND airmass < 1.5"``; all visits if it is blank.

    Returns
    -------
    chosen
        In the order of ``visits``, with a fresh integer index.

    Raises
    ------
    ConstraintError
        If the condition cannot be used.
    """
    if not constraint.strip():
        return visits
    # in parentheses that a line comment does not reach
    query = f"SELECT CASE WHEN (\n{constraint}\n) THEN 1 ELSE 0 END FROM {_TABLE}"  # noqa: S608 - see the module
    batch = batch_of_frame(visits)
    try:
        named = _columns_named(query, batch)
        answers = _answers(query, {name: batch[name] for name in named})
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        raise ConstraintError(constraint, error) from error
    if len(answers) != len(visits):
        raise ConstraintError(constraint, "it is more than a condition")
    return visits.loc[answers].reset_index(drop=True)


def _columns_named(query: str, batch: Batch) -> list[str]:
    """Return the columns that a query reads; refuse one that does anything else."""
    named: set[str] = set()

    def permit(
        action: int, _table: str | None, column: str | None, *_: str | None
    ) -> int:
        if action == sqlite3.SQLITE_READ and column:
            named.add(column)
        return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY

    with closing(sqlite3.connect(":memory:")) as connection:
        create_table(connection, _TABLE, {name: a[:0] for name, a in batch.items()})
        connection.set_authorizer(permit)
        connection.execute(query)
    return [name for name in batch if name in named] or list(batch)[:1]


def _answers(query: str, batch: Batch) -> NDArray[np.bool_]:
    with closing(sqlite3.connect(":memory:")) as connection:
        insert = create_table(connection, _TABLE, batch)
        connection.executemany(insert, rows_of(batch))
        return np.array([row[0] for row in connection.execute(query)], dtype=np.bool_)
