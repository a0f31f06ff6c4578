"""One MariaDB connection (10.6 or later) through PyMySQL.

MariaDB has no NaN and no infinity. The row tables keep the extreme finite values of a
column's type in their place, which a catalog may therefore not hold itself:

=========  ============================================
Value      Kept as
=========  ============================================
NaN        the lowest value, ``-max``
infinity   the highest value, ``max``
-infinity  the second lowest, ``nextafter(-max, 0)``
=========  ============================================

Packed history keeps them as they are.
"""

import hashlib
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pymysql
import sqlalchemy as sa
from numpy.typing import NDArray
from pymysql.constants import CR, ER
from sqlalchemy import make_url
from sqlalchemy.dialects import mysql
from sqlalchemy.sql.elements import ColumnElement
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Column, Datatype, Table
from l1db_pipeline.store.backends.claiming import ClaimingDatabase
from l1db_pipeline.store.backends.database import Condition, KeyExistsError
from l1db_pipeline.store.backends.ddl import Tables
from l1db_pipeline.store.backends.tabular import to_python
from l1db_pipeline.store.errors import (
    DatabaseError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    InvalidCatalogError,
    StoreClosedError,
)
from l1db_pipeline.store.meter import ServerMeter, meter_of_thread
from pipeline_runtime.errors import interrupt_behind
from pipeline_runtime.urls import safe_url

__all__ = ["MariadbDatabase"]

_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,"
    "ERROR_FOR_DIVISION_BY_ZERO', time_zone = '+00:00', innodb_lock_wait_timeout = 60"
)
_LOCK_TIMEOUT_S = 600
_INTEGER_OPTIONS = {"connect_timeout", "read_timeout", "write_timeout"}
_OPTIONS = {*_INTEGER_OPTIONS, "charset", "read_default_file", "unix_socket"}
_READ_ONLY = {
    ER.OPTION_PREVENTS_STATEMENT, ER.TABLEACCESS_DENIED_ERROR, ER.OPEN_AS_READONLY,
    1792,  # ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
}  # fmt: skip
_FULL = {
    ER.RECORD_FILE_FULL, ER.DISK_FULL, ER.ERROR_ON_WRITE, ER.OUTOFMEMORY,
    ER.CON_COUNT_ERROR,
}  # fmt: skip
_GONE = {
    CR.CR_CONNECTION_ERROR, CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST, ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR,
    ER.BAD_DB_ERROR, ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK, ER.SERVER_SHUTDOWN,
    1927,  # ER_CONNECTION_KILLED
}  # fmt: skip


