"""A database that is read-only, gone, full or damaged: typed errors, no half visit."""

import os
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
from contracts.l1db_sky import field, key, records
from psycopg.conninfo import conninfo_to_dict

from l1db_pipeline.errors import ConfigError, L1dbError
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.store.backends.dbapi import DbapiDatabase
from l1db_pipeline.store.base import L1Store, StoreOutcome
from l1db_pipeline.store.errors import (
    DatabaseError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    SchemaMissingError,
)
from l1db_pipeline.store.open import open_store
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.timing import StepTiming

IDS = [1, 2, 3]


def _with_a_visit(config: L1dbConfig) -> L1dbConfig:
    with closing(open_store(config)) as store:
        store.create_schema()
        store.store_visit(key(1), records(1, IDS))
    return config


@pytest.fixture
def sqlite_config(tmp_path: Path) -> L1dbConfig:
    return _with_a_visit(
        L1dbConfig(
            url=f"sqlite:///{tmp_path}/l1.db",
            dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
        )
    )


@pytest.fixture
def postgres_config(database_url: str) -> L1dbConfig:
    return _with_a_visit(
        L1dbConfig(url=database_url, dia_object_index=ObjectIndex.LAST_OBJECT_TABLE)
    )


@pytest.fixture
def admin(database_dsn: str) -> Iterator[psycopg.Connection]:
    """A connection beside the store's."""
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        yield connection


def _is_as_before(config: L1dbConfig) -> bool:
    """Tell whether the database has its one visit whole and takes another."""
    with closing(open_store(config)) as store:
        n_sources = store.row_counts()["DiaSource"]
        findings = store.verify()
        stored = store.store_visit(key(9), records(9, IDS))
    return (n_sources, findings, stored) == (3, [], StoreOutcome.STORED)


@pytest.mark.postgresql
def test_a_read_only_postgresql_is_read_and_not_written(
    postgres_config: L1dbConfig, admin: psycopg.Connection
) -> None:
    name = conninfo_to_dict(admin.info.dsn)["dbname"]
    turn = psycopg.sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
    database = psycopg.sql.Identifier(str(name))
    admin.execute(turn.format(database, psycopg.sql.SQL("on")))
    with closing(open_store(postgres_config)) as store:
        assert len(store.read_objects(field())) == 3
        with pytest.raises(
            DatabaseReadOnlyError, match=r"read-only.*nothing was stored"
        ):
            store.store_visit(key(2), records(2, IDS))
    admin.execute("SET default_transaction_read_only = off")
    admin.execute(turn.format(database, psycopg.sql.SQL("off")))

    assert _is_as_before(postgres_config)


FULL_TABLES = [
    "DiaObject",
    "L1ObjectHome",
    "L1PackedDiaObjectLast",
    "DiaSource",
    "DiaForcedSource",
    "L1PackedDiaSource",
    "L1PackedDiaForcedSource",
    "L1DbProtoVisits",
]


@pytest.mark.postgresql
@pytest.mark.parametrize("table", FULL_TABLES)
def test_a_postgresql_that_fills_up_has_no_half_visit(
    postgres_config: L1dbConfig, admin: psycopg.Connection, table: str
) -> None:
    admin.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
    )
    admin.execute(
        psycopg.sql.SQL(
            "CREATE TRIGGER fail BEFORE INSERT ON {} EXECUTE FUNCTION fail()"
        ).format(psycopg.sql.Identifier(table))
    )
    with (
        closing(open_store(postgres_config)) as store,
        pytest.raises(DatabaseFullError, match=r"could not extend.*free some space"),
    ):
        store.store_visit(key(2), records(2, IDS))
    admin.execute("DROP FUNCTION fail CASCADE")

    assert _is_as_before(postgres_config)


