"""One SQLite file: WAL, one writer at a time, NaN kept as the text ``NaN``.

SQLite turns NaN into NULL; a REAL column keeps text that is not a number as it is.
Times are integers, microseconds since 1970 UTC.
"""

import os
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import make_url
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ColumnElement
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Column, Table
from l1db_pipeline.store.backends.claiming import ClaimingDatabase
from l1db_pipeline.store.backends.database import Condition, KeyExistsError
from l1db_pipeline.store.backends.ddl import Tables
from l1db_pipeline.store.backends.tabular import (
    are_numbers,
    from_numbers,
    to_microseconds,
    to_python,
)
from l1db_pipeline.store.errors import (
    DatabaseError,
    DatabaseFullError,
    DatabaseMissingError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    StoreClosedError,
)
from l1db_pipeline.store.meter import IN_CLIENT, ServerMeter
from pipeline_runtime.urls import safe_url

__all__ = ["SqliteDatabase"]

_BUSY_TIMEOUT_S = 60.0
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -16384",  # KiB; what it lacks, the system has in memory
    "PRAGMA temp_store = MEMORY",
)
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_CANNOT_LOCK = {*_READ_ONLY, sqlite3.SQLITE_CANTOPEN}
_GONE = {
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CORRUPT,
}  # fmt: skip


