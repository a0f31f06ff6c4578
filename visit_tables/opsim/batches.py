"""Read tables of an opsim SQLite file as batches of plain columns.

A table is read in pieces, each of which comes as one batch of Arrow columns whose
types are those of its values: SQLite lets any value stand in any column. A table of
one piece, as a night's is, is read once. A longer one is read twice, since the widest
text and the type of a column are known at its end.
"""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import adbc_driver_sqlite
import numpy as np
import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcStatement, Error
from numpy.typing import NDArray

from visit_tables.columns import (
    MISSING_TEXT,
    Batch,
    UnsupportedColumnError,
    check_text,
)
from visit_tables.opsim.file import (
    OpsimFileError,
    check_observations,
    declared_columns,
    open_opsim,
    opsim_table_names,
    quote_identifier,
)

__all__ = ["OpsimTable", "OpsimTables", "iterate_opsim", "open_tables"]

_PIECE_BYTES = 120_000_000
_BATCH_ROWS = 16_384
_LARGEST_EXACT = 2**53
_NUMBER_CHARACTERS = 25
_LONG_TEXT = 100
_ROW_IDS = ("rowid", "_rowid_", "oid")


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

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype of every batch."""
        match self.kind:
            case ColumnKind.INTEGER:
                return np.dtype(np.int64)
            case ColumnKind.FLOAT:
                return np.dtype(np.float64)
            case ColumnKind.TEXT | ColumnKind.MIXED:
                return np.dtype(f"S{max(self.width, 1)}")


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


@dataclass(kw_only=True, slots=True)
class _Seen:
    """What the pieces of one column were."""

    affinity: ColumnKind | None
    types: set[pa.DataType] = field(default_factory=set)
    has_missing: bool = False
    width: int = 0

    def add(self, cells: pa.Array) -> None:
        self.has_missing |= bool(cells.null_count)
        if cells.null_count == len(cells):
            return  # its type is any
        self.types.add(cells.type)
        if cells.type == pa.string():
            ends = np.frombuffer(cells.buffers()[1], dtype=np.int32)
            self.width = max(self.width, int(np.diff(ends[: len(cells) + 1]).max()))


class OpsimTables:
    """The tables of an open file, in one transaction.

    Parameters
    ----------
    path
        The file, for errors.
    schema
        Where names and declared types are asked for.
    values
        Where rows come from.
    """

    def __init__(
        self, path: str | Path, schema: sqlite3.Connection, values: AdbcConnection
    ) -> None:
        self._path = path
        self._schema = schema
        self._values = values

    def names(self) -> list[str]:
        """Return the ordinary tables, in the order of their creation."""
        return opsim_table_names(self._schema)

    def check_observations(self) -> None:
        """Refuse a file without usable observations; they may have no rows.

        Raises
        ------
        OpsimFileError
            As `visit_tables.opsim.file.check_observations`.
        """
        check_observations(self._schema, self._path, allow_empty=True)

    def table(self, name: str, columns: Collection[str] | None = None) -> "OpsimTable":
        """Look at a table: what each of its columns is read as, and how long it is.

        Raises
        ------
        OpsimFileError
            If the table or a column is absent, or a column holds what a visits
            file cannot.
        """
        declared = declared_columns(self._schema, self._path, name)
        if columns is not None:
            unknown = set(columns) - {column for column, _ in declared}
            if unknown:
                missing = ", ".join(sorted(unknown))
                raise OpsimFileError(self._path, f"{name} has no {missing}")
        seen = {
            column: _Seen(affinity=_affinity(kind))
            for column, kind in declared
            if columns is None or column in columns
        }
        row_id = self._row_id(name, [column for column, _ in declared])
        source = _Source(self, name, list(seen), row_id)
        n_rows, n_pieces, only = 0, 0, None
        for piece in source.pieces():
            n_rows, n_pieces = n_rows + piece.num_rows, n_pieces + 1
            only = piece if n_pieces == 1 else None
            for what, cells in zip(seen.values(), piece.columns, strict=True):
                what.add(cells)
        planned = tuple(
            self._column(name, column, what, n_rows) for column, what in seen.items()
        )
        return OpsimTable(self._path, source, n_rows, planned, only)

    def _row_id(self, table: str, columns: list[str]) -> str | None:
        """Return how the row id of a table is called; None if nothing is left."""
        query = "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?"
        (is_without,) = self._schema.execute(query, (table,)).fetchone()
        taken = {column.lower() for column in columns}
        free = [name for name in _ROW_IDS if name not in taken]
        return free[0] if free and not is_without else None

    def _column(self, table: str, name: str, seen: _Seen, n_rows: int) -> OpsimColumn:
        """Choose what a column is read as."""
        is_numeric = seen.affinity in {ColumnKind.INTEGER, ColumnKind.FLOAT}
        if pa.binary() in seen.types:
            raise OpsimFileError(self._path, f"column {name!r} holds binary objects")
        if pa.string() in seen.types:
            if seen.affinity is ColumnKind.TEXT or not self._has_numbers(table, name):
                return OpsimColumn(name=name, kind=ColumnKind.TEXT, width=seen.width)
            if table == "observations":
                raise OpsimFileError(self._path, f"{name} mixes numbers and texts")
            # a number may have more characters than the longest text
            width = max(seen.width, _NUMBER_CHARACTERS)
            return OpsimColumn(name=name, kind=ColumnKind.MIXED, width=width)
        if not seen.types and not is_numeric:
            return OpsimColumn(name=name, kind=ColumnKind.TEXT)
        if seen.affinity is ColumnKind.FLOAT:
            return OpsimColumn(name=name, kind=ColumnKind.FLOAT)
        if pa.float64() not in seen.types and not seen.has_missing:
            return OpsimColumn(name=name, kind=ColumnKind.INTEGER)
        if n_rows:
            self._check_exact(table, name)
        return OpsimColumn(name=name, kind=ColumnKind.FLOAT)

    def _has_numbers(self, table: str, name: str) -> bool:
        # in SQLite's order numbers come before texts
        quoted, source = quote_identifier(name), quote_identifier(table)
        query = f"SELECT typeof(min({quoted})) FROM {source}"  # noqa: S608 quoted
        return self.answers(query)[0] in {"integer", "real"}

    def _check_exact(self, table: str, name: str) -> None:
        """Refuse integers that change when a column becomes one of floats."""
        quoted, source = quote_identifier(name), quote_identifier(table)
        query = (
            f"SELECT min({quoted}), max({quoted}) FROM {source} "  # noqa: S608 quoted
            f"WHERE typeof({quoted}) = 'integer'"
        )
        for found in self.answers(query):
            if found is not None and abs(found) > _LARGEST_EXACT:
                raise OpsimFileError(
                    self._path,
                    f"column {name!r} of {table} holds {found} beside missing values "
                    "or fractions: give it an integer in every row, or drop the column",
                )

    def answers(self, query: str) -> list[Any]:
        """Return the one row of a query; Any: values of SQLite."""
        row = self.ask(query, 1)
        return [] if row is None else [cells[0].as_py() for cells in row.columns]

    def ask(self, query: str, most_rows: int) -> pa.RecordBatch | None:
        """Return up to some rows, with types that hold all of their values, or None.

        Raises
        ------
        OpsimFileError
            If they cannot be read.
        """
        try:
            with AdbcStatement(self._values) as statement:
                statement.set_options(
                    **{"adbc.sqlite.query.batch_rows": str(most_rows)}
                )
                statement.set_sql_query(query)
                stream, _ = statement.execute_query()
                with pa.RecordBatchReader.from_stream(stream) as reader:
                    return next((batch for batch in reader if batch.num_rows), None)
        except (Error, OSError, pa.ArrowException) as error:
            raise OpsimFileError(self._path, f"cannot be read: {error}") from error


class _Source:
    """Where the rows of some columns of a table are."""

    def __init__(
        self, tables: OpsimTables, table: str, columns: list[str], row_id: str | None
    ) -> None:
        self._tables = tables
        self._table = quote_identifier(table)
        self._columns = columns
        self._row_id = row_id

    def pieces(self, texts: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the rows in pieces, in their order; some columns as texts."""
        names = [
            f"CAST({quote_identifier(name)} AS TEXT)"
            if name in texts
            else quote_identifier(name)
            for name in self._columns
        ]
        query = f"SELECT {', '.join(names)} FROM {self._table}"  # noqa: S608 quoted
        if self._row_id is None:
            (n_rows,) = self._tables.answers(f"SELECT count(*) FROM {self._table}")  # noqa: S608 quoted
            if n_rows:
                yield self._tables.ask(query, n_rows)
            return
        query = query.replace("SELECT", f"SELECT {self._row_id},", 1)
        most_rows = _PIECE_BYTES // (8 * (len(names) + 1))
        after = ""
        piece_rows = most_rows
        while piece_rows == most_rows:
            piece = self._tables.ask(
                f"{query}{after} ORDER BY {self._row_id} LIMIT {most_rows}", most_rows
            )
            if piece is None:
                return
            yield piece.select(range(1, piece.num_columns))
            piece_rows = piece.num_rows
            after = f" WHERE {self._row_id} > {int(piece.column(0)[-1].as_py())}"


