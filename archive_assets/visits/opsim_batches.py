"""Read tables of an opsim SQLite file safely, as batches of plain columns.

The file is opened read-only. Only ordinary tables are read: views, virtual tables
and generated columns could hide code in the schema, and triggers never run on
reading. Names are quoted, whatever they are.
"""

import sqlite3
from array import array
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive_assets.visits.columns import (
    MISSING_TEXT,
    Batch,
    UnsupportedColumnError,
    VisitsFileError,
    check_text,
)

__all__ = [
    "OpsimFileError",
    "OpsimTable",
    "check_opsim",
    "iterate_opsim",
    "open_opsim",
    "opsim_table_names",
    "quote_identifier",
]

BATCH_ROWS = 4096
_LONG_TABLE_ROWS = 50_000
_HEADER = b"SQLite format 3\0"
_POINTINGS = (
    ("observationStartMJD", "fieldRA", "fieldDec"),
    ("obs_start_mjd", "s_ra", "s_dec"),
)


class OpsimFileError(VisitsFileError):
    """An opsim file is damaged, or is none, or lacks what visits need."""


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
    """What is known of a table before its rows are read."""

    name: str
    n_rows: int
    columns: tuple[OpsimColumn, ...]

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


def quote_identifier(name: str) -> str:
    """Return a name of a table or column, quoted for SQLite."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def open_opsim(path: str | Path) -> Iterator[sqlite3.Connection]:
    """Open an opsim file read-only.

    Raises
    ------
    OpsimFileError
        If the file is absent, empty, not SQLite, or shorter than it says.
    """
    path = Path(path)
    _check_header(path)
    uri = path.absolute().as_uri() + "?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.text_factory = bytes
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA cell_size_check=ON")
            yield connection
    except sqlite3.Error as error:
        raise OpsimFileError(path, f"cannot be read: {error}") from error


def _check_header(path: Path) -> None:
    if not path.is_file():
        raise OpsimFileError(path, "no such file")
    size = path.stat().st_size
    if not size:
        raise OpsimFileError(path, "the file is empty")
    with path.open("rb") as stream:
        header = stream.read(100)
    if not header.startswith(_HEADER):
        raise OpsimFileError(path, "is not an SQLite file")
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    pages = int.from_bytes(header[28:32], "big")
    is_count_valid = header[24:28] == header[92:96]
    if len(header) < 100 or (is_count_valid and size < pages * page_size):
        raise OpsimFileError(path, "is truncated")


def opsim_table_names(connection: sqlite3.Connection) -> list[str]:
    """Return the ordinary tables, in the order of their creation."""
    rows = connection.execute(
        "SELECT name FROM pragma_table_list "
        "WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' "
        "ESCAPE '\\'"
    ).fetchall()
    ordinary = {row[0] for row in rows}
    created = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid"
    ).fetchall()
    return [row[0].decode() for row in created if row[0] in ordinary]


def check_opsim(path: str | Path, *, allow_empty: bool = False) -> None:
    """Refuse a file that is not a usable opsim file.

    Parameters
    ----------
    path
        The file.
    allow_empty
        Whether a table ``observations`` without rows is usable: a night without
        visits is a statement, too.

    Raises
    ------
    OpsimFileError
        If the file is empty, truncated or not SQLite, or its table
        ``observations`` is absent, empty, or lacks times or directions. Columns
        beyond those are free.
    """
    with open_opsim(path) as connection:
        columns = [name for name, _ in _declared(connection, path, "observations")]
        lacking = min(
            ([name for name in need if name not in columns] for need in _POINTINGS),
            key=len,
        )
        if lacking:
            raise OpsimFileError(path, f"observations lack {', '.join(lacking)}")
        row = connection.execute("SELECT 1 FROM observations LIMIT 1").fetchone()
        connection.execute("SELECT count(*) FROM observations").fetchone()
    if row is None and not allow_empty:
        raise OpsimFileError(path, "has no observations")


def _declared(
    connection: sqlite3.Connection, path: str | Path, table: str
) -> list[tuple[str, str]]:
    """Return names and declared types of the stored columns of a table."""
    if table not in opsim_table_names(connection):
        raise OpsimFileError(path, f"has no table {table!r}")
    rows = connection.execute(
        "SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden = 0", (table,)
    ).fetchall()
    return [(name.decode(), declared.decode()) for name, declared in rows]


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

    SQLite lets any value stand in any column, so declared types are only trusted in
    long tables, and there only for REAL and TEXT columns; a text in a REAL column
    of a long table is an error when it is read.

    Raises
    ------
    OpsimFileError
        If the table or a column is absent or holds binary objects.
    """
    declared = _declared(connection, path, table)
    if columns is not None:
        unknown = set(columns) - {name for name, _ in declared}
        if unknown:
            raise OpsimFileError(path, f"{table} has no {', '.join(sorted(unknown))}")
        declared = [pair for pair in declared if pair[0] in columns]
    source = quote_identifier(table)
    (count,) = connection.execute(f"SELECT count(*) FROM {source}").fetchone()  # noqa: S608 quoted
    is_long = count > _LONG_TABLE_ROWS
    affinities = [_affinity(kind) for _, kind in declared]
    kinds = [
        kind if is_long and kind is not ColumnKind.INTEGER else None
        for kind in affinities
    ]
    wanted = ["1"]
    for (name, _), kind in zip(declared, kinds, strict=True):
        wanted += _facts(quote_identifier(name), kind)
    facts = iter(
        connection.execute(f"SELECT {', '.join(wanted)} FROM {source}").fetchone()  # noqa: S608 quoted
    )
    next(facts)
    try:
        planned = [
            _plan_column(name, trusted, affinity, count, facts)
            for (name, _), trusted, affinity in zip(
                declared, kinds, affinities, strict=True
            )
        ]
    except UnsupportedColumnError as error:
        raise OpsimFileError(path, str(error)) from error
    return OpsimTable(name=table, n_rows=count, columns=tuple(planned))


