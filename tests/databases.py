"""PostgreSQL databases that live as long as a test, empty or copies of another."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import URL


@contextmanager
def new_database(server_dsn: str, template: str = "template1") -> Iterator[str]:
    """Make a database, yield its libpq string, drop it; nobody may use the template."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    yield make_conninfo(server_dsn, dbname=name)
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
