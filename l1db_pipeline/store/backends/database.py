"""What the store asks of one database: tables of columns, no joins.

`Database` is small on purpose. Everything that knows the science (validity, home
pixels, the ledger) is above it; everything that knows an SQL dialect is below.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.errors import DatabaseError
from l1db_pipeline.store.meter import ServerMeter
from l1db_pipeline.store.token import CellClaim

__all__ = ["Condition", "Database", "KeyExistsError", "Op"]


class KeyExistsError(DatabaseError):
    """A row with the same key is in the table."""


class Op(Enum):
    """Comparison of a column with a value."""

    EQUAL = "="
    LESS = "<"
    AT_LEAST = ">="
    AFTER = ">"
    ONE_OF = "one of"
    """The value is an array of int64."""
    IN_RANGES = "in ranges"
    """The value is an int64 array of half-open ranges, shape ``(n, 2)``."""
    IS_NULL = "is null"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; a sequence of them means all must hold."""

    column: str
    op: Op
    value: Any = None  # an int, a str, a datetime64[us] or an array: see `Op`


class Database(Protocol):
    """One connection to one database.

    Each method but `transaction` is one statement, or a fixed few. Every error of
    the driver comes out as a `DatabaseError`.
    """

    place: str
    """The database in words, without credentials."""
    can_expire: bool = True
    """Whether months of history may be deleted."""

    def close(self) -> None:
        """Close the connection; closing twice is allowed."""

    def transaction(
        self, *, write: bool, unit: str = ""
    ) -> AbstractContextManager[None]:
        """Return a block that is committed whole, or rolled back if it raises.

        What a reading block reads is one state of the database. ``unit`` says what it
        is for to those who watch the database.

        Raises
        ------
        CommitLostError
            If it is not known whether the block was committed.
        """

    def table_names(self) -> frozenset[str]:
        """Return the logical names of those known tables that exist."""

    def column_names(self, table: Table) -> frozenset[str]:
        """Return the columns of a table that exists, as the database names them."""

    def create(self, table: Table) -> None:
        """Create a table and its indexes."""

    def drop(self, table: Table) -> None:
        """Drop a table if it exists."""

    def append(self, table: Table, rows: Catalog) -> None:
        """Add rows; columns that they lack become NULL.

        Raises
        ------
        KeyExistsError
            If a row with the same primary key exists.
        """

    def add_if_absent(self, table: Table, rows: Catalog) -> int:
        """Add the rows whose primary key is not there yet; return how many."""

    def upsert(
        self, table: Table, rows: Catalog, *, newest_by: str, blank: Sequence[str]
    ) -> None:
        """Add rows, or replace those of the same key whose time is not later.

        ``newest_by`` names the time column that decides. Columns in ``blank``
        become NULL in replaced rows; others that ``rows`` lack stay as they are.
        """

    def update_from(
        self,
        table: Table,
        source: Table,
        columns: Sequence[str],
        *,
        time: np.datetime64,
        ids: NDArray[np.int64],
    ) -> int:
        """Bring current objects up to date with versions that were just added.

        Parameters
        ----------
        table, source
            Of current objects and of versions.
        columns
            That both have, to be set; the time and the visit are set too.
        time
            ``validityStart`` of the versions; current objects of a later time stay.
        ids
            Objects that ``table`` is believed to have.

        Returns
        -------
        n_rows
            How many were updated.
        """

    def increment(self, table: Table, key: int) -> int:
        """Add one to a counter row (made with 1) and return its value."""

    def select(
        self,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition] = (),
        *,
        null_free: frozenset[str] = frozenset(),
    ) -> Catalog:
        """Return columns of the rows for which all conditions hold.

        ``null_free`` names nullable columns believed to hold no NULL; a wrong
        belief costs time only.
        """

    def lock_rows(self, table: Table, where: Sequence[Condition]) -> None:
        """Keep others from changing rows until the transaction ends.

        They are locked in the order of the primary key; what is read next is what
        those left who held them before.
        """

    def select_free(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition]
    ) -> Catalog:
        """Return columns of rows as they are now, and keep others from them.

        Rows that another transaction changes are left out: nobody waits.
        """

    def delete_keys(self, table: Table, keys: Catalog) -> int:
        """Delete the rows with these primary keys, and no others; return how many."""

    def claim_cells(self, table: Table, claim: CellClaim) -> None:
        """Lock cells, ascending, compare their versions and raise each by one.

        It is the last call of a writing transaction, which it may commit: nobody
        waits for the client while the cells are locked. Every cell has a row, for a
        row that is not there cannot be locked.

        Raises
        ------
        StaleReadError
            If another visit has stored into a cell since it was read.
        """

    def sessions(self) -> list[tuple[Any, ...]] | None:
        """Return who else is connected, see `pg_activity`; `None` if it keeps none."""

    def delete(self, table: Table, where: Sequence[Condition] = ()) -> int:
        """Delete rows; return how many."""

    def delete_superseded(self, table: Table, until: np.datetime64) -> int:
        """Delete versions that another of the object follows no later than a time.

        What stays is what was valid then, or began later. Returns how many went.
        """

    def set_value(
        self, table: Table, column: str, value: Any, where: Sequence[Condition]
    ) -> int:
        """Set one column of rows to one value (`None` for NULL); return how many."""

    def set_rows(
        self,
        table: Table,
        rows: Catalog,
        *,
        keys: Sequence[str],
        where: Sequence[Condition] = (),
    ) -> int:
        """Set all other columns of the rows that have these keys; return how many.

        ``rows`` has keys, each once, and the columns to set; all rows fulfil the
        conditions, which may help to find them.
        """

    def move(self, source: Table, target: Table) -> int:
        """Move all rows into a table of the same columns; return how many."""

    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        """Return the exact number of rows."""

    def count_by(self, table: Table, column: str) -> Mapping[int, int]:
        """Return the number of rows for each value of an integer column."""

    def holds(self, table: Table, columns: Sequence[str], *, nulls: bool) -> bool:
        """Tell whether any of some columns has a NULL, or else a value, in any row."""

    def lock(self, table: Table) -> None:
        """Keep other writers off a table until the transaction ends."""

    def n_bytes(self, table: Table) -> int:
        """Return the size of a table with its indexes."""

    def maximum(self, table: Table, column: str) -> Any:
        """Return the largest value of a column as a Python object, `None` if none."""

    def tidy(self) -> None:
        """Vacuum and analyze, outside of a transaction."""

    def meter(self) -> ServerMeter:
        """Return what counts the server's work for this connection."""

    def explain(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition]
    ) -> list[str]:
        """Return the database's plan of a `select`, one line an element."""
