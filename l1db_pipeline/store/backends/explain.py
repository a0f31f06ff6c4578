"""A database that tells its plans: each read and search is explained before it runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database

__all__ = ["Plans", "explaining"]


@dataclass(slots=True)
class Plans:
    """Who receives the plans, and whether they are wanted now."""

    tell: Callable[[str], None]
    wanted: bool = False

    @contextmanager
    def asked(self, wanted: bool = True) -> Iterator[None]:
        """Want them within the block, or not."""
        before, self.wanted = self.wanted, wanted
        try:
            yield
        finally:
            self.wanted = before


def explaining(database: Database, plans: Plans) -> Database:
    """Return a database that does the same, and tells each plan that is wanted.

    Told are the plans of finding the rows that are read, counted, changed or
    deleted. Rows that are added have no plan: COPY cannot be explained, and INSERT
    of values looks nothing up but keys.
    """
    return cast("Database", _ExplainingDatabase(database, plans))


class _ExplainingDatabase:
    def __init__(self, inner: Database, plans: Plans) -> None:
        self._inner = inner
        self._plans = plans

    def __getattr__(self, name: str) -> Any:  # the rest of the protocol, unchanged
        return getattr(self._inner, name)

    def select(
        self,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition] = (),
        *,
        null_free: frozenset[str] = frozenset(),
    ) -> Catalog:
        self._explain("select", table, columns, where)
        return self._inner.select(table, columns, where, null_free=null_free)

    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        self._explain("count", table, table.names[:1], where)
        return self._inner.count(table, where)

    def delete(self, table: Table, where: Sequence[Condition] = ()) -> int:
        self._explain("delete", table, table.names[:1], where)
        return self._inner.delete(table, where)

    def set_value(
        self, table: Table, column: str, value: Any, where: Sequence[Condition]
    ) -> int:
        self._explain("update", table, [column], where)
        return self._inner.set_value(table, column, value, where)

    def append(self, table: Table, rows: Catalog) -> None:
        if self._plans.wanted:
            rows_text = f"{table.name} insert: {len(rows)} rows, nothing to plan"
            self._plans.tell(rows_text)
        self._inner.append(table, rows)

    def _explain(
        self,
        verb: str,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition],
    ) -> None:
        if not self._plans.wanted:
            return
        for line in self._inner.explain(table, columns, where):
            self._plans.tell(f"{table.name} {verb}: {line}")
