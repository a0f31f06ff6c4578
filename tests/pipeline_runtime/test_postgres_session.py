"""Both systems' sessions say what they need, whatever is set on the server."""

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from contracts.l1db_sky import key, records
from databases import sqlalchemy_url
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text

from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.database import PooledConnections, raw_connection
from archive_assets.metadata.errors import SchemaError
from archive_assets.metadata.schema import create_schema
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.version import SCHEMA_REVISION
from l1db_pipeline.store.errors import DatabaseEncodingError
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.upkeep.migrate import _engine, current_revision
from pipeline_runtime.postgres_session import (
    CLIENT_ENCODING,
    OWN_SCHEMA,
    SESSION_SETTINGS,
    open_session,
)

pytestmark = pytest.mark.postgresql

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("archive_assets", "l1db_pipeline", "pipeline_runtime", "visit_tables")
CONNECTS = re.compile(r"psycopg\.connect\(|create_engine\(|create_async_engine\(")
OTHERS = {
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "DateStyle": "German",
    "extra_float_digits": "-10",
    "IntervalStyle": "sql_standard",
    "search_path": "elsewhere",
    "standard_conforming_strings": "off",
    "TimeZone": "America/Santiago",
}


WANTED = {**SESSION_SETTINGS, "client_encoding": CLIENT_ENCODING}


def settings_of(
    session: psycopg.Connection[Any], names: Iterable[str]
) -> dict[str, str]:
    """What a session says of settings."""
    found = {}
    for name in names:
        (found[name],) = session.execute(f"SHOW {name}".encode()).fetchone() or ("",)
    return found


def session_of(store: SqlL1Store) -> Any:
    """Return the one connection of a store; only PostgreSQL's has it."""
    database: Any = store._database
    return database._connection


@pytest.fixture
def odd_dsn(database_dsn: str) -> str:
    """A database that sets everything otherwise."""
    name = sql.Identifier(str(conninfo_to_dict(database_dsn)["dbname"]))
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        for setting, value in OTHERS.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    name, sql.Identifier(setting.lower()), sql.Literal(value)
                )
            )
    return database_dsn


def test_every_setting_that_is_asked_for_is_tried_here() -> None:
    assert set(OTHERS) == {*SESSION_SETTINGS, "client_encoding", "search_path"}


def test_every_module_that_connects_knows_the_settings() -> None:
    connecting = {
        path.relative_to(ROOT).as_posix(): text
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if CONNECTS.search(text := path.read_text())
    }

    assert len(connecting) >= 4
    assert not [
        path
        for path, source in connecting.items()
        if not path.endswith("postgres_session.py") and "postgres_session" not in source
    ]


def test_the_archives_session_has_its_settings(odd_dsn: str) -> None:
    with VisitSequenceArchiveMetadata(conninfo_to_dict(odd_dsn), "vsmd") as archive:
        create_schema(archive.database)
        with archive.database.transaction() as connection:
            found = {
                name: connection.execute(text(f"SHOW {name}")).scalar_one()
                for name in OTHERS
            }

    assert found == {**WANTED, "search_path": "vsmd"}


def test_a_lent_connection_of_the_archive_has_its_settings(odd_dsn: str) -> None:
    with VisitSequenceArchiveMetadata(conninfo_to_dict(odd_dsn), "vsmd") as archive:
        pool = PooledConnections(archive.database.engine)
        session = pool.getconn()
        session.rollback()
        found = settings_of(session, WANTED)
        pool.putconn(session)

    assert found == WANTED


def test_the_services_session_has_its_settings(odd_dsn: str) -> None:
    with open_session(odd_dsn) as session:
        found = settings_of(session, OTHERS)

    assert found == {**WANTED, "search_path": OWN_SCHEMA}


def test_the_l1_databases_session_has_its_settings(
    odd_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATESTYLE", "SQL, DMY")
    with closing(open_sql_store(L1dbConfig(url=sqlalchemy_url(odd_dsn)))) as store:
        store.create_schema()
        store.store_visit(key(1), records(1, np.arange(1, 4)))
        found = settings_of(session_of(store), OTHERS)

        last = store.last_visit()
        assert last is not None
        assert last.time == key(1).time
        assert store.verify() == []

    assert found == {**WANTED, "search_path": OWN_SCHEMA}


def test_names_of_an_l1_database_mean_its_namespace(odd_dsn: str) -> None:
    config = L1dbConfig(url=sqlalchemy_url(odd_dsn), namespace="Of_Tests")
    with closing(open_sql_store(config)) as store:
        found = settings_of(session_of(store), ["search_path"])

    assert found == {"search_path": '"Of_Tests"'}


def test_a_statement_outside_of_a_transaction_has_its_settings_behind_a_pooler(
    odd_dsn: str,
) -> None:
    with closing(open_sql_store(L1dbConfig(url=sqlalchemy_url(odd_dsn)))) as store:
        store.create_schema()
        database: Any = store._database
        database._connection.execute("RESET ALL")  # as of another server process
        without = database.table_names()
        database._is_pooled = True

        assert not without
        assert "L1Ledger" in database.table_names()


def test_a_migration_has_its_settings(odd_dsn: str) -> None:
    config = L1dbConfig(url=sqlalchemy_url(odd_dsn))
    with closing(open_sql_store(config)) as store:
        store.create_schema()
    engine = _engine(config)
    with engine.begin() as connection:
        found = settings_of(raw_connection(connection), OTHERS)

    assert found == {**WANTED, "search_path": OWN_SCHEMA}
    assert current_revision(config) == SCHEMA_REVISION


@pytest.fixture
def ascii_dsn(postgres_dsn: str) -> Iterator[str]:
    """A database of the encoding that initdb takes in the C locale."""
    name = f"ascii_{secrets.token_hex(4)}"
    dsn = make_conninfo(postgres_dsn, dbname=name)
    with psycopg.connect(postgres_dsn, autocommit=True) as server:
        server.execute(
            sql.SQL(
                "CREATE DATABASE {} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'"
            ).format(sql.Identifier(name))
        )
    yield dsn
    with psycopg.connect(postgres_dsn, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def test_a_database_that_cannot_hold_every_text_is_refused_by_the_archive(
    ascii_dsn: str,
) -> None:
    with (
        VisitSequenceArchiveMetadata(conninfo_to_dict(ascii_dsn), "vsmd") as archive,
        pytest.raises(SchemaError, match=r"encoding is SQL_ASCII.*ENCODING 'UTF8'"),
    ):
        create_schema(archive.database)


def test_a_database_that_cannot_hold_every_text_is_refused_by_the_l1_store(
    ascii_dsn: str,
) -> None:
    with closing(open_sql_store(L1dbConfig(url=sqlalchemy_url(ascii_dsn)))) as store:
        with pytest.raises(
            DatabaseEncodingError, match=r"encoding is SQL_ASCII.*ENCODING 'UTF8'"
        ):
            store.create_schema()

        assert not store._database.table_names()
