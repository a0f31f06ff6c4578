"""Option combinations that between them hold every pair of values; empty stores."""

from dataclasses import dataclass
from itertools import combinations as pairs
from itertools import product
from typing import Any

from contracts.l1db_cassandra import empty_cassandra
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.sql_store import SqlL1Store

_VALUES: dict[str, tuple[Any, ...]] = {
    "backend": ("postgresql", "sqlite", "mariadb", "memory"),
    "index": tuple(ObjectIndex),
    "nightly": (False, True),
    "replace": (False, True),
    "history": tuple(History),
}


@dataclass(frozen=True, slots=True)
class Options:
    backend: str
    index: ObjectIndex
    nightly: bool
    replace: bool
    history: History

    @override
    def __str__(self) -> str:
        flags = ("nightly" * self.nightly, "replace" * self.replace)
        return "-".join(
            filter(None, (self.backend, self.index.value, *flags, self.history.value))
        )

    def config(self, url: str, **more: Any) -> L1dbConfig:
        return L1dbConfig(
            url=url,
            dia_object_index=self.index,
            dia_object_nightly=self.nightly,
            object_last_replace=self.replace,
            history=self.history,
            history_pixel_level=7,
            **more,
        )


ON_CASSANDRA = Options(
    "cassandra", ObjectIndex.LAST_OBJECT_TABLE, False, False, History.PACKED
)
"""The one combination that Cassandra has."""


def combinations() -> list[Options]:
    """Return few combinations that hold every pair of values (greedy cover)."""
    names = list(_VALUES)
    every = [dict(zip(names, v, strict=True)) for v in product(*_VALUES.values())]

    def held(chosen: dict[str, Any]) -> set[Any]:
        return {(a, chosen[a], b, chosen[b]) for a, b in pairs(names, 2)}

    open_pairs = set().union(*map(held, every))
    found = []
    while open_pairs:
        best = max(every, key=lambda chosen: len(held(chosen) & open_pairs))
        found.append(best)
        open_pairs -= held(best)
    return [*(Options(**chosen) for chosen in found), ON_CASSANDRA]


Rows = list[tuple[Table, Catalog]]
"""All rows of a database, table by table."""


def rows_of(store: SqlL1Store) -> Rows:
    """Return all rows but those that say how the tables were made."""
    tables = [t for t in store.layout.tables if t is not store.layout.version]
    return [(table, store._database.select(table, table.names)) for table in tables]


def put_rows(store: SqlL1Store, rows: Rows) -> None:
    """Let these be all rows: cheaper than to store the visits anew."""
    with store._database.transaction(write=True):
        for table, whole in rows:
            store._database.delete(table)
            store._database.append(table, whole)
    store._made_with.keep()  # which database it is, is one of the rows
    store._filled.forget()
    store._objects.forget()
    store.timings.steps.clear()


def empty_store(store: L1Store) -> None:
    """Delete all rows but those that say how the tables were made."""
    if not isinstance(store, SqlL1Store | MemoryL1Store):
        empty_cassandra(store)
        return
    if isinstance(store, MemoryL1Store):
        store.create_schema(drop=True)
        return
    with store._database.transaction(write=True):
        for table in store.layout.tables:
            if table is not store.layout.version:
                store._database.delete(table)
    store._filled.forget()
    store._objects.forget()
    store.timings.steps.clear()
    store.create_schema()
