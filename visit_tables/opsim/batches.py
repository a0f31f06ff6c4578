"""Read tables of an opsim SQLite file as batches of plain columns.

Long tables are read from the pages of the file, which is several times faster than
asking SQLite for a hundred million values; see `visit_tables.opsim.sqlite_pages`.
Whatever is unusual there is left to SQLite.
"""

import sqlite3
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visit_tables.columns import (
    MISSING_TEXT,
    Batch,
    UnsupportedColumnError,
    check_text,
)
from visit_tables.opsim.file import (
    OpsimFileError,
    declared_columns,
    open_opsim,
    quote_identifier,
)
from visit_tables.opsim.sqlite_pages import (
    Cells,
    PageTable,
    StoredKinds,
    UnusualPagesError,
)

__all__ = ["OpsimTable", "iterate_opsim", "plan_table", "read_table"]

_BATCH_BYTES = 4_000_000


class ColumnKind(Enum):
    """What a column of a table is read as."""

    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"
    MIXED = "mixed"
    """Numbers and texts in one column: read as texts, except in observations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpsimColumn:
    """One column as it will be read; ``width`` is the longest text in bytes."""

    name: str
    kind: ColumnKind
    width: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class OpsimTable:
    """What is known of a table before its rows are read.

    Attributes
    ----------
    name
        Its name.
    n_rows
        Its number of rows.
    columns
        The columns to read, in the order of the table.
    pages
        The table's pages, and where in them the columns are; None if SQLite must
        be asked for the rows.
    """

    name: str
    n_rows: int
    columns: tuple[OpsimColumn, ...]
    pages: tuple[PageTable, tuple[int, ...]] | None

    @property
    def batch_rows(self) -> int:
        """How many rows to hold at once: fewer where texts are long."""
        row_bytes = sum(_dtype(column).itemsize for column in self.columns)
        return max(64, _BATCH_BYTES // max(row_bytes, 1))

    def empty(self) -> Batch:
        """Return a batch of no rows with the dtypes of every batch."""
        return {c.name: np.empty(0, dtype=_dtype(c)) for c in self.columns}


def _dtype(column: OpsimColumn) -> np.dtype[np.generic]:
    match column.kind:
        case ColumnKind.INTEGER:
            return np.dtype(np.int64)
        case ColumnKind.FLOAT:
            return np.dtype(np.float64)
        case ColumnKind.TEXT | ColumnKind.MIXED:
            return np.dtype(f"S{max(column.width, 1)}")


def _affinity(declared: str) -> ColumnKind | None:
    """Return the kind that SQLite's affinity rules suggest, None if any.

    References
    ----------
    https://www.sqlite.org/datatype3.html section 3.1.
    """
    upper = declared.upper()
    if "INT" in upper:
        return ColumnKind.INTEGER
    if any(word in upper for word in ("CHAR", "CLOB", "TEXT")):
        return ColumnKind.TEXT
    if any(word in upper for word in ("REAL", "FLOA", "DOUB")):
        return ColumnKind.FLOAT
    return None


def plan_table(
    connection: sqlite3.Connection,
    path: str | Path,
    table: str,
    columns: Collection[str] | None = None,
) -> OpsimTable:
    """Find how many rows a table has and what each column is read as.

    SQLite lets any value stand in any column, so the kind of every value is looked
    at, not only the declared type.

    Raises
    ------
    OpsimFileError
        If the table or a column is absent or holds binary objects.
    """
    declared = declared_columns(connection, path, table)
    if columns is not None:
        unknown = set(columns) - {name for name, _ in declared}
        if unknown:
            raise OpsimFileError(path, f"{table} has no {', '.join(sorted(unknown))}")
    places = tuple(
        place
        for place, (name, _) in enumerate(declared)
        if columns is None or name in columns
    )
    wanted = [declared[place] for place in places]
    try:
        pages = _page_table(connection, path, table)
        stored = pages.scan()
        kinds, count = [stored[place] for place in places], pages.n_rows
    except UnusualPagesError:
        pages = None
        kinds, count = _ask_kinds(connection, table, [name for name, _ in wanted])
    try:
        planned = tuple(
            _plan_column(name, _affinity(kind), stored, count)
            for (name, kind), stored in zip(wanted, kinds, strict=True)
        )
    except UnsupportedColumnError as error:
        raise OpsimFileError(path, str(error)) from error
    return OpsimTable(
        name=table,
        n_rows=count,
        columns=planned,
        pages=None if pages is None else (pages, places),
    )


def _page_table(
    connection: sqlite3.Connection, path: str | Path, table: str
) -> PageTable:
    """Return the pages of a table whose records are as its columns say."""
    columns = connection.execute(
        "SELECT count(*), total(hidden), total(pk) FROM pragma_table_xinfo(?)", (table,)
    ).fetchone()
    (root,) = connection.execute(
        "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
    ).fetchone()
    if columns[1] or columns[2]:
        # generated columns, or a key that may be the row id or replace it
        raise UnusualPagesError("has keys or generated columns")
    return PageTable(path, root, columns[0])


def _ask_kinds(
    connection: sqlite3.Connection, table: str, names: list[str]
) -> tuple[list[StoredKinds], int]:
    """Ask SQLite for the kinds of values in columns, and for the number of rows."""
    source = quote_identifier(table)
    (count,) = connection.execute(f"SELECT count(*) FROM {source}").fetchone()  # noqa: S608 quoted
    found = []
    for name in names:
        quoted = quote_identifier(name)
        totals = ", ".join(
            f"total(typeof({quoted}) = '{kind}')"
            for kind in ("integer", "real", "blob", "text")
        )
        row = connection.execute(
            f"SELECT {totals}, max(length(CAST({quoted} AS BLOB))) FROM {source}"  # noqa: S608 quoted
        ).fetchone()
        integers, reals, blobs, texts, width = (int(value or 0) for value in row)
        found.append(
            StoredKinds(
                integers=integers, reals=reals, blobs=blobs, texts=texts, width=width
            )
        )
    return found, count


def _plan_column(
    name: str, affinity: ColumnKind | None, stored: StoredKinds, count: int
) -> OpsimColumn:
    n_numbers = stored.integers + stored.reals
    if stored.blobs:
        raise UnsupportedColumnError(name, "holds binary objects")
    if stored.texts and n_numbers:
        # a number may have more characters than the longest text
        width = max(stored.width, 25)
        return OpsimColumn(name=name, kind=ColumnKind.MIXED, width=width)
    is_number = n_numbers or affinity in {ColumnKind.INTEGER, ColumnKind.FLOAT}
    if stored.texts or not is_number:
        return OpsimColumn(name=name, kind=ColumnKind.TEXT, width=stored.width)
    if stored.integers == count and affinity is not ColumnKind.FLOAT:
        return OpsimColumn(name=name, kind=ColumnKind.INTEGER)
    return OpsimColumn(name=name, kind=ColumnKind.FLOAT)


def iterate_opsim(
    path: str | Path,
    table: str = "observations",
    columns: Collection[str] | None = None,
) -> Iterator[Batch]:
    """Read a table in batches of a few megabytes, in the order of its rows.

    Parameters
    ----------
    path
        An opsim file.
    table
        Name of a table.
    columns
        Columns to read; None reads all. The order is always the table's.

    Yields
    ------
    batch
        Columns with the same dtypes in every batch; one empty batch when the
        table has no rows. A column that mixes numbers and texts becomes texts.

    Raises
    ------
    OpsimFileError
        If the file or the table cannot be read, or a numeric column of
        ``observations`` holds a text.
    """
    with open_opsim(path) as connection:
        connection.execute("BEGIN")  # nobody writes while we read
        plan = plan_table(connection, path, table, columns)
        yield from read_table(connection, path, plan)


def read_table(
    connection: sqlite3.Connection, path: str | Path, plan: OpsimTable
) -> Iterator[Batch]:
    """Read a table as planned, within the transaction in which it was planned.

    Raises
    ------
    OpsimFileError
        As `iterate_opsim`.
    """
    mixed = [c.name for c in plan.columns if c.kind is ColumnKind.MIXED]
    if mixed and plan.name == "observations":
        raise OpsimFileError(path, f"{mixed[0]} mixes numbers and texts")
    if not plan.n_rows:
        yield plan.empty()
    try:
        if plan.pages is None or mixed:
            yield from _ask_rows(connection, plan)
        else:
            yield from _read_rows(plan, *plan.pages)
    except UnsupportedColumnError as error:
        raise OpsimFileError(path, str(error)) from error


def _read_rows(
    plan: OpsimTable, pages: PageTable, places: tuple[int, ...]
) -> Iterator[Batch]:
    """Take the rows from the pages of the file."""
    for cells in pages.read(places, plan.batch_rows):
        yield {
            column.name: _values(column, cell)
            for column, cell in zip(plan.columns, cells, strict=True)
        }


def _values(column: OpsimColumn, cells: Cells) -> NDArray[np.generic]:
    match column.kind:
        case ColumnKind.INTEGER:
            return cells.integers()
        case ColumnKind.FLOAT:
            return cells.floats()
        case _:
            texts, is_plain = cells.texts(column.width)
            if not is_plain:
                check_text(column.name, cells.texts_one_by_one())
            return texts


def _ask_rows(connection: sqlite3.Connection, plan: OpsimTable) -> Iterator[Batch]:
    """Ask SQLite for the rows."""
    names = ", ".join(quote_identifier(column.name) for column in plan.columns)
    cursor = connection.execute(
        f"SELECT {names} FROM {quote_identifier(plan.name)}"  # noqa: S608 quoted
    )
    while rows := cursor.fetchmany(plan.batch_rows):
        yield {
            column.name: _array(column, values)
            for column, values in zip(
                plan.columns, zip(*rows, strict=True), strict=True
            )
        }


def _array(column: OpsimColumn, values: tuple[Any, ...]) -> NDArray[np.generic]:
    # Any: SQLite hands out int, float, bytes or None
    match column.kind:
        case ColumnKind.INTEGER:
            return np.frombuffer(array("q", values), dtype=np.int64)
        case ColumnKind.FLOAT:
            if None in values:
                values = tuple(np.nan if v is None else v for v in values)
            return np.frombuffer(array("d", values), dtype=np.float64)
        case ColumnKind.TEXT | ColumnKind.MIXED:
            return _text_array(column, values)


def _text_array(column: OpsimColumn, values: tuple[Any, ...]) -> NDArray[np.bytes_]:
    # Any: as in _array
    texts = list(values)
    if column.kind is ColumnKind.MIXED:
        texts = [str(v).encode() if isinstance(v, int | float) else v for v in values]
    present = [text for text in texts if text is not None]
    check_text(column.name, present)
    if len(present) < len(texts):
        texts = [MISSING_TEXT if text is None else text for text in texts]
    return np.array(texts, dtype=_dtype(column))
