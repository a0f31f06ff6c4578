"""A PostgreSQL server, and databases in it that live as long as a test."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import URL

from pipeline_runtime.postgres import EmbeddedPostgres

UNSAFE_BUT_QUICK = ("fsync", "full_page_writes", "synchronous_commit")
"""What a server does for the sake of a machine that loses its power."""
DATABASE_FILE = "database"
"""A file of this name, in a folder made once, names a database that goes with it."""


def server_in(folder: Path) -> EmbeddedPostgres:
    """Return the server of a folder, which may not be there."""
    return EmbeddedPostgres(folder / "data")


def start_server(folder: Path) -> None:
    """Start a quick server that keeps its data in a folder."""
    server = server_in(folder)
    server.start()
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for name in UNSAFE_BUT_QUICK:
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")


def create_database(server_dsn: str, template: str = "template1") -> str:
    """Make a database, return its libpq string; nobody may use the template."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return make_conninfo(server_dsn, dbname=name)


@contextmanager
def new_database(server_dsn: str, template: str = "template1") -> Iterator[str]:
    """Make a database, yield its libpq string, drop it."""
    dsn = create_database(server_dsn, template)
    yield dsn
    drop_database(server_dsn, name_of(dsn))


class EmptyDatabases:
    """Databases that tests take in turn: to empty one costs a sixth of a new one."""

    def __init__(self, server_dsn: str) -> None:
        self._server_dsn = server_dsn
        self._spare: list[str] = []

    @contextmanager
    def one(self) -> Iterator[str]:
        """Yield the libpq string of an empty database; nobody else uses it."""
        dsn = self._spare.pop() if self._spare else create_database(self._server_dsn)
        yield dsn
        try:
            is_empty = _is_emptied(dsn)
        except psycopg.OperationalError:  # the test closed it
            is_empty = False
        if is_empty:
            self._spare.append(dsn)
        else:
            drop_database(self._server_dsn, name_of(dsn))

    def drop(self) -> None:
        """Drop all of them."""
        while self._spare:
            drop_database(self._server_dsn, name_of(self._spare.pop()))


def _is_emptied(dsn: str) -> bool:
    """Empty a database; False if it has settings or rights that a new one lacks."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        (is_changed,) = connection.execute(
            "SELECT datacl IS NOT NULL OR EXISTS ("
            "SELECT FROM pg_db_role_setting WHERE setdatabase = oid)"
            " FROM pg_database WHERE datname = current_database()"
        ).fetchone() or (True,)
        if is_changed:
            return False
        schemas = connection.execute(
            "SELECT string_agg(quote_ident(nspname), ', ') FROM pg_namespace"
            " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ).fetchone()
        assert schemas is not None
        connection.execute(f"DROP SCHEMA {schemas[0]} CASCADE".encode())
        # as PostgreSQL makes it since version 15
        connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
        connection.execute("GRANT USAGE ON SCHEMA public TO public")
    return True


def name_of(dsn: str) -> str:
    """Return the name of the database of a libpq string."""
    return str(conninfo_to_dict(dsn)["dbname"])


def drop_database(server_dsn: str, name: str) -> None:
    """Drop a database, whoever uses it."""
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def sqlalchemy_url(dsn: str) -> str:
    """Return the SQLAlchemy URL, psycopg 3, of a libpq string."""
    parts = conninfo_to_dict(dsn)
    url = URL.create(
        "postgresql+psycopg",
        username=str(parts["user"]),
        database=str(parts["dbname"]),
        query={"host": str(parts["host"]), "port": str(parts.get("port", 5432))},
    )
    return url.render_as_string(hide_password=False)