class OpsimTable:
    """A table that was looked at, and can be read.

    Attributes
    ----------
    n_rows
        Its number of rows.
    columns
        The columns to read, in the order of the table.
    """

    def __init__(
        self,
        path: str | Path,
        source: _Source,
        n_rows: int,
        columns: tuple[OpsimColumn, ...],
        only: pa.RecordBatch | None,
    ) -> None:
        self._path = path
        self._source = source
        self._only = only
        self.n_rows = n_rows
        self.columns = columns

    def batches(self) -> Iterator[Batch]:
        """Yield the rows, with equal dtypes; one empty batch if there are none.

        Raises
        ------
        OpsimFileError
            If the rows cannot be read, or a text cannot be represented.
        """
        if not self.n_rows:
            yield {column.name: np.empty(0, column.dtype) for column in self.columns}
        mixed = {c.name for c in self.columns if c.kind is ColumnKind.MIXED}
        pieces = [self._only] if self._only else self._source.pieces(mixed)
        for piece in pieces:
            for start in range(0, piece.num_rows, _BATCH_ROWS):
                yield self._batch(piece.slice(start, _BATCH_ROWS))

    def _batch(self, rows: pa.RecordBatch) -> Batch:
        pairs = zip(self.columns, rows.columns, strict=True)
        try:
            return {column.name: _values(column, cells) for column, cells in pairs}
        except UnsupportedColumnError as error:
            raise OpsimFileError(self._path, str(error)) from error