def test_a_sqlite_that_fills_up_has_no_half_visit(sqlite_config: L1dbConfig) -> None:
    many = range(10, 3000)
    with closing(open_store(sqlite_config)) as store:
        connection = store._database._connection  # type: ignore[attr-defined]
        (n_pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {n_pages + 20}")

        with pytest.raises(DatabaseFullError, match=r"full.*free some space"):
            store.store_visit(key(2), records(2, many))

        assert store.row_counts()["DiaSource"] == 3
    assert _is_as_before(sqlite_config)


KILLED = """
import os, signal, sys
from contracts.l1db_sky import key, records
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.store.tables.history import HistoryTable
from l1db_pipeline.store.open import open_store

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

store = open_store(L1dbConfig(
    url=sys.argv[1], dia_object_index=ObjectIndex.LAST_OBJECT_TABLE))
store._forced.store = die
store.store_visit(key(2), records(2, [1, 2, 3]))
"""


@pytest.mark.parametrize(
    "backend", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgresql)]
)
def test_a_process_that_is_killed_in_a_visit_leaves_none_of_it(
    request: pytest.FixtureRequest, backend: str
) -> None:
    config: L1dbConfig = request.getfixturevalue(f"{backend}_config")
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join([tests, str(Path(tests).parent)])

    done = subprocess.run(
        [sys.executable, "-c", KILLED, config.url],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        timeout=60,
    )

    assert done.returncode == -9
    assert _is_as_before(config)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3cr3t@127.0.0.1:1/l1db?connect_timeout=2",
        "postgresql+psycopg://me:s3cr3t@/l1db?host=/nowhere/at/all",
        "sqlite:////nowhere/at/all/l1.db",
    ],
)
def test_a_database_out_of_reach_is_named_without_secrets(url: str) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        open_store(L1dbConfig(url=url)).last_visit()

    assert "s3cr3t" not in f"{caught.value} {caught.value!r}"
    assert caught.value.place.startswith(url.partition(":")[0])


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "oracle://me:s3cr3t@host/x",
            "unsupported database backend in oracle://host/x: use ",
        ),
        ("l1.db", "is not a database URL"),
        ("password=s3cr3t host=here", "is not a database URL"),
        ("postgresql+nodriver://me:s3cr3t@host/x", None),
        ("postgresql+psycopg://host:port/x", "is not a database URL"),
    ],
)
def test_urls_of_no_backend_are_refused(url: str, message: str | None) -> None:
    with pytest.raises(L1dbError, match=message) as caught:
        open_store(L1dbConfig(url=url))

    assert isinstance(caught.value, ConfigError | DatabaseError)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a database at all, " * 100])
def test_a_file_that_is_no_database_is_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "l1.db"
    file.write_bytes(content)

    with (
        pytest.raises((DatabaseError, SchemaMissingError), match=r"l1\.db"),
        closing(open_store(L1dbConfig(url=f"sqlite:///{file}"))) as store,
    ):
        store.last_visit()

    if content:
        assert file.read_bytes() == content


def test_a_sqlite_that_another_process_writes_is_waited_for(
    sqlite_config: L1dbConfig, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "l1.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(open_store(sqlite_config)) as store:
            connection = store._database._connection  # type: ignore[attr-defined]
            connection.execute("PRAGMA busy_timeout = 50")
            assert len(store.read_objects(field())) == 3
            with pytest.raises(DatabaseUnavailableError, match="locked"):
                store.store_visit(key(2), records(2, IDS))
        other.execute("ROLLBACK")
    other.close()

    assert _is_as_before(sqlite_config)


def _count(store: L1Store) -> int:
    return store.row_counts()["DiaSource"]


def test_a_refused_visit_leaves_the_store_usable(sqlite_config: L1dbConfig) -> None:
    with closing(open_store(sqlite_config)) as store:
        connection = store._database._connection  # type: ignore[attr-defined]
        connection.execute("PRAGMA query_only = ON")
        with pytest.raises(DatabaseReadOnlyError):
            store.store_visit(key(2), records(2, IDS))
        connection.execute("PRAGMA query_only = OFF")

        assert store.store_visit(key(2), records(2, IDS)) is StoreOutcome.STORED
        assert _count(store) == 6
        assert store.verify() == []


class CanceledRun(BaseException):
    """What Dagster raises in a run that is canceled is no KeyboardInterrupt either."""


def _cancel(*_: object) -> None:
    raise CanceledRun


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.read_objects(field()),
        lambda store: store.store_visit(key(2), records(2, IDS)),
    ],
    ids=["read", "store"],
)
def test_an_interrupt_during_a_query_ends_as_itself_and_leaves_the_store_usable(
    postgres_config: L1dbConfig,
    admin: psycopg.Connection,
    act: Callable[[L1Store], object],
) -> None:
    held = admin.transaction()
    usual = signal.signal(signal.SIGALRM, _cancel)
    with closing(open_store(postgres_config)) as store:
        store.read_objects(field())
        with held:
            admin.execute('LOCK TABLE "L1PackedDiaObjectLast" IN ACCESS EXCLUSIVE MODE')
            signal.setitimer(signal.ITIMER_REAL, 1)
            try:
                with pytest.raises(CanceledRun):
                    act(store)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, usual)

        found = store.read_objects(field())
        outcome = store.store_visit(key(2), records(2, IDS))

    assert len(found) == len(IDS)
    assert outcome is StoreOutcome.STORED
    assert _is_as_stored(postgres_config, n_sources=2 * len(IDS))