def _facts(quoted: str, kind: ColumnKind | None) -> list[str]:
    """Return SQL aggregates that decide how a column is read."""
    longest = f"max(length(CAST({quoted} AS BLOB)))"
    match kind:
        case ColumnKind.FLOAT:
            return []
        case ColumnKind.TEXT:
            return [longest]
        case _:
            types = ("integer", "real", "text", "blob")
            return [f"total(typeof({quoted}) = '{t}')" for t in types] + [longest]


def _plan_column(
    name: str,
    trusted: ColumnKind | None,
    affinity: ColumnKind | None,
    count: int,
    facts: Iterator[float | None],
) -> OpsimColumn:
    if trusted is ColumnKind.FLOAT:
        return OpsimColumn(name=name, kind=trusted)
    if trusted is ColumnKind.TEXT:
        return OpsimColumn(name=name, kind=trusted, width=int(next(facts) or 0))
    integers, reals, texts, blobs, width = (int(next(facts) or 0) for _ in range(5))
    if blobs:
        raise UnsupportedColumnError(name, "holds binary objects")
    if texts and (integers or reals):
        return OpsimColumn(name=name, kind=ColumnKind.MIXED, width=width)
    is_number = integers or reals or affinity in {ColumnKind.INTEGER, ColumnKind.FLOAT}
    if texts or not is_number:
        return OpsimColumn(name=name, kind=ColumnKind.TEXT, width=width)
    if integers == count and affinity is not ColumnKind.FLOAT:
        return OpsimColumn(name=name, kind=ColumnKind.INTEGER)
    return OpsimColumn(name=name, kind=ColumnKind.FLOAT)


def iterate_opsim(
    path: str | Path,
    table: str = "observations",
    columns: Collection[str] | None = None,
    *,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[Batch]:
    """Read a table in batches, in the order of its rows.

    Parameters
    ----------
    path
        An opsim file.
    table
        Name of a table.
    columns
        Columns to read; None reads all. The order is always the table's.
    batch_rows
        Most rows of a batch.

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
        plan = plan_table(connection, path, table, columns)
        mixed = [c.name for c in plan.columns if c.kind is ColumnKind.MIXED]
        if mixed and table == "observations":
            raise OpsimFileError(path, f"{mixed[0]} mixes numbers and texts")
        if not plan.n_rows:
            yield plan.empty()
        yield from _read(connection, path, plan, batch_rows)


def _read(
    connection: sqlite3.Connection, path: str | Path, plan: OpsimTable, batch_rows: int
) -> Iterator[Batch]:
    names = ", ".join(quote_identifier(column.name) for column in plan.columns)
    cursor = connection.execute(
        f"SELECT {names} FROM {quote_identifier(plan.name)}"  # noqa: S608 quoted
    )
    while rows := cursor.fetchmany(batch_rows):
        batch: Batch = {}
        for column, values in zip(plan.columns, zip(*rows, strict=True), strict=True):
            try:
                batch[column.name] = _array(column, values)
            except UnsupportedColumnError as error:
                raise OpsimFileError(path, str(error)) from error
            except (TypeError, ValueError) as error:
                reason = f"column {column.name!r} holds a value that is not a number"
                raise OpsimFileError(path, reason) from error
        yield batch


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
