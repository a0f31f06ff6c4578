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