@pytest.mark.postgresql
def test_an_interrupt_in_a_pipeline_of_statements_ends_as_itself(
    postgres_config: L1dbConfig,
    admin: psycopg.Connection,
) -> None:
    usual = signal.signal(signal.SIGALRM, _cancel)
    with closing(open_store(postgres_config)) as store:
        assert isinstance(store, SqlL1Store)
        database = store._database
        assert isinstance(database, DbapiDatabase)
        with admin.transaction():
            admin.execute('LOCK TABLE "L1Settings" IN ACCESS EXCLUSIVE MODE')
            signal.setitimer(signal.ITIMER_REAL, 1)
            try:
                with (
                    pytest.raises(CanceledRun),
                    database.transaction(write=True),
                ):
                    database._execute_many(
                        'INSERT INTO "L1Settings" VALUES (%s, %s)',
                        [(f"a{n}", "b") for n in range(10)],
                        "L1Settings",
                    )
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, usual)

        assert store.read_settings("a") == {}


def _is_as_stored(config: L1dbConfig, *, n_sources: int) -> bool:
    with closing(open_store(config)) as store:
        return store.row_counts()["DiaSource"] == n_sources and not store.verify()


def _steps(n: int) -> list[StepTiming]:
    return [StepTiming(f"step {n} {place}", n_rows=n) for place in range(n)]


@pytest.mark.postgresql
def test_two_timings_of_one_visit_count_once(postgres_config: L1dbConfig) -> None:
    together = Barrier(2)
    lengths = (2, 3)

    def record(n: int) -> None:
        with closing(open_store(postgres_config)) as store:
            store.last_visit()
            for visit_id in range(50):
                together.wait(60)
                store.record_timings(visit_id, "", _steps(n))

    with ThreadPoolExecutor() as pool:
        list(pool.map(record, lengths))

    with closing(open_store(postgres_config)) as store:
        found = store.read_timings()
    of_visits: dict[int, list[str]] = {}
    for visit_id, step in zip(found["visitId"], found["step"], strict=True):
        of_visits.setdefault(int(visit_id), []).append(str(step))
    recorded = [[step.step for step in _steps(n)] for n in lengths]
    assert len(of_visits) == 50
    assert all(steps in recorded for steps in of_visits.values())


def test_a_pooler_in_transaction_mode_serves_several_stores() -> None:
    if not (url := os.environ.get("PGBOUNCER_L1DB_URL")):
        pytest.skip("no PgBouncer: set PGBOUNCER_L1DB_URL to the URL of a database")
    config = L1dbConfig(
        url=url,
        namespace=f"n{secrets.token_hex(6)}",
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
    )
    _with_a_visit(config)

    def store_visits(place: int) -> None:
        with closing(open_store(config)) as store:
            for visit_id in range(10 * place, 10 * place + 6):
                store.store_visit(key(visit_id), records(visit_id, IDS))
                store.read_objects(field())

    with ThreadPoolExecutor() as pool:
        list(pool.map(store_visits, (1, 2, 3)))

    assert _is_as_stored(config, n_sources=19 * len(IDS))


def test_the_session_of_a_pooled_server_keeps_its_own_settings() -> None:
    if not (url := os.environ.get("PGBOUNCER_L1DB_URL")):
        pytest.skip("no PgBouncer: set PGBOUNCER_L1DB_URL to the URL of a database")
    config = L1dbConfig(url=url, namespace=f"n{secrets.token_hex(6)}")
    _with_a_visit(config)

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
        found = {other.execute("SHOW enable_seqscan").fetchone() for _ in range(4)}

    assert found == {("on",)}
