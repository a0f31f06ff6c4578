"""Fixtures that two or more folders use; no logic."""

import gc
import os
import secrets
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import session as shared
from databases import (
    DATABASE_FILE,
    EmptyDatabases,
    drop_database,
    new_database,
    server_in,
    sqlalchemy_url,
    start_server,
)
from sqlalchemy import NullPool, create_engine, make_url

# no test asserts a time: an example may take as long as the machine is busy
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")

# a shell's background job ignores Ctrl-C, and so would the programs that a test stops
signal.signal(signal.SIGINT, signal.default_int_handler)

# without byte code each process that loads the scheduler costs twice its time
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    shared.begin(config)
    gc.disable()  # what is imported stays: looking for rubbish in it takes a fifth


def pytest_collection_finish() -> None:
    gc.freeze()  # nor is it looked through later
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    shared.tell(node)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let costly files begin first, then those of many tests: no worker waits long."""
    n_tests = Counter(item.path for item in items)
    costly = {item.path for item in items if item.get_closest_marker("scheduler")}
    items.sort(key=lambda item: (item.path not in costly, -n_tests[item.path]))


def pytest_unconfigure(config: pytest.Config) -> None:
    if shared.is_worker(config):
        return
    folder = shared.of(config).folder
    if dsn := os.environ.get("L1DB_TEST_DSN"):
        for file in folder.glob(f"*/{DATABASE_FILE}"):
            drop_database(dsn, file.read_text())
    server_in(folder / "postgres").stop()
    shared.end(config)


@pytest.fixture(scope="session")
def session(pytestconfig: pytest.Config) -> shared.Session:
    """What all workers of this session share."""
    return shared.of(pytestconfig)


@pytest.fixture(scope="session")
def postgres_dsn(session: shared.Session) -> str:
    """libpq string of a server: L1DB_TEST_DSN, or an embedded one for all workers.

    Its data are not under pytest's folder: another session of root that starts takes
    away the others' right to enter it, and so the server's, which is not root.
    """
    if dsn := os.environ.get("L1DB_TEST_DSN"):
        return dsn
    return server_in(session.made_once("postgres", start_server)).dsn()


@pytest.fixture(scope="session")
def shared_database_url(postgres_dsn: str) -> Iterator[str]:
    """SQLAlchemy URL of a database for all tests: take a PostgreSQL schema in it."""
    with new_database(postgres_dsn) as dsn:
        yield sqlalchemy_url(dsn)


@pytest.fixture(scope="session")
def empty_databases(postgres_dsn: str) -> Iterator[EmptyDatabases]:
    """Databases for one test after the other."""
    databases = EmptyDatabases(postgres_dsn)
    yield databases
    databases.drop()


@pytest.fixture
def database_dsn(empty_databases: EmptyDatabases) -> Iterator[str]:
    """libpq string of a database that is empty, and the test's own while it runs."""
    with empty_databases.one() as dsn:
        yield dsn


@pytest.fixture
def database_url(database_dsn: str) -> str:
    """SQLAlchemy URL, psycopg 3, of an empty database of the test."""
    return sqlalchemy_url(database_dsn)


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """SQLAlchemy URL of a MariaDB database: take table names with a prefix in it."""
    url = os.environ.get("MARIADB_TEST_URL")
    if not url:
        pytest.skip("no MariaDB: set MARIADB_TEST_URL to the URL of a database")
    name = f"test_{secrets.token_hex(6)}"
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield make_url(url).set(database=name).render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def cassandra_url() -> Iterator[str]:
    """URL of a keyspace of Cassandra, of which a test empties the tables."""
    hosts = os.environ.get("CASSANDRA_HOSTS")
    if not hosts:
        pytest.skip("no Cassandra: run make contracts, or set CASSANDRA_HOSTS")
    keyspaces = pytest.importorskip("cassandra_keyspace", reason="no cassandra-driver")
    with keyspaces.new_keyspace(hosts) as url:
        yield url
