"""One PostgreSQL connection: binary COPY in, one binary array a column out.

Reading as ``array_agg`` costs the server about as much as COPY and the client next
to nothing; of the ways measured (psycopg's COPY and fetchall, ADBC, ``array_agg``,
``record_send``) it takes the least CPU of both together for up to ten columns, and
within 6 % of the best for twenty. Needs PostgreSQL 14 or later.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import make_url
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import safe_url
from l1db_pipeline.schema.model import Column, Table
from l1db_pipeline.store.backends.database import Condition, Database
from l1db_pipeline.store.backends.ddl import Tables
from l1db_pipeline.store.backends.pgbinary import copy_payload, decode_columns
from l1db_pipeline.store.backends.pgerrors import translated
from l1db_pipeline.store.backends.pgsql import (
    Int8Array,
    Int8ArrayDumper,
    column_name,
    columns_of,
    from_clause,
    name_list,
    python_value,
    where_clause,
)
from l1db_pipeline.store.backends.tabular import from_tuples, to_python
from l1db_pipeline.store.errors import StoreClosedError
from l1db_pipeline.store.tables.layout import VISIT_TIME

__all__ = ["PostgresDatabase"]

_SESSION = (
    # every statement of ours has an index to use; parallel workers and compiled
    # plans cost more CPU than they save on statements of some 10 ms
    "SET TimeZone = 'UTC'; SET enable_seqscan = off; SET enable_hashjoin = off; "
    "SET enable_mergejoin = off; SET jit = off; "
    "SET max_parallel_workers_per_gather = 0; SET client_min_messages = error"
)
_STAGE = "l1_stage"


class PostgresDatabase(Database):
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

    def __init__(
        self, url: str, *, prefix: str, namespace: str, known: Sequence[Table]
    ) -> None:
        self.place = safe_url(url)
        self._known = known
        self._namespace = namespace
        self._tables = Tables("postgresql", prefix=prefix, namespace=namespace)
        parts = make_url(url)
        options: dict[str, Any] = parts.translate_connect_args(
            username="user", database="dbname"
        )
        options |= {name: str(value) for name, value in parts.query.items()}
        with self._translated():
            self._connection = psycopg.connect(**options, autocommit=True)
            self._connection.adapters.register_dumper(Int8Array, Int8ArrayDumper)
            self._connection.execute(_SESSION)
        self._cursor = self._connection.cursor(binary=True)

    @override
    def close(self) -> None:
        self._connection.close()

    def _translated(self, table: str = "") -> AbstractContextManager[None]:
        return translated(f"{self.place} {table}".strip())

    def _run(
        self,
        query: sql.SQL | sql.Composed,
        values: Sequence[Any] = (),
        table: str = "",
    ) -> psycopg.Cursor[Any]:
        if self._connection.closed and not self._connection.broken:
            raise StoreClosedError
        with self._translated(table):
            cursor: psycopg.Cursor[Any] = self._cursor.execute(query, values)
            return cursor

    @override
    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[None]:
        begin = "BEGIN" if write else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        self._run(sql.SQL(begin))
        try:
            yield
        except BaseException:
            if not self._connection.closed:
                self._run(sql.SQL("ROLLBACK"))
            raise
        self._run(sql.SQL("COMMIT"))

    def _name(self, table: Table) -> sql.Identifier:
        name = self._tables.sql_name(table)
        return sql.Identifier(*filter(None, (self._namespace, name)))

    @override
    def table_names(self) -> frozenset[str]:
        names = {self._tables.sql_name(table): table.name for table in self._known}
        found = self._run(
            sql.SQL(
                "SELECT c.relname FROM pg_class c JOIN pg_namespace n "
                "ON n.oid = c.relnamespace WHERE c.relname = ANY(%s) AND n.nspname = "
                "coalesce(nullif(%s::text, ''), current_schema())"
            ),
            [list(names), self._namespace],
        ).fetchall()
        return frozenset(names[name] for (name,) in found)

    @override
    def create(self, table: Table) -> None:
        if self._namespace:
            self._run(
                sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(
                    sql.Identifier(self._namespace)
                )
            )
        for statement in self._tables.create_statements(table):
            self._run(sql.SQL(statement), table=table.name)
        if table.name.startswith("L1Packed"):
            # chunks are dense already, and read whole
            self._run(
                sql.SQL("ALTER TABLE {} ALTER COLUMN data SET STORAGE EXTERNAL").format(
                    self._name(table)
                )
            )

    @override
    def drop(self, table: Table) -> None:
        self._run(
            sql.SQL("DROP TABLE IF EXISTS {}").format(self._name(table)),
            table=table.name,
        )

    @override
    def append(self, table: Table, rows: Catalog) -> None:
        self._copy(self._name(table), columns_of(table, rows.names), rows, table.name)

    def _copy(
        self,
        target: sql.Composable,
        columns: Sequence[Column],
        rows: Catalog,
        table: str,
    ) -> None:
        query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            target, name_list(columns)
        )
        with self._translated(table), self._cursor.copy(query) as copy:
            for block in copy_payload(columns, rows):
                copy.write(block)

    def _stage(self, table: Table, rows: Catalog) -> sql.Identifier:
        """Copy rows to a temporary table that ends with the transaction."""
        stage = sql.Identifier("pg_temp", f"{_STAGE}_{table.name}")
        columns = columns_of(table, rows.names)
        self._run(sql.SQL("DROP TABLE IF EXISTS {}").format(stage))
        self._run(
            sql.SQL(
                "CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA"
            ).format(
                sql.Identifier(f"{_STAGE}_{table.name}"),
                name_list(columns),
                self._name(table),
            )
        )
        self._copy(stage, columns, rows, table.name)
        return stage

    @override
    def add_if_absent(self, table: Table, rows: Catalog) -> int:
        columns = columns_of(table, rows.names)
        added = 0
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING")
        query_text = query.format(
            self._name(table),
            name_list(columns),
            sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
        )
        for row in to_python(columns, rows):
            added += self._run(query_text, row, table.name).rowcount
        return added

    @override
    def upsert(
        self, table: Table, rows: Catalog, *, newest_by: str, blank: Sequence[str]
    ) -> None:
        if not len(rows):
            return
        columns = columns_of(table, rows.names)
        # staged, blobs would be stored twice
        is_direct = any(column.numpy_dtype.hasobject for column in columns)
        new_rows = (
            sql.SQL("VALUES ({})").format(
                sql.SQL(", ").join([sql.Placeholder()] * len(columns))
            )
            if is_direct
            else sql.SQL("SELECT {} FROM {}").format(
                name_list(columns), self._stage(table, rows)
            )
        )
        changed = [c for c in columns if c.name not in table.primary_key]
        assignments = [
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(column.sql_name))
            for column in (*changed, *columns_of(table, blank))
        ]
        newest = sql.Identifier(table.column(newest_by).sql_name)
        query = sql.SQL(
            "INSERT INTO {table} AS t ({names}) {new_rows} "
            "ON CONFLICT ({key}) DO UPDATE SET {assignments} "
            "WHERE t.{newest} <= EXCLUDED.{newest}"
        ).format(
            table=self._name(table),
            names=name_list(columns),
            new_rows=new_rows,
            key=name_list(columns_of(table, table.primary_key)),
            assignments=sql.SQL(", ").join(assignments),
            newest=newest,
        )
        if not is_direct:
            self._run(query, table=table.name)
            return
        with self._translated(table.name):
            self._cursor.executemany(query, to_python(columns, rows))

    @override
    def update_from(
        self,
        table: Table,
        source: Table,
        columns: Sequence[str],
        *,
        time: np.datetime64,
        ids: NDArray[np.int64],
    ) -> int:
        # all versions of the time are the visit's: their key finds them in order
        changed = [c for c in columns if c not in table.primary_key]
        query = sql.SQL(
            "UPDATE {table} AS t SET {assignments}, {visit_time} = s.{start} "
            "FROM {source} AS s WHERE s.{start} = %s AND t.{key} = s.{source_key} "
            "AND t.{visit_time} <= s.{start}"
        ).format(
            table=self._name(table),
            source=self._name(source),
            assignments=sql.SQL(", ").join(
                sql.SQL("{} = s.{}").format(
                    sql.Identifier(table.column(name).sql_name),
                    sql.Identifier(source.column(name).sql_name),
                )
                for name in changed
            ),
            visit_time=sql.Identifier(table.column(VISIT_TIME).sql_name),
            start=sql.Identifier(source.column("validityStart").sql_name),
            key=sql.Identifier(table.column("diaObjectId").sql_name),
            source_key=sql.Identifier(source.column("diaObjectId").sql_name),
        )
        value = python_value(source.column("validityStart"), time)
        return self._run(query, [value], table.name).rowcount

    @override
    def increment(self, table: Table, key: int) -> int:
        query = sql.SQL(
            "INSERT INTO {0} AS t VALUES (%s, 1) ON CONFLICT ({1}) DO UPDATE "
            "SET {2} = t.{2} + 1 RETURNING {2}"
        ).format(
            self._name(table), *(sql.Identifier(c.sql_name) for c in table.columns)
        )
        row = self._run(query, [key], table.name).fetchone()
        return int(row[0]) if row else 0

    @override
    def select(
        self,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition] = (),
        *,
        null_free: frozenset[str] = frozenset(),
    ) -> Catalog:
        wanted = columns_of(table, columns)
        source, values = from_clause(self._name(table), table, where)
        if any(column.numpy_dtype.hasobject for column in wanted):
            query = sql.SQL("SELECT {} {}").format(name_list(wanted), source)
            return from_tuples(wanted, self._run(query, values, table.name).fetchall())
        masked = [c for c in wanted if c.nullable and c.name not in null_free]
        aggregates = [
            *(
                sql.SQL("array_send(array_agg({}))").format(column_name(c))
                for c in wanted
            ),
            *(
                sql.SQL("array_send(array_agg({} IS NULL))").format(column_name(c))
                for c in masked
            ),
        ]
        if not aggregates:
            return Catalog({})
        query = sql.SQL("SELECT {} {}").format(sql.SQL(", ").join(aggregates), source)
        row = self._run(query, values, table.name).fetchone() or ()
        return decode_columns(wanted, masked, row)

    @override
    def lock_rows(self, table: Table, where: Sequence[Condition]) -> None:
        condition, values = where_clause(table, where)
        query = sql.SQL("SELECT FROM {} AS t {} ORDER BY {} FOR UPDATE").format(
            self._name(table),
            condition,
            name_list(columns_of(table, table.primary_key)),
        )
        self._run(query, values, table.name)

    @override
    def delete(self, table: Table, where: Sequence[Condition] = ()) -> int:
        condition, values = where_clause(table, where)
        query = sql.SQL("DELETE FROM {} AS t {}").format(self._name(table), condition)
        return self._run(query, values, table.name).rowcount

    @override
    def set_value(
        self, table: Table, column: str, value: Any, where: Sequence[Condition]
    ) -> int:
        condition, values = where_clause(table, where)
        query = sql.SQL("UPDATE {} AS t SET {} = %s {}").format(
            self._name(table), column_name(table.column(column), alias=False), condition
        )
        typed = python_value(table.column(column), value)
        return self._run(query, [typed, *values], table.name).rowcount

    @override
    def move(self, source: Table, target: Table) -> int:
        query = sql.SQL(
            "WITH moved AS (DELETE FROM {0} RETURNING {2}) "
            "INSERT INTO {1} ({2}) SELECT {2} FROM moved"
        ).format(self._name(source), self._name(target), name_list(source.columns))
        return self._run(query, table=target.name).rowcount

    @override
    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        source, values = from_clause(self._name(table), table, where)
        query = sql.SQL("SELECT count(*) {}").format(source)
        row = self._run(query, values, table.name).fetchone()
        return int(row[0]) if row else 0

    @override
    def count_by(self, table: Table, column: str) -> Mapping[int, int]:
        query = sql.SQL("SELECT {0}, count(*) FROM {1} AS t GROUP BY {0}").format(
            column_name(table.column(column)), self._name(table)
        )
        return dict(self._run(query, table=table.name).fetchall())

    @override
    def count_values(self, table: Table, columns: Sequence[str]) -> list[int]:
        if not columns:
            return []
        counts = [
            sql.SQL("count({})").format(column_name(column))
            for column in columns_of(table, columns)
        ]
        query = sql.SQL("SELECT {} FROM {} AS t").format(
            sql.SQL(", ").join(counts), self._name(table)
        )
        return list(self._run(query, table=table.name).fetchone() or ())

    @override
    def lock(self, table: Table) -> None:
        query = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE")
        self._run(query.format(self._name(table)), table=table.name)

    @override
    def n_bytes(self, table: Table) -> int:
        row = self._run(
            sql.SQL("SELECT pg_total_relation_size({}::regclass)").format(
                sql.Literal(self._name(table).as_string())
            )
        ).fetchone()
        return int(row[0]) if row else 0

    @override
    def maximum(self, table: Table, column: str) -> Any:
        wanted = table.column(column)
        row = self._run(
            sql.SQL("SELECT max({}) FROM {} AS t").format(
                column_name(wanted), self._name(table)
            ),
            table=table.name,
        ).fetchone()
        return row[0] if row else None

    @override
    def tidy(self) -> None:
        names = sql.SQL(", ").join(self._name(table) for table in self._known)
        self._run(sql.SQL("VACUUM (ANALYZE) {}").format(names))

    @override
    def explain(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition]
    ) -> list[str]:
        source, values = from_clause(self._name(table), table, where)
        query = sql.SQL("EXPLAIN SELECT {} {}").format(
            name_list(columns_of(table, columns)), source
        )
        return [row[0] for row in self._run(query, values, table.name).fetchall()]
