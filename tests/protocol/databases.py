"""Databases of a course whose every call is a step of the scheduler."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from lsst.sphgeom import Region
from protocol.scheduler import Actor

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Database
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.base import (
    L1Store,
    StoreOutcome,
    VisitKey,
    VisitRecords,
)
from l1db_pipeline.store.open import OPENERS
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.tables.layout import Layout
from l1db_pipeline.store.token import ReadToken

__all__ = ["Commits", "World", "memory_world", "sqlite_world"]


class Commits:
    """Which units are stored, in the order of their COMMITs."""

    def __init__(self) -> None:
        self.units: list[tuple[int, str]] = []
        self.writer: Actor | None = None
        """Who is in a writing transaction, of whom SQLite has but one."""


class World(Protocol):
    """A database, as a course needs it."""

    commits: Commits

    def connect(self, actor: Actor | None) -> L1Store:
        """Return a store as a new process opens it; without actor no steps."""

    def close(self) -> None:
        """Remove the database."""


class _SteppedDatabase:
    """A database each of whose calls is a step."""

    def __init__(self, inner: Database, actor: Actor, commits: Commits) -> None:
        self._inner = inner
        self._actor = actor
        self._commits = commits
        self._claimed: tuple[int, str] | None = None

    def __getattr__(self, name: str) -> Any:  # every method of the protocol
        value = getattr(self._inner, name)
        if not callable(value) or name == "close":
            return value

        def stepped(*args: Any, **kwargs: Any) -> Any:
            with self._actor.call(name):
                return value(*args, **kwargs)

        return stepped

    def tidy(self) -> None:
        """Leave out what waits for readers, who wait for their turn."""
        with self._actor.call("tidy"):
            pass

    def add_if_absent(self, table: Table, rows: Catalog) -> int:
        with self._actor.call(f"add {table.name}"):
            n_added = self._inner.add_if_absent(table, rows)
            if table.name == "L1Ledger" and n_added:
                self._claimed = int(rows["visitId"][0]), str(rows["tile"][0])
            return n_added

    @contextmanager
    def transaction(self, *, write: bool, unit: str = "") -> Iterator[None]:
        self._claimed = None
        if not write:
            with self._inner.transaction(write=False, unit=unit):
                yield
            return
        try:
            with self._actor.call("BEGIN"):
                while self._commits.writer is not None:
                    self._actor.pause(lambda: self._commits.writer is None)
                self._commits.writer = self._actor
            with self._inner.transaction(write=True, unit=unit):
                yield
                with self._actor.call("before COMMIT"):
                    pass
            if self._claimed is not None:
                self._commits.units.append(self._claimed)
        finally:
            if self._commits.writer is self._actor:
                self._commits.writer = None  # as when a connection is lost
        with self._actor.call("COMMIT"):
            pass


_TEXTS: dict[Any, Any] = {}


class _SqliteWorld:
    def __init__(self, config: L1dbConfig) -> None:
        self.commits = Commits()
        self._config = config
        self._schema = load_schema(config.schema_file)
        self._known = Layout.of(self._schema, config).tables

    def connect(self, actor: Actor | None) -> L1Store:
        database = OPENERS["sqlite"](self._config, self._known)
        # a file of a course need not outlive the machine, and all have one's statements
        cast("Any", database)._execute("PRAGMA synchronous = OFF")
        cast("Any", database)._texts = _TEXTS
        if actor is not None:
            stepped = _SteppedDatabase(database, actor, self.commits)
            database = cast("Database", stepped)
        return SqlL1Store(database, self._schema, self._config)

    def close(self) -> None:
        """Leave the file to who made the folder."""


def sqlite_world(config: L1dbConfig) -> World:
    """Return the world of a SQLite file that has its tables."""
    return _SqliteWorld(config)


class _SteppedMemory:
    """A store in memory each of whose calls is a step."""

    def __init__(self, inner: MemoryL1Store, actor: Actor, commits: Commits) -> None:
        self._inner = inner
        self._actor = actor
        self._commits = commits

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value) or name == "close":
            return value

        def stepped(*args: Any, **kwargs: Any) -> Any:
            with self._actor.call(name):
                return value(*args, **kwargs)

        return stepped

    @contextmanager
    def reading_unit(self, visit_id: int, region: Region) -> Iterator[ReadToken]:
        with self._actor.call("BEGIN"):
            unit = self._inner.reading_unit(visit_id, region)
        with unit as token:
            yield token

    def store_visit(
        self, key: VisitKey, records: VisitRecords, token: ReadToken | None = None
    ) -> StoreOutcome:
        with self._actor.call("store_visit"):
            outcome = self._inner.store_visit(key, records, token)
            if outcome is StoreOutcome.STORED:
                self._commits.units.append((key.visit_id, key.tile))
            return outcome


class _MemoryWorld:
    def __init__(self, store: MemoryL1Store) -> None:
        self.commits = Commits()
        self._store = store
        store.create_schema(drop=True)

    def connect(self, actor: Actor | None) -> L1Store:
        store = self._store.connect()
        if actor is None:
            return store
        return cast("L1Store", _SteppedMemory(store, actor, self.commits))

    def close(self) -> None:
        """Nothing to do."""


def memory_world(store: MemoryL1Store) -> World:
    """Return a world in memory; what the store had is gone."""
    return _MemoryWorld(store)
