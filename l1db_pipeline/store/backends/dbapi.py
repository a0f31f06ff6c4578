"""What all databases share: SQLAlchemy Core writes statements, the driver runs them.

Each statement is compiled once for its table, columns and shape of conditions. What
differs between databases is in their classes, in `postgres`, `sqlite`, `mariadb`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.sql.elements import ColumnElement
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Column, Table
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.backends.ddl import Tables
from l1db_pipeline.store.backends.row_updates import RowUpdates
from l1db_pipeline.store.backends.tabular import from_tuples
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_TIME

__all__ = ["DbapiDatabase"]


class DbapiDatabase(RowUpdates, Database, ABC):
    """A database through a DB-API driver with positional parameters."""

    _explain = "EXPLAIN"
    _ranges_at_once: ClassVar[int | None] = 100
    """How many ranges one statement takes; `None` for any number."""

    def __init__(self, place: str, tables: Tables, known: Sequence[Table]) -> None:
        self.place = place
        self._tables = tables
        self._known = known
        self._texts: dict[tuple[Any, ...], tuple[str, list[str]]] = {}

    @abstractmethod
    def _execute(self, text: str, values: Sequence[Any] = (), table: str = "") -> Any:
        """Run a statement and return its cursor; errors name the table."""

    @abstractmethod
    def _translated(self, table: str = "") -> AbstractContextManager[None]:
        """Return a block in which the driver's errors become ours."""

    @abstractmethod
    def _is_one_of(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return ``column IN`` what `_id_list` gave, bound as ``name``."""

    def _id_list(self, ids: NDArray[np.int64]) -> Any:
        """Return ids as `_is_one_of` takes them: a JSON array."""
        return json.dumps(ids.tolist())

    @abstractmethod
    def _begin(self, *, write: bool) -> str:
        """Return the statement that begins a transaction."""

    def _result(self, _column: Column, element: ColumnElement[Any]) -> Any:
        """Return how a column is selected."""
        return element

    def _value(self, column: Column, value: Any) -> Any:
        """Return one value as the driver takes it."""
        if value is None:
            return None
        array = np.empty(1, dtype=column.numpy_dtype)
        array[0] = value
        return next(iter(self._to_rows([column], Catalog({column.name: array}))))[0]

    @override
    @contextmanager
    def transaction(self, *, write: bool, unit: str = "") -> Iterator[None]:
        self._start(write=write, unit=unit)
        try:
            yield
            self._commit()
        except BaseException:
            self._roll_back()
            raise

    def _start(self, *, write: bool, unit: str) -> None:  # noqa: ARG002 - only a server has somebody to tell of the unit
        self._execute(self._begin(write=write))

    def _commit(self) -> None:
        self._execute("COMMIT")

    @abstractmethod
    def _roll_back(self) -> None:
        """Roll back, if the connection still can."""

    @override
    def _compiled(
        self, key: tuple[Any, ...], statement: sa.ClauseElement
    ) -> tuple[str, list[str]]:
        compiled = statement.compile(dialect=self._tables.dialect)
        names = list(getattr(compiled, "positiontup", None) or [])
        self._texts[key] = str(compiled), names
        return self._texts[key]

    def _clauses(
        self, table: Table, where: Sequence[Condition]
    ) -> Iterator[ColumnElement[bool]]:
        """Yield conditions as SQLAlchemy has them; `_values` has what they bind."""
        made = self._tables[table]
        for place, condition in enumerate(where):
            element = made.c[table.by_name[condition.column].sql_name]
            name = f"p{place}"
            match condition.op:
                case Op.IS_NULL:
                    yield element.is_(None)
                case Op.ONE_OF:
                    yield self._is_one_of(element, name)
                case Op.IN_RANGES:
                    yield self._is_in_ranges(element, name, len(condition.value))
                case _:
                    bound = sa.bindparam(name, type_=element.type)
                    yield element.op(condition.op.value)(bound)

    def _is_in_ranges(
        self, element: ColumnElement[Any], name: str, n_ranges: int
    ) -> ColumnElement[bool]:
        """Return a column in one of so many ranges, bound as `_range_values` says."""
        parts = [
            element.between(
                sa.bindparam(f"{name}l{number}", type_=sa.Integer()),
                sa.bindparam(f"{name}h{number}", type_=sa.Integer()),
            )
            for number in range(n_ranges)
        ]
        return sa.or_(sa.false(), *parts)

    def _range_values(self, name: str, ranges: NDArray[np.int64]) -> dict[str, Any]:
        """Return what `_is_in_ranges` binds."""
        values: dict[str, Any] = {}
        for number, (low, high) in enumerate(ranges.tolist()):
            values |= {f"{name}l{number}": low, f"{name}h{number}": high - 1}
        return values

    def _values(self, table: Table, where: Sequence[Condition]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for place, condition in enumerate(where):
            name = f"p{place}"
            match condition.op:
                case Op.IS_NULL:
                    pass
                case Op.ONE_OF:
                    values[name] = self._id_list(np.asarray(condition.value))
                case Op.IN_RANGES:
                    values |= self._range_values(name, condition.value)
                case _:
                    column = table.by_name[condition.column]
                    values[name] = self._value(column, condition.value)
        return values

    def _run(
        self,
        kind: Hashable,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition],
        values: dict[str, Any] | None = None,
    ) -> Any:
        """Run a statement of a kind, compiled once for each shape of conditions."""
        shape = tuple([(c.column, c.op, self._n_bound_ranges(c)) for c in where])
        key = (kind, table.name, tuple(columns), shape)
        bound = self._values(table, where) | (values or {})
        if (found := self._texts.get(key)) is None:
            clauses = self._clauses(table, where)
            statement = self._statement(kind, table, columns).where(*clauses)
            found = self._compiled(key, statement)
        text, names = found
        return self._execute(text, [bound[name] for name in names], table.name)

    def _n_bound_ranges(self, condition: Condition) -> int:
        """Return how many ranges a statement has parameters for."""
        is_each_bound = self._ranges_at_once and condition.op is Op.IN_RANGES
        return len(condition.value) if is_each_bound else 0

    def _statement(self, kind: Hashable, table: Table, columns: Sequence[str]) -> Any:
        made = self._tables[table]
        cells = [self._cell(table, name) for name in columns]
        match kind:
            case "count":
                return sa.select(sa.func.count()).select_from(made)
            case "delete":
                return sa.delete(made)
            case "lock rows":
                return sa.select(*cells).order_by(*cells).with_for_update()
            case "update":
                value = sa.bindparam("new_value", type_=cells[0].type)
                return sa.update(made).values({cells[0]: value})
            case _:
                wanted = [table.by_name[name] for name in columns]
                found = sa.select(*map(self._result, wanted, cells))
                is_free = kind == "select free"
                return found.with_for_update(skip_locked=True) if is_free else found

    @override
    def column_names(self, table: Table) -> frozenset[str]:
        every = sa.select(sa.text("*")).select_from(self._tables[table])
        text = self._tables.compile(every.where(sa.false()))
        found = self._execute(text, table=table.name).description
        return frozenset(described[0] for described in found)

    @override
    def create(self, table: Table) -> None:
        for statement in self._tables.create_statements(table):
            self._execute(statement, table=table.name)

    @override
    def drop(self, table: Table) -> None:
        statement = sa.schema.DropTable(self._tables[table], if_exists=True)
        self._execute(self._tables.compile(statement), table=table.name)

    def _insert_text(
        self, kind: str, table: Table, names: Sequence[str], blank: Sequence[str] = ()
    ) -> tuple[str, list[Column]]:
        """Return an INSERT and its columns, in the order of its parameters."""
        columns = {table.by_name[name].sql_name: table.by_name[name] for name in names}
        key = (kind, table.name, tuple(columns), tuple(blank))
        if (found := self._texts.get(key)) is None:
            bound: dict[str, Any] = {name: sa.bindparam(name) for name in columns}
            statement = self._insert_statement(kind, table, bound, blank)
            found = self._compiled(key, statement)
        return found[0], [columns[name] for name in found[1]]

    def _insert_statement(
        self,
        kind: str,
        table: Table,
        bound: Mapping[str, Any],
        blank: Sequence[str],
    ) -> sa.ClauseElement:
        """Return an INSERT of kind ``append`` or ``if absent``.

        Any other kind is an upsert, and names the time column that decides.
        """
        insert = self._insert_into(self._tables[table]).values(bound)
        if kind == "append":
            statement: sa.ClauseElement = insert
        elif kind == "if absent":
            statement = self._or_nothing(insert, table)
        else:
            changed = self._changes(insert, table, list(bound), blank)
            newest = table.column(kind).sql_name
            statement = self._or_update(insert, table, changed, newest)
        return statement

    def _changes(
        self, insert: Any, table: Table, names: Sequence[str], blank: Sequence[str]
    ) -> dict[str, Any]:
        """Return what an upsert sets, by name in the database."""
        keys = {table.column(name).sql_name for name in table.primary_key}
        new = self._offered(insert)
        changed = {name: new[name] for name in names if name not in keys}
        return changed | {table.column(name).sql_name: sa.null() for name in blank}

    @abstractmethod
    def _insert_into(self, made: sa.Table) -> Any:
        """Return the dialect's INSERT into a table."""

    def _offered(self, insert: Any) -> Any:
        """Return the columns of the row that an INSERT offers."""
        return insert.excluded

    def _or_nothing(self, insert: Any, _table: Table) -> sa.ClauseElement:
        """Return an INSERT that leaves a row of the same key as it is."""
        statement: sa.ClauseElement = insert.on_conflict_do_nothing()
        return statement

    def _or_update(
        self, insert: Any, table: Table, changed: Mapping[str, Any], newest: str
    ) -> sa.ClauseElement:
        """Return an INSERT that changes a row of the same key if it is not newer."""
        made = self._tables[table]
        statement: sa.ClauseElement = insert.on_conflict_do_update(
            index_elements=[self._cell(table, name) for name in table.primary_key],
            set_=changed,
            where=made.c[newest] <= insert.excluded[newest],
        )
        return statement

    @override
    def append(self, table: Table, rows: Catalog) -> None:
        self._insert("append", table, rows)

    @override
    def add_if_absent(self, table: Table, rows: Catalog) -> int:
        return self._insert("if absent", table, rows)

    def _insert(self, kind: str, table: Table, rows: Catalog) -> int:
        if not len(rows):
            return 0
        text, columns = self._insert_text(kind, table, rows.names)
        return self._execute_many(text, self._to_rows(columns, rows), table.name)

    @override
    def upsert(
        self, table: Table, rows: Catalog, *, newest_by: str, blank: Sequence[str]
    ) -> None:
        if len(rows):
            text, columns = self._insert_text(newest_by, table, rows.names, blank)
            self._execute_many(text, self._to_rows(columns, rows), table.name)

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
        start = self._cell(source, "validityStart")
        when = self._cell(table, VISIT_TIME)
        key = ("update from", table.name, source.name, tuple(columns))
        names = [name for name in columns if name not in table.primary_key]
        changed = {self._cell(table, n): self._cell(source, n) for n in names}
        statement = (
            sa.update(self._tables[table])
            .values(changed | {when: start})
            .where(
                *self._is_version_of(table, source),
                start == sa.bindparam("time", type_=start.type),
                when <= start,
            )
        )
        text, bound = self._texts.get(key) or self._compiled(key, statement)
        values = {
            "ids": self._id_list(ids),
            "time": self._value(source.column("validityStart"), time),
        }
        cursor = self._execute(text, [values[name] for name in bound], table.name)
        return int(cursor.rowcount)

    @override
    def _cell(self, table: Table, name: str) -> ColumnElement[Any]:
        return self._tables[table].c[table.column(name).sql_name]

    def _is_version_of(
        self, table: Table, versions: Table
    ) -> Sequence[ColumnElement[bool]]:
        """Return what joins current objects, bound as ``ids``, and their versions."""
        same = [self._cell(table, name) == self._cell(versions, name)
                for name in ("diaObjectId", HOME_PIXEL)]  # fmt: skip
        return self._is_one_of(self._cell(table, "diaObjectId"), "ids"), *same

    @override
    def increment(self, table: Table, key: int) -> int:
        key_name, counter = table.names
        row = Catalog({key_name: np.array([key]), counter: np.array([0])})
        self.add_if_absent(table, row)
        where = [Condition(key_name, Op.EQUAL, key)]
        clauses, bound = self._clauses(table, where), self._values(table, where)
        element = self._cell(table, counter)
        plus_one = {element: element + sa.literal_column("1")}
        update = sa.update(self._tables[table]).values(plus_one)
        text, names = self._compiled(("increment", table.name), update.where(*clauses))
        self._execute(text, [bound[name] for name in names], table.name)
        return int(self.select(table, [counter], where)[counter][0])

    @override
    def select(
        self,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition] = (),
        *,
        null_free: frozenset[str] = frozenset(),
    ) -> Catalog:
        return self._fetched("select", table, columns, where)

    def _fetched(
        self, kind: str, table: Table, names: Sequence[str], where: Sequence[Condition]
    ) -> Catalog:
        rows: list[Any] = []
        for part in self._split_ranges(where):
            cursor = self._run(kind, table, names, part)
            with self._translated(table.name):
                rows += cursor.fetchall()
        return from_tuples([table.by_name[name] for name in names], rows)

    @override
    def lock_rows(self, table: Table, where: Sequence[Condition]) -> None:
        self._run("lock rows", table, table.primary_key, where).fetchall()

    @override
    def select_free(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition]
    ) -> Catalog:
        return self._fetched("select free", table, columns, where)

    @override
    def delete_keys(self, table: Table, keys: Catalog) -> int:
        if not len(keys):
            return 0
        cells = {name: self._cell(table, name) for name in table.primary_key}
        equal = [cell == sa.bindparam(n, type_=cell.type) for n, cell in cells.items()]
        shape = ("delete keys", table.name)
        text, names = self._texts.get(shape) or self._compiled(
            shape, sa.delete(self._tables[table]).where(*equal)
        )
        rows = self._to_rows([table.by_name[name] for name in names], keys)
        return self._execute_many(text, rows, table.name)

    @override
    def delete(self, table: Table, where: Sequence[Condition] = ()) -> int:
        return int(self._run("delete", table, (), where).rowcount)

    @override
    def set_value(
        self, table: Table, column: str, value: Any, where: Sequence[Condition]
    ) -> int:
        bound = {"new_value": self._value(table.column(column), value)}
        return int(self._run("update", table, (column,), where, bound).rowcount)

    @override
    def move(self, source: Table, target: Table) -> int:
        old, new = self._tables[source], self._tables[target]
        names = [column.sql_name for column in source.columns]
        selected = sa.select(*(old.c[name] for name in names))
        insert = sa.insert(new).from_select(names, selected)
        n_rows = self._execute(self._tables.compile(insert), table=target.name).rowcount
        self._execute(self._tables.compile(sa.delete(old)), table=source.name)
        return int(n_rows)

    @override
    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        return sum(
            int(self._run("count", table, (), part).fetchone()[0])
            for part in self._split_ranges(where)
        )

    @override
    def count_by(self, table: Table, column: str) -> Mapping[int, int]:
        element = self._cell(table, column)
        statement = sa.select(element, sa.func.count()).group_by(element)
        text = self._tables.compile(statement)
        return dict(self._execute(text, table=table.name).fetchall())

    @override
    def holds(self, table: Table, columns: Sequence[str], *, nulls: bool) -> bool:
        cells = [self._cell(table, name) for name in columns]
        test = sa.or_(*[c.is_(None) if nulls else c.is_not(None) for c in cells])
        found = sa.select(sa.exists().select_from(self._tables[table]).where(test))
        text = self._tables.compile(found)
        return bool(self._execute(text, table=table.name).fetchone()[0])

    @override
    def maximum(self, table: Table, column: str) -> Any:
        largest = sa.func.max(self._cell(table, column)).label("m")
        text = self._tables.compile(sa.select(largest))
        (value,) = self._execute(text, table=table.name).fetchone()
        if value is None:
            return None
        return from_tuples([table.column(column)], [(value,)])[column].tolist()[0]

    @override
    def explain(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition]
    ) -> list[str]:
        part = self._split_ranges(where)[0]
        clauses, bound = self._clauses(table, part), self._values(table, part)
        statement = self._statement("select", table, columns).where(*clauses)
        text, names = self._compiled(("explain",), statement)
        values = [bound[name] for name in names]
        found = self._execute(f"{self._explain} {text}", values, table.name)
        return [" ".join(map(str, row)) for row in found.fetchall()]

    def _split_ranges(self, where: Sequence[Condition]) -> list[Sequence[Condition]]:
        """Return the conditions in parts of so many ranges as one statement takes."""
        n = self._ranges_at_once
        if n is None:
            return [where]
        for place, condition in enumerate(where):
            if condition.op is Op.IN_RANGES and len(condition.value) > n:
                ranges, rest = condition.value, where[place + 1 :]
                return [
                    [*where[:place], replace(condition, value=ranges[i : i + n]), *rest]
                    for i in range(0, len(ranges), n)
                ]
        return [where]
