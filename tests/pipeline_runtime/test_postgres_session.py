"""Both systems' sessions say what they need, whatever is set on the server."""

import secrets
from contextlib import closing

import numpy as np
import psycopg
import pytest
from contracts.l1db_sky import key, records
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text

from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.errors import SchemaError
from archive_assets.metadata.schema import create_schema
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.store.open import open_store
from pipeline_runtime.postgres_session import CLIENT_ENCODING, SESSION_SETTINGS

pytestmark = pytest.mark.postgresql

OTHERS = {
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "DateStyle": "German",
    "extra_float_digits": "-10",
    "IntervalStyle": "sql_standard",
    "standard_conforming_strings": "off",
    "TimeZone": "America/Santiago",
}


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
    assert set(OTHERS) == {*SESSION_SETTINGS, "client_encoding"}


def test_the_archives_session_has_its_settings(odd_dsn: str) -> None:
    wanted = {**SESSION_SETTINGS, "client_encoding": CLIENT_ENCODING}
    with VisitSequenceArchiveMetadata(conninfo_to_dict(odd_dsn), "vsmd") as archive:
        create_schema(archive.database)
        with archive.database.transaction() as connection:
            found = {
                name: connection.execute(text(f"SHOW {name}")).scalar_one()
                for name in wanted
            }

    assert found == wanted


def test_the_l1_databases_session_has_its_settings(
    odd_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATESTYLE", "SQL, DMY")
    parts = conninfo_to_dict(odd_dsn)
    url = (
        f"postgresql+psycopg://{parts['user']}@/{parts['dbname']}"
        f"?host={parts['host']}&port={parts.get('port', 5432)}"
    )
    wanted = {**SESSION_SETTINGS, "client_encoding": CLIENT_ENCODING}
    with closing(open_store(L1dbConfig(url=url))) as store:
        store.create_schema()
        store.store_visit(key(1), records(1, np.arange(1, 4)))
        session = store._database._connection
        found = {name: session.execute(f"SHOW {name}").fetchone() for name in wanted}

        last = store.last_visit()
        assert last is not None
        assert last.time == key(1).time
        assert store.verify() == []

    assert found == {name: (value,) for name, value in wanted.items()}


def test_a_database_that_cannot_hold_every_text_is_refused_by_name(
    postgres_dsn: str,
) -> None:
    name = f"ascii_{secrets.token_hex(4)}"
    dsn = make_conninfo(postgres_dsn, dbname=name)
    with psycopg.connect(postgres_dsn, autocommit=True) as server:
        server.execute(
            sql.SQL(
                "CREATE DATABASE {} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'"
            ).format(sql.Identifier(name))
        )
    try:
        with (
            VisitSequenceArchiveMetadata(conninfo_to_dict(dsn), "vsmd") as archive,
            pytest.raises(SchemaError, match=r"encoding is SQL_ASCII.*ENCODING 'UTF8'"),
        ):
            create_schema(archive.database)
    finally:
        with psycopg.connect(postgres_dsn, autocommit=True) as server:
            server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
