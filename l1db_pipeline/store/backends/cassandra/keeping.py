"""Settings, timings, and what a keyspace was made with."""

import json
import secrets
from collections.abc import Mapping, Sequence

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import ConfigError
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.model import Schema
from l1db_pipeline.schema.version import SchemaVersionError
from l1db_pipeline.store.backends.cassandra.session import CassandraSession
from l1db_pipeline.store.backends.cassandra.tables import DEFINITIONS, TABLES
from l1db_pipeline.store.errors import SchemaMissingError
from l1db_pipeline.store.made_with import check_options, options_made_with
from l1db_pipeline.store.tables.layout import TIMINGS
from l1db_pipeline.store.timing import StepTiming

__all__ = ["Keyspace", "Settings", "read_timings", "stored_settings", "write_timings"]

_REVISION_NAME = "l1.cassandra_revision"
_IDENTITY = "l1.database"
REVISION = "1"
"""Of the tables in ``tables.py``."""
_USUAL_RF = 3
_ADD = "INSERT INTO {}settings (name, value) VALUES (?, ?) IF NOT EXISTS"
_REPLACE = "UPDATE {}settings SET value = ? WHERE name = ? IF EXISTS"
_STEPS = "INSERT INTO {}timings (visit_id, tile, steps) VALUES (?, ?, ?)"


class Settings:
    """Names and values, each decided by a conditional statement."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session

    def get(self, name: str) -> str | None:
        """Return the value of a setting, `None` if there is none."""
        text = "SELECT value FROM {}settings WHERE name = ?"
        rows = self._session.run(text, name, is_serial=True)
        return str(rows[0][0]) if rows else None

    def beginning_with(self, prefix: str) -> dict[str, str]:
        """Return the settings whose names begin with a prefix."""
        rows = self._session.run("SELECT name, value FROM {}settings")
        return {name: value for name, value in sorted(rows) if name.startswith(prefix)}

    def put(self, name: str, value: str, *, replace: bool = False) -> str:
        """Keep a setting; return the value that holds, another's unless replaced."""
        self._session.swap(_ADD, name, value)
        kept = self.get(name)
        if replace and kept != value:
            self._session.swap(_REPLACE, value, name)
            kept = self.get(name)
        return value if kept is None else kept


def write_timings(
    session: CassandraSession, visit_id: int, tile: str, steps: Sequence[StepTiming]
) -> None:
    """Replace the timings of a visit (or a tile of it)."""
    rows = [(s.step, s.real_s, s.user_s, s.sys_s, s.n_rows, s.n_bytes) for s in steps]
    session.run(_STEPS, visit_id, tile, json.dumps(rows))


def read_timings(session: CassandraSession) -> Catalog:
    """Return all timings, ordered by visit, tile and step."""
    rows = sorted(session.run("SELECT visit_id, tile, steps FROM {}timings"))
    found = [
        (visit_id, tile, place, *step)
        for visit_id, tile, steps in rows
        for place, step in enumerate(json.loads(steps))
    ]
    columns, nulls = {}, {}
    for number, column in enumerate(TIMINGS.columns):
        items = [row[number] for row in found]
        mask = np.array([item is None for item in items], dtype=np.bool_)
        array = np.zeros(len(items), dtype=column.numpy_dtype)
        array[~mask] = [item for item in items if item is not None]
        columns[column.name] = array
        if mask.any():
            nulls[column.name] = mask
    return Catalog(columns, nulls)


class Keyspace:
    """Makes the keyspace and its tables, and compares them with a configuration."""

    def __init__(
        self, session: CassandraSession, schema: Schema, config: L1dbConfig
    ) -> None:
        self._session = session
        self._settings = Settings(session)
        self._wanted = options_made_with(schema, config)
        self.is_checked = False
        """Whether the two were compared and agree."""
        self.identity = ""
        """What tells this database from every other, once it was compared."""

    def create(self, *, drop: bool) -> None:
        """Make what is not there; with ``drop`` drop all tables first."""
        session, place = self._session, self._session.place
        rf = session.replication_factor()
        if rf is None:
            self._make(place.rf or _USUAL_RF)
        elif place.rf not in {None, rf}:
            raise ConfigError(
                f"{place} has {rf} replicas of each row, the URL says rf={place.rf}: "
                "leave it out, or ALTER KEYSPACE and repair (docs/cassandra.md)"
            )
        self.is_checked = False
        present = session.tables()
        if drop:
            for table in present & set(TABLES):
                session.define(f"DROP TABLE IF EXISTS {{}}{table}")
            session.forget()
            present = frozenset()
        if "settings" in present:
            self._compare(are_complete=False)
        for table, text in DEFINITIONS.items():
            if table not in present:
                session.define(text)
        self._settings.put(_REVISION_NAME, REVISION)
        self._settings.put(_IDENTITY, secrets.token_hex(16))
        for name, value in self._wanted.items():
            self._settings.put(name, value)
        self.check()

    def _make(self, rf: int) -> None:
        session, place = self._session, self._session.place
        if rf > session.n_nodes:
            raise ConfigError(
                f"{place} needs {rf} nodes for rf={rf}, the cluster has "
                f"{session.n_nodes}: start more, or say ?rf={session.n_nodes} "
                "(with fewer than 3 a node that is down stops everything)"
            )
        session.define(
            f"CREATE KEYSPACE IF NOT EXISTS {place.keyspace} WITH replication = "
            f"{{'class': 'NetworkTopologyStrategy', 'replication_factor': {rf}}}"
        )

    def check(self) -> None:
        """Compare once.

        Raises
        ------
        SchemaMissingError
            If there are no tables, or not all.
        SchemaVersionError
            If they are of another version of this package.
        SchemaMismatchError
            If they were made with other options.
        """
        if self.is_checked:
            return
        if not set(TABLES) <= self._session.tables():
            raise SchemaMissingError(str(self._session.place))
        self._compare(are_complete=True)
        self.is_checked = True

    def _compare(self, *, are_complete: bool) -> None:
        place = str(self._session.place)
        stored = self._settings.beginning_with("l1.")
        revision = stored.get(_REVISION_NAME, "" if are_complete else REVISION)
        if revision != REVISION:
            raise SchemaVersionError(place, revision, REVISION)
        check_options(place, self._wanted, stored, are_complete=are_complete)
        self.identity = stored.get(_IDENTITY, "")
        if are_complete and not self.identity:
            raise SchemaMissingError(place)


def stored_settings(session: CassandraSession) -> Mapping[str, str]:
    """Return what a keyspace says of itself.

    Raises
    ------
    SchemaMissingError
        If it has no L1 tables.
    """
    if "settings" not in session.tables():
        raise SchemaMissingError(str(session.place))
    return Settings(session).beginning_with("l1.")