class MariadbDatabase(ClaimingDatabase):
    """A MariaDB database.

    Parameters
    ----------
    url
        SQLAlchemy URL, ``mysql+pymysql://``; of its query ``unix_socket``,
        ``read_default_file``, ``charset`` and the timeouts are used.
    prefix
        Of the tables.
    known
        Every table of the layout.

    Raises
    ------
    DatabaseUnavailableError
        If no connection can be made.
    """

    can_expire = False

    def __init__(self, url: str, *, prefix: str, known: Sequence[Table]) -> None:
        super().__init__(safe_url(url), Tables("mysql", prefix=prefix), known)
        parts = make_url(url)
        options: dict[str, Any] = parts.translate_connect_args(username="user")
        for name in _OPTIONS & set(parts.query):
            value = str(parts.query[name])
            options[name] = int(value) if name in _INTEGER_OPTIONS else value
        self._database_name = parts.database or ""
        self._is_locked = False
        self._is_closed = False
        self._connection = pymysql.Connection(
            **{"charset": "utf8mb4", **options},
            autocommit=True,
            init_command=_SESSION,
            defer_connect=True,
        )
        with self._translated():
            self._connection.connect(self._unix_socket())

    def _unix_socket(self) -> socket.socket | None:
        """Return a connected socket; PyMySQL 1.2.4 leaks its own if that fails."""
        path = self._connection.unix_socket
        if not path:
            return None
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(self._connection.connect_timeout)
            connected.connect(path)
        except OSError as error:
            connected.close()
            problem = f"no connection to {path}: {error.strerror or error}"
            raise DatabaseUnavailableError(self.place, problem) from error
        return connected

    @override
    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            with suppress(pymysql.err.Error):
                self._connection.close()

    @override
    @contextmanager
    def _translated(self, table: str = "") -> Iterator[None]:
        place = f"{self.place} {table}".strip()
        try:
            yield
        except pymysql.err.Error as error:
            if self._is_closed:
                raise StoreClosedError from None
            if (interrupt := interrupt_behind(error)) is not None:
                raise interrupt from None
            code = error.args[0] if error.args else 0
            text = str(error.args[-1]) if error.args else type(error).__name__
            # the driver's own text, of the first line: it holds no password
            raise _kind(error, code)(place, text.split("\n", 1)[0]) from None

    @override
    @contextmanager
    def transaction(self, *, write: bool, unit: str = "") -> Iterator[None]:
        # writers of other rows must not wait for gaps; readers see one state
        level = "READ COMMITTED" if write else "REPEATABLE READ"
        self._execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        try:
            with super().transaction(write=write, unit=unit):
                yield
        finally:
            self._release_locks()

    @override
    def _begin(self, *, write: bool) -> str:
        snapshot = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
        return "START TRANSACTION" if write else snapshot

    @override
    def _roll_back(self) -> None:
        with suppress(pymysql.err.Error):
            self._connection.rollback()

    @override
    def lock(self, table: Table) -> None:
        """Take the lock of all packed tables, as those who add chunks do.

        It is one, and taken before any row's, so that no two wait for each other:
        the server sees no deadlock between named locks and rows.
        """
        if self._is_locked:
            return
        prefix = self._tables.sql_name(table).removesuffix(table.name)
        name = f"{self._database_name}.{prefix}"
        digest = hashlib.sha256(name.encode()).hexdigest()[:40]
        found = self._execute(
            "SELECT GET_LOCK(%s, %s)", [f"l1db-{digest}", _LOCK_TIMEOUT_S]
        ).fetchone()
        if found != (1,):
            place = f"{self.place} {table.name}"
            raise DatabaseUnavailableError(place, "another process holds its lock")
        self._is_locked = True

    @override
    def lock_rows(self, table: Table, where: Sequence[Condition]) -> None:
        self.lock(table)
        super().lock_rows(table, where)

    def _release_locks(self) -> None:
        if self._is_locked:
            self._is_locked = False
            with suppress(DatabaseError, StoreClosedError):
                self._execute("SELECT RELEASE_ALL_LOCKS()")

    @override
    def _execute(self, text: str, values: Sequence[Any] = (), table: str = "") -> Any:
        with self._translated(table):
            cursor = self._connection.cursor()
            cursor.execute(text, tuple(values) or None)
            return cursor

    @override
    def _execute_many(
        self, text: str, rows: Iterable[Sequence[Any]], table: str
    ) -> int:
        with self._translated(table):
            return self._connection.cursor().executemany(text, list(rows)) or 0

    @override
    def _id_list(self, ids: NDArray[np.int64]) -> Any:
        return ids.tolist() or [None]

    @override
    def _is_one_of(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        # the driver writes a list as (1, 2, ...); a subquery would scan the table
        return column.op("IN", return_type=sa.Boolean())(sa.bindparam(name))

    @override
    def _result(self, column: Column, element: ColumnElement[Any]) -> Any:
        if column.datatype is Datatype.FLOAT:
            # as FLOAT it would come with six digits
            return element.op("+")(sa.literal_column("0e0"))
        return element

    @override
    def _to_rows(
        self, columns: Sequence[Column], rows: Catalog
    ) -> Iterable[tuple[Any, ...]]:
        names = [column.name for column in columns]
        kept = {name: self._to_finite(name, rows[name]) for name in names}
        return to_python(columns, Catalog(kept, rows.select(names).nulls))

    def _to_finite(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        if values.dtype.kind != "f":
            return values
        nan, highest, second = _stand_ins(values.dtype)
        taken = (values == nan) | (values == highest) | (values == second)
        if taken.any():
            raise InvalidCatalogError(
                f"{self.place} column {name}",
                f"{values[taken][0]} is kept for NaN and infinity in MariaDB",
                "give another value",
            )
        if np.isfinite(values).all():
            return values
        finite = np.where(np.isnan(values), nan, values)
        finite = np.where(finite == np.inf, highest, finite)
        return np.where(finite == -np.inf, second, finite).astype(values.dtype)

    @override
    def select(
        self,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition] = (),
        *,
        null_free: frozenset[str] = frozenset(),
    ) -> Catalog:
        found = super().select(table, columns, where, null_free=null_free)
        values = {name: _from_finite(column) for name, column in found.columns.items()}
        return Catalog(values, found.nulls)

    @override
    def append(self, table: Table, rows: Catalog) -> None:
        self._lock_if_packed(table)
        super().append(table, rows)

    @override
    def add_if_absent(self, table: Table, rows: Catalog) -> int:
        self._lock_if_packed(table)
        return super().add_if_absent(table, rows)

    def _lock_if_packed(self, table: Table) -> None:
        if table.name.startswith("L1Packed"):
            self.lock(table)

    @override
    def _insert_into(self, made: sa.Table) -> mysql.Insert:
        return mysql.insert(made)

    @override
    def _offered(self, insert: mysql.Insert) -> Any:
        return insert.inserted

    @override
    def _or_nothing(self, insert: mysql.Insert, table: Table) -> sa.ClauseElement:
        # not INSERT IGNORE, which makes wrong values right
        key = table.column(table.primary_key[0]).sql_name
        return insert.on_duplicate_key_update({key: self._tables[table].c[key]})

    @override
    def _or_update(
        self,
        insert: mysql.Insert,
        table: Table,
        changed: Mapping[str, Any],
        newest: str,
    ) -> sa.ClauseElement:
        made = self._tables[table]
        is_newer = insert.inserted[newest] >= made.c[newest]
        # assigned one after the other: what decides comes last
        names = [*(name for name in changed if name != newest), newest]
        return insert.on_duplicate_key_update(
            [
                (name, sa.func.if_(is_newer, changed[name], made.c[name]))
                for name in names
            ]
        )

    @override
    def table_names(self) -> frozenset[str]:
        names = {self._tables.sql_name(table): table.name for table in self._known}
        rows = self._execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = DATABASE()"
        )
        return frozenset(names[name] for (name,) in rows.fetchall() if name in names)

    @override
    def n_bytes(self, table: Table) -> int:
        row = self._execute(
            "SELECT data_length + index_length FROM information_schema.tables "
            "WHERE table_schema = DATABASE() AND table_name = %s",
            [self._tables.sql_name(table)],
        ).fetchone()
        return int(row[0] or 0) if row else 0

    @override
    def meter(self) -> ServerMeter:
        row = self._execute(
            "SELECT TID, @@hostname FROM information_schema.PROCESSLIST "
            "WHERE ID = CONNECTION_ID()"
        ).fetchone()
        return meter_of_thread(
            int(row[0] or 0),
            programs={"mariadbd", "mysqld"},
            is_near=row[1] == socket.gethostname(),
            log_bytes=self._log_bytes,
        )

    def _log_bytes(self) -> int:
        text = "SHOW GLOBAL STATUS LIKE 'Innodb_lsn_current'"
        return int(self._execute(text).fetchone()[1])

    @override
    def tidy(self) -> None:
        quote = self._tables.dialect.identifier_preparer.quote
        for table in self._known:
            name = quote(self._tables.sql_name(table))
            self._execute(f"ANALYZE TABLE {name}").fetchall()


def _kind(error: pymysql.err.Error, code: Any) -> type[DatabaseError]:
    if code == ER.DUP_ENTRY:
        return KeyExistsError
    if code in _READ_ONLY:
        return DatabaseReadOnlyError
    if code in _FULL:
        return DatabaseFullError
    if code in _GONE or isinstance(error, pymysql.err.InterfaceError):
        return DatabaseUnavailableError
    return DatabaseError


def _stand_ins(dtype: np.dtype[Any]) -> tuple[Any, Any, Any]:
    """Return what stands for NaN, infinity and -infinity."""
    limits = np.finfo(dtype)
    return limits.min, limits.max, np.nextafter(limits.min, dtype.type(0))


def _from_finite(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "f" or not len(values):
        return values
    nan, highest, second = _stand_ins(values.dtype)
    if values.max() < highest and values.min() > second:
        return values
    found = np.where(values == nan, values.dtype.type(np.nan), values)
    found = np.where(found == highest, values.dtype.type(np.inf), found)
    return np.where(found == second, values.dtype.type(-np.inf), found)