def _opened(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        uri=path.startswith("file:"),
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except sqlite3.OperationalError as error:
        # a file that cannot be written may still be read
        if error.sqlite_errorcode & 0xFF not in _CANNOT_LOCK:
            connection.close()
            raise
    return connection


class SqliteDatabase(ClaimingDatabase):
    """A SQLite database through the standard library.

    Its file is made by the first transaction that writes, which is `create_schema`'s:
    reading a database that does not exist leaves nothing behind. A file of a medium
    that cannot be written is read as it is.

    Parameters
    ----------
    url
        SQLAlchemy URL, ``sqlite:///path``; without path it is in memory.
    prefix
        Of the tables.
    known
        Every table of the layout.
    """

    def __init__(self, url: str, *, prefix: str, known: Sequence[Table]) -> None:
        super().__init__(safe_url(url), Tables("sqlite", prefix=prefix), known)
        self._path = make_url(url).database or ":memory:"
        self._is_closed = False
        self._frozen: tuple[Any, ...] | None = None
        self._opened: sqlite3.Connection | None = None
        if self._exists():
            self._opened = self._connect()

    def _exists(self) -> bool:
        return self._path == ":memory:" or os.path.exists(self._path)  # noqa: PTH110 - `Path.exists` raises where a folder is closed

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._is_closed:
            raise StoreClosedError
        if self._opened is None:
            if not self._exists():
                problem = f"there is no file {self._path}"
                raise DatabaseMissingError(self.place, problem)
            self._opened = self._connect()
        return self._opened

    def _connect(self) -> sqlite3.Connection:
        """Open the file, which is made if it does not exist."""
        with self._translated():
            connection = _opened(self._path)
            try:
                connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchone()
            except sqlite3.OperationalError as error:
                connection.close()
                state = self._state()
                if error.sqlite_errorcode & 0xFF not in _CANNOT_LOCK or any(state[2:]):
                    raise
                # the index of a WAL can be made nowhere, and no WAL or journal is left
                # whose changes would be missed
                connection = _opened(
                    f"{Path(self._path).absolute().as_uri()}?immutable=1"
                )
                self._frozen = state
        return connection

    def _state(self) -> tuple[int, ...]:
        """Return what changes when another process writes."""
        beside = [Path(self._path + end) for end in ("-wal", "-journal")]
        found = Path(self._path).stat()
        sizes = [path.stat().st_size if path.exists() else 0 for path in beside]
        return found.st_mtime_ns, found.st_size, *sizes

    @override
    def close(self) -> None:
        self._is_closed = True
        if self._opened is not None:
            self._opened.close()

    @override
    @contextmanager
    def _translated(self, table: str = "") -> Iterator[None]:
        place = f"{self.place} {table}".strip()
        try:
            yield
        except sqlite3.ProgrammingError as error:
            if "closed" in str(error):
                raise StoreClosedError from None
            raise
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            kind: type[DatabaseError] = DatabaseError
            if isinstance(error, sqlite3.IntegrityError) and "UNIQUE" in str(error):
                kind = KeyExistsError
            elif code in _READ_ONLY:
                kind = DatabaseReadOnlyError
            elif code == sqlite3.SQLITE_FULL:
                kind = DatabaseFullError
            elif code in _GONE:
                kind = DatabaseUnavailableError
            raise kind(place, str(error)) from error

    @override
    def _execute(self, text: str, values: Sequence[Any] = (), table: str = "") -> Any:
        with self._translated(table):
            return self._connection.execute(text, values)

    @override
    def _execute_many(
        self, text: str, rows: Iterable[Sequence[Any]], table: str
    ) -> int:
        with self._translated(table):
            return self._connection.executemany(text, rows).rowcount

    @override
    def _begin(self, *, write: bool) -> str:
        if write and self._opened is None and not self._is_closed:
            self._opened = self._connect()
        if self._frozen is not None and self._frozen != self._state():
            # it was opened as a file that nobody writes, without any lock
            raise DatabaseUnavailableError(
                self.place, "another process has written it since it was opened"
            )
        return "BEGIN IMMEDIATE" if write else "BEGIN"

    @override
    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @override
    def _is_one_of(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        items = sa.func.json_each(sa.bindparam(name)).table_valued("value")
        return column.in_(sa.select(items.c.value))

    @override
    def select(
        self,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition] = (),
        *,
        null_free: frozenset[str] = frozenset(),
    ) -> Catalog:
        wanted = [table.by_name[name] for name in columns]
        has_nulls = any(c.nullable and c.name not in null_free for c in wanted)
        if are_numbers(wanted) and not has_nulls:
            cursors = (self._run("select", table, columns, part)
                       for part in self._split_ranges(where))  # fmt: skip
            # a NaN is text
            with self._translated(table.name), suppress(struct.error):
                return from_numbers(wanted, chain.from_iterable(cursors))
        return super().select(table, columns, where, null_free=null_free)

    @override
    def _to_rows(
        self, columns: Sequence[Column], rows: Catalog
    ) -> Iterable[tuple[Any, ...]]:
        return to_python(columns, rows, times=to_microseconds, nan="NaN")

    @override
    def _insert_into(self, made: sa.Table) -> sqlite.Insert:
        return sqlite.insert(made)

    @override
    def lock_rows(self, table: Table, where: Sequence[Condition]) -> None:
        """Do nothing: a writing transaction is alone anyway."""

    @override
    def lock(self, table: Table) -> None:
        """Do nothing, as above."""

    @override
    def table_names(self) -> frozenset[str]:
        names = {self._tables.sql_name(table): table.name for table in self._known}
        rows = self._execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return frozenset(names[name] for (name,) in rows if name in names)

    @override
    def n_bytes(self, table: Table) -> int:
        made = self._tables[table]
        named = [self._tables.sql_name(table), *(str(i.name) for i in made.indexes)]
        try:
            rows = self._execute(
                "SELECT coalesce(sum(s.pgsize), 0) FROM dbstat s JOIN sqlite_master m "
                "ON m.name = s.name WHERE m.tbl_name = ?",
                named[:1],
            )
        except DatabaseError:
            return 0  # this SQLite was built without dbstat
        return int(rows.fetchone()[0])

    @override
    def meter(self) -> ServerMeter:
        return ServerMeter(where=IN_CLIENT, cpu_s=lambda: 0.0, log_bytes=_written)

    @override
    def tidy(self) -> None:
        self._execute("PRAGMA optimize")
        self._execute("PRAGMA wal_checkpoint(TRUNCATE)")

    _explain = "EXPLAIN QUERY PLAN"


def _written() -> int | None:
    """Return the bytes that this process has written: the log, and the file itself."""
    try:
        text = Path("/proc/self/io").read_text(encoding="ascii")
        return int(text.partition("wchar:")[2].split(maxsplit=1)[0])
    except (OSError, ValueError, IndexError):
        return None
