"""Fixtures that two or more folders use; no logic."""

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import psycopg
import pytest
import session as shared
from databases import new_database, sqlalchemy_url
from sqlalchemy import NullPool, create_engine, make_url

from pipeline_runtime.postgres import EmbeddedPostgres

# no test asserts a time: an example may take as long as the machine is busy
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")

# a shell's background job ignores Ctrl-C, and so would the programs that a test stops
signal.signal(signal.SIGINT, signal.default_int_handler)

# without byte code each process that loads the scheduler costs twice its time
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

UNSAFE_BUT_QUICK = ("fsync", "full_page_writes", "synchronous_commit")
"""What a server does for the sake of a machine that loses its power."""


def pytest_configure(config: pytest.Config) -> None:
    shared.begin(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    shared.tell(node)


def pytest_unconfigure(config: pytest.Config) -> None:
    shared.end(config)


@pytest.fixture(scope="session")
def session(pytestconfig: pytest.Config) -> shared.Session:
    """What all workers of this session share."""
    return shared.of(pytestconfig)


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """libpq string of a server: L1DB_TEST_DSN, or an embedded one of this session.

    Its data are not under pytest's folder: another session of root that starts takes
    away the others' right to enter it, and so the server's, which is not root.
    """
    if dsn := os.environ.get("L1DB_TEST_DSN"):
        yield dsn
        return
    with TemporaryDirectory(prefix="l1db-test-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data")
        server.start()
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            for name in UNSAFE_BUT_QUICK:
                connection.execute(f"ALTER SYSTEM SET {name} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.dsn()
        server.stop()


@pytest.fixture(scope="session")
def shared_database_url(postgres_dsn: str) -> Iterator[str]:
    """SQLAlchemy URL of a database for all tests: take a PostgreSQL schema in it."""
    with new_database(postgres_dsn) as dsn:
        yield sqlalchemy_url(dsn)


@pytest.fixture
def database_dsn(postgres_dsn: str) -> Iterator[str]:
    """libpq string of an empty database that lives as long as the test."""
    with new_database(postgres_dsn) as dsn:
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