def _values(column: OpsimColumn, cells: pa.Array) -> NDArray[np.generic]:
    if cells.null_count == len(cells):
        missing = np.nan if column.kind is ColumnKind.FLOAT else MISSING_TEXT
        return np.full(len(cells), missing, dtype=column.dtype)
    if column.kind is ColumnKind.INTEGER:
        return _plain(cells)
    if column.kind is ColumnKind.FLOAT:
        numbers = _plain(cells).astype(np.float64, copy=False)
        if cells.null_count:
            numbers = np.where(_is_missing(cells), np.nan, numbers)
        return numbers
    return _texts(column, cells)


def _texts(column: OpsimColumn, cells: pa.Array) -> NDArray[np.bytes_]:
    _, places, characters = cells.buffers()
    ends = np.frombuffer(places, dtype=np.int32)[cells.offset :][: len(cells) + 1]
    joined = np.frombuffer(characters, dtype=np.uint8)[ends[0] : ends[-1]]
    lengths, width = np.diff(ends), column.dtype.itemsize
    is_plain = bool(joined.all() and joined.max(initial=0) < 0x80)
    if is_plain and MISSING_TEXT[0] not in joined and width <= _LONG_TEXT:
        grid = np.zeros((len(cells), width), dtype=np.uint8)
        grid[np.arange(width) < lengths[:, None]] = joined
        texts = grid.view(column.dtype).reshape(-1)
    else:
        whole = joined.tobytes()
        ends = ends - ends[0]
        values = [whole[a:b] for a, b in pairwise(ends.tolist())]
        check_text(column.name, values)
        texts = np.array(values, dtype=column.dtype)
    if cells.null_count:
        texts[_is_missing(cells)] = MISSING_TEXT
    return texts


def _plain(cells: pa.Array) -> NDArray[Any]:
    """Return numbers of an array as they lie in memory, whatever is missing.

    pyarrow's own conversions import pandas. Any: of whichever type it has.
    """
    kind = np.float64 if cells.type == pa.float64() else np.int64
    values = np.frombuffer(cells.buffers()[1], dtype=kind)
    return values[cells.offset : cells.offset + len(cells)]


def _is_missing(cells: pa.Array) -> NDArray[np.bool_]:
    bits = np.frombuffer(cells.buffers()[0], dtype=np.uint8)
    valid = np.unpackbits(bits, bitorder="little", count=cells.offset + len(cells))
    return np.equal(valid[cells.offset :], 0)


@contextmanager
def open_tables(path: str | Path) -> Iterator[OpsimTables]:
    """Open a file to read its tables, all in one transaction.

    Raises
    ------
    OpsimFileError
        If the file is absent, empty, not SQLite, or shorter than it says.
    """
    with open_opsim(path) as schema:
        uri = Path(path).absolute().as_uri() + "?mode=ro"
        try:
            database = adbc_driver_sqlite.connect(uri)
        except Error as error:
            raise OpsimFileError(path, f"cannot be read: {error}") from error
        with database, AdbcConnection(database) as values:
            with AdbcStatement(values) as statement:
                # a generated column may ask for functions: the harmless ones only
                for pragma in ("cell_size_check=ON", "trusted_schema=OFF"):
                    statement.set_sql_query(f"PRAGMA {pragma}")
                    statement.execute_update()
            values.set_autocommit(enabled=False)  # what a writer commits is not seen
            yield OpsimTables(path, schema, values)


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
        If the file or the table cannot be read, a numeric column of
        ``observations`` holds a text, or an integer column with missing values
        holds an integer that a float cannot.
    """
    with open_tables(path) as tables:
        yield from tables.table(table, columns).batches()
