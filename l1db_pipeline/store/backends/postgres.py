"""One PostgreSQL connection: binary COPY in, one binary array a column out.

Reading as ``array_agg`` costs the server about as much as COPY and the client next
to nothing; of the ways measured (psycopg's COPY and fetchall, ADBC, ``array_agg``,
``record_send``) it takes the least CPU of both together for up to ten columns, and
within 6 % of the best for twenty. Needs PostgreSQL 14 or later.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import psycopg
import sqlalchemy as sa
from numpy.typing import NDArray
from psycopg import sql
from psycopg.pq import TransactionStatus
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import ColumnElement
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import L1dbError
from l1db_pipeline.schema.model import Column, Datatype, Table
from l1db_pipeline.store.backends.claiming import ClaimingDatabase
from l1db_pipeline.store.backends.database import Condition
from l1db_pipeline.store.backends.ddl import Tables
from l1db_pipeline.store.backends.pg_activity import sessions_of
from l1db_pipeline.store.backends.pg_claim import CREATE_CLAIM, claim_text, stale_read
from l1db_pipeline.store.backends.pg_errors import detail_of, kind_of
from l1db_pipeline.store.backends.pg_session import (
    connect,
    connection_options,
    session_settings,
    unit_name,
)
from l1db_pipeline.store.backends.pg_updates import StagedUpdates
from l1db_pipeline.store.backends.pgbinary import (
    Int8Array,
    Int8ArrayDumper,
    copy_payload,
    decode_columns,
)
from l1db_pipeline.store.backends.tabular import to_python
from l1db_pipeline.store.errors import (
    CommitLostError,
    ConnectionLostError,
    DatabaseEncodingError,
    DatabaseError,
    DatabaseUnavailableError,
    StoreClosedError,
)
from l1db_pipeline.store.meter import ServerMeter, meter_of_thread
from l1db_pipeline.store.tables.layout import CELLS
from l1db_pipeline.store.token import CellClaim
from pipeline_runtime.errors import interrupt_behind
from pipeline_runtime.postgres_session import CLIENT_ENCODING
from pipeline_runtime.urls import safe_url

__all__ = ["PostgresDatabase"]

T = TypeVar("T")

_BY_THEMSELVES = {"BEGIN", "COMMIT", "ROLLBACK", "VACUUM"}
_STAGE = "l1_stage"
_CANCEL_S = 10.0


@dataclass(frozen=True, slots=True)
class _Arrays:
    """The kind of a select that gives each column as one array."""

    masked: tuple[str, ...]
    """Columns whose NULLs are asked for, each as one array more."""


class PostgresDatabase(StagedUpdates, ClaimingDatabase):
    """A PostgreSQL database through psycopg 3.

    Parameters
    ----------
    url
        SQLAlchemy URL.
    prefix, namespace
        Of the tables.
    known
        Every table of the layout.

    Raises
    ------
    DatabaseUnavailableError
        If no connection can be made.
    """

    _ranges_at_once = None
    _before_joins = "SET LOCAL enable_hashjoin = on", "SET LOCAL enable_seqscan = on"

    def __init__(
        self, url: str, *, prefix: str, namespace: str, known: Sequence[Table]
    ) -> None:
        tables = Tables("postgresql", prefix=prefix, namespace=namespace)
        super().__init__(safe_url(url), tables, known)
        self._namespace = namespace
        self._session = session_settings(namespace)
        self._options = connection_options(url)
        self._copies: dict[tuple[Hashable, ...], sql.Composed] = {}
        self._is_committed = self._is_in_transaction = False
        self._connect()

    def _connect(self) -> None:
        with self._translated():
            self._connection = connect(self._options)
            self._connection.adapters.register_dumper(Int8Array, Int8ArrayDumper)
            found = self._connection.execute("SELECT pg_backend_pid()").fetchone()
            # a pooler answers with a process of its own: prepared statements and
            # settings of the session would stay with a server that others use, too
            self._is_pooled = found != (self._connection.info.backend_pid,)
            if self._is_pooled:
                self._connection.prepare_threshold = None
            else:
                self._set_session("SET")
        self._cursor = self._connection.cursor(binary=True)

    def _set_session(self, verb: str) -> None:
        self._connection.execute(self._settings(verb).encode())

    def _settings(self, verb: str) -> str:
        """Return what sets what statements rely on, for the simple protocol."""
        settings = self._session.items()
        return "; ".join(f"{verb} {name} = {value}" for name, value in settings)

    @override
    def close(self) -> None:
        self._connection.close()

    @override
    @contextmanager
    def _translated(self, table: str = "") -> Iterator[None]:
        place = f"{self.place} {table}".strip()
        try:
            yield
        except psycopg.Error as error:
            if (interrupt := interrupt_behind(error)) is not None:
                raise interrupt from None  # it broke a pipeline, which then failed
            held = getattr(self, "_connection", None)
            kind = kind_of(error, is_lost=held is not None and held.broken)
            is_plain = issubclass(kind, DatabaseUnavailableError)
            raise kind(place, detail_of(error)) from None if is_plain else error

    @override
    def _execute(self, text: str, values: Sequence[Any] = (), table: str = "") -> Any:
        if self._connection.closed and not self._connection.broken:
            raise StoreClosedError
        if self._is_in_transaction or not text.startswith("SELECT"):
            return self._execute_once(text, values, table)
        return self._repeated(lambda: self._execute_once(text, values, table))

    def _repeated(self, action: Callable[[], T]) -> T:
        """Do something that changes nothing, once more if the connection was lost."""
        try:
            return action()
        except ConnectionLostError:
            self._connect()
            return action()

    def _execute_once(self, text: str, values: Sequence[Any], table: str) -> Any:
        with self._translated(table):
            if self._is_pooled and self._is_alone(text):
                with self._connection.transaction():
                    self._set_session("SET LOCAL")
                    return self._cursor.execute(text.encode(), values)
            return self._cursor.execute(text.encode(), values)

    def _is_alone(self, text: str) -> bool:
        """Tell whether a statement would run outside of any transaction."""
        is_idle = self._connection.info.transaction_status is TransactionStatus.IDLE
        return is_idle and text.partition(" ")[0] not in _BY_THEMSELVES

    @override
    def _execute_many(
        self, text: str, rows: Iterable[Sequence[Any]], table: str
    ) -> int:
        every = list(rows)
        if len(every) == 1:  # without the pipeline that many rows are worth
            return int(self._execute(text, every[0], table).rowcount)
        with self._translated(table):
            self._cursor.executemany(text.encode(), every)
            return self._cursor.rowcount

    @override
    def _begin(self, *, write: bool) -> str:
        return "BEGIN" if write else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    @override
    def _start(self, *, write: bool, unit: str) -> None:
        if self._connection.closed and not self._connection.broken:
            raise StoreClosedError
        parts = [self._begin(write=write)]
        if unit:
            parts.append(unit_name(self._options, unit))
        self._repeated(lambda: self._send(parts))
        self._is_in_transaction = True

    def _send(self, parts: Sequence[str]) -> None:
        """Send statements without values as one message."""
        pooled = [self._settings("SET LOCAL")] if self._is_pooled else []
        with self._translated():
            self._connection.execute("; ".join([*parts, *pooled]).encode())

    @override
    def _commit(self) -> None:
        if not self._is_committed:
            try:
                super()._commit()
            except ConnectionLostError as error:
                raise CommitLostError(error.place, error.problem) from None
        self._is_committed = self._is_in_transaction = False

    @override
    def _roll_back(self) -> None:
        self._is_committed = self._is_in_transaction = False
        if self._connection.closed:
            return
        status = self._connection.info.transaction_status
        if status is not TransactionStatus.ACTIVE:
            self._execute("ROLLBACK")
            return
        # an exception of a signal handler left a statement running: the error to tell
        # of is that one, and the store goes on with another connection
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=_CANCEL_S)
        self._connection.close()
        with suppress(L1dbError):
            self._connect()

    @override
    def _to_rows(
        self, columns: Sequence[Column], rows: Catalog
    ) -> Iterable[tuple[Any, ...]]:
        return to_python(columns, rows)

    @override
    def _id_list(self, ids: NDArray[np.int64]) -> Any:
        return Int8Array(ids)

    @override
    def _is_one_of(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        return column == sa.func.any(sa.bindparam(name))

    @override
    def _is_in_ranges(
        self, element: ColumnElement[Any], name: str, n_ranges: int
    ) -> ColumnElement[bool]:
        # a table of ranges, joined, which is faster than OR
        bound: list[sa.BindParameter[Any]] = [sa.bindparam(f"{name}{end}")
                                              for end in "lh"]  # fmt: skip
        ranges = sa.func.unnest(*bound).table_valued("low", "high").render_derived()
        return sa.and_(element >= ranges.c.low, element < ranges.c.high)

    @override
    def _range_values(self, name: str, ranges: NDArray[np.int64]) -> dict[str, Any]:
        lows, highs = Int8Array(ranges[:, 0]), Int8Array(ranges[:, 1])
        return {f"{name}l": lows, f"{name}h": highs}

    @override
    def _insert_into(self, made: sa.Table) -> postgresql.Insert:
        return postgresql.insert(made)

    @override
    def _statement(self, kind: Hashable, table: Table, columns: Sequence[str]) -> Any:
        if not isinstance(kind, _Arrays):
            return super()._statement(kind, table, columns)
        made = self._tables[table]
        elements: list[ColumnElement[Any]] = [
            made.c[table.column(name).sql_name] for name in columns
        ]
        elements += [
            made.c[table.column(name).sql_name].is_(None) for name in kind.masked
        ]
        arrays = (sa.func.array_send(sa.func.array_agg(e)) for e in elements)
        return sa.select(*arrays).select_from(made)

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
        if any(column.numpy_dtype.hasobject for column in wanted):
            return super().select(table, columns, where, null_free=null_free)
        if not wanted:
            return Catalog({})
        masked = [c for c in wanted if c.nullable and c.name not in null_free]
        kind = _Arrays(tuple([column.name for column in masked]))
        row = self._run(kind, table, columns, where).fetchone() or ()
        return decode_columns(wanted, masked, row)

    @override
    def table_names(self) -> frozenset[str]:
        names = {self._tables.sql_name(table): table.name for table in self._known}
        found = self._execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE c.relname = ANY(%s) AND n.nspname = "
            "coalesce(nullif(%s::text, ''), current_schema())",
            [list(names), self._namespace],
        ).fetchall()
        return frozenset(names[name] for (name,) in found)

    @override
    def create(self, table: Table) -> None:
        encoding = self._connection.info.parameter_status("server_encoding")
        if encoding != CLIENT_ENCODING:
            raise DatabaseEncodingError(self.place, f"its encoding is {encoding}")
        if self._namespace:
            schema = sa.schema.CreateSchema(self._namespace, if_not_exists=True)
            self._execute(self._tables.compile(schema))
        super().create(table)
        if table.name.startswith("L1Packed"):
            # chunks are dense already, and read whole
            storage = "ALTER TABLE {} ALTER COLUMN data SET STORAGE EXTERNAL"
            self._execute(storage.format(self._quoted(table)), table=table.name)
        if table.name == CELLS.name:
            names = {"function": self._claim_name(table), "table": self._quoted(table)}
            with self._translated(table.name):  # without values: it has a % of its own
                self._connection.execute(CREATE_CLAIM.format(**names).encode())

    @override
    def drop(self, table: Table) -> None:
        if table.name == CELLS.name:
            text = f"DROP FUNCTION IF EXISTS {self._claim_name(table)}"
            self._execute(text, table=table.name)
        super().drop(table)

    def _claim_name(self, table: Table) -> str:
        quote = self._tables.dialect.identifier_preparer.quote
        name = quote(f"{self._tables.sql_name(table)}_claim")
        return f"{quote(self._namespace)}.{name}" if self._namespace else name

    @override
    def claim_cells(self, table: Table, claim: CellClaim) -> None:
        # one message of two statements: nobody waits for the client in between
        text = f"{claim_text(self._claim_name(table), claim)}; COMMIT"
        try:
            with self._translated(table.name):
                self._connection.execute(text.encode())
        except ConnectionLostError as error:
            raise CommitLostError(error.place, error.problem) from None
        except DatabaseError as error:
            stale = stale_read(claim, error.__cause__)
            if stale is None:
                raise
            raise stale from None
        self._is_committed = True

    def _quoted(self, table: Table) -> str:
        return self._tables.dialect.identifier_preparer.format_table(
            self._tables[table]
        )

    @override
    def add_if_absent(self, table: Table, rows: Catalog) -> int:
        columns = [table.by_name[name] for name in rows.columns]
        if len(rows) == 1 or any(c.datatype is not Datatype.LONG for c in columns):
            return super().add_if_absent(table, rows)
        # an array a column: a statement for each row would cost many times as much
        key = ("arrays if absent", table.name, tuple(rows.columns))
        if (found := self._texts.get(key)) is None:
            names = [column.sql_name for column in columns]
            arrays = sa.func.unnest(*map(sa.bindparam, names))
            offered = sa.select(arrays.table_valued(*names).render_derived())
            insert = self._insert_into(self._tables[table]).from_select(names, offered)
            found = self._compiled(key, self._or_nothing(insert, table))
        values = {c.sql_name: Int8Array(rows[c.name]) for c in columns}
        text, bound = found
        return int(self._execute(text, [values[n] for n in bound], table.name).rowcount)

    @override
    def append(self, table: Table, rows: Catalog) -> None:
        self._copy(table, rows, None)

    def _copy(self, table: Table, rows: Catalog, stage: sa.Table | None) -> None:
        """Copy rows to a table, or to the stage that stands for it."""
        key = table.name, stage is None, tuple(rows.columns)
        columns = [table.by_name[name] for name in rows.columns]
        query = self._copies.get(key)
        if query is None:
            target = self._tables[table] if stage is None else stage
            query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
                sql.Identifier(*filter(None, (target.schema, target.name))),
                sql.SQL(", ").join(sql.Identifier(c.sql_name) for c in columns),
            )
            self._copies[key] = query
        with self._translated(table.name), self._cursor.copy(query) as copy:
            for block in copy_payload(columns, rows):
                copy.write(block)

    @override
    def _stage(self, table: Table, rows: Catalog) -> sa.Table:
        """Copy rows to a temporary table that ends with the transaction."""
        made = self._tables[table]
        names = [table.column(name).sql_name for name in rows.names]
        columns = [sa.Column(name, made.c[name].type) for name in names]
        stage = sa.Table(
            f"{_STAGE}_{table.name}", sa.MetaData(schema="pg_temp"), *columns
        )
        drop = sa.schema.DropTable(stage, if_exists=True)
        self._execute(self._tables.compile(drop), table=table.name)
        create = self._tables.compile(sa.schema.CreateTable(stage))
        self._execute(f"{create} ON COMMIT DROP", table=table.name)
        self._copy(table, rows, stage)
        return stage

    @override
    def upsert(
        self, table: Table, rows: Catalog, *, newest_by: str, blank: Sequence[str]
    ) -> None:
        if any(table.by_name[name].numpy_dtype.hasobject for name in rows.columns):
            # staged, blobs would be stored twice
            super().upsert(table, rows, newest_by=newest_by, blank=blank)
            return
        if not len(rows):
            return
        stage = self._stage(table, rows)
        names = [column.name for column in stage.c]
        insert = self._insert_into(self._tables[table])
        insert = insert.from_select(names, sa.select(*stage.c))
        changed = self._changes(insert, table, names, blank)
        newest = table.column(newest_by).sql_name
        statement = self._or_update(insert, table, changed, newest)
        self._execute(self._tables.compile(statement), table=table.name)

    @override
    def _is_version_of(
        self, table: Table, versions: Table
    ) -> Sequence[ColumnElement[bool]]:
        # all versions of the time are the visit's: their key finds them in order; with
        # the ids, too, the planner looks each up among all versions of the time
        name = "diaObjectId"
        return (self._cell(table, name) == self._cell(versions, name),)

    @override
    def move(self, source: Table, target: Table) -> int:
        # one statement: a row that comes meanwhile is neither copied nor deleted
        old, new = self._tables[source], self._tables[target]
        names = [column.sql_name for column in source.columns]
        moved = sa.delete(old).returning(*(old.c[n] for n in names)).cte("moved")
        statement = sa.insert(new).from_select(names, sa.select(moved))
        text = self._tables.compile(statement)
        return int(self._execute(text, table=target.name).rowcount)

    @override
    def lock(self, table: Table) -> None:
        text = f"LOCK TABLE {self._quoted(table)} IN SHARE ROW EXCLUSIVE MODE"
        self._execute(text, table=table.name)

    @override
    def n_bytes(self, table: Table) -> int:
        query = "SELECT pg_total_relation_size(%s::regclass)"
        row = self._execute(query, [self._quoted(table)], table.name).fetchone()
        return int(row[0])

    @override
    def meter(self) -> ServerMeter:
        info = self._connection.info
        host = info.host if info.host.startswith("/") else info.hostaddr
        return meter_of_thread(
            None if self._is_pooled else info.backend_pid,
            programs={"postgres"},
            is_near=host.startswith(("/", "127.")) or host == "::1",
            log_bytes=self._log_bytes,
        )

    def _log_bytes(self) -> int:
        query = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
        return int(self._execute(query).fetchone()[0])

    @override
    def sessions(self) -> list[tuple[Any, ...]]:
        with self._translated():
            return sessions_of(self._connection)

    @override
    def tidy(self) -> None:
        names = ", ".join(map(self._quoted, self._known))
        # no vacuum of inserts does it: freeze pages now, not all at once; as long as
        # that takes
        limit = self._session["statement_timeout"]
        if not self._is_pooled:
            self._execute("SET statement_timeout = 0")
        self._execute(f"VACUUM (FREEZE, ANALYZE) {names}")
        if not self._is_pooled:
            self._execute(f"SET statement_timeout = {limit}")
