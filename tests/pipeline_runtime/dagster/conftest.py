"""Fixtures: an instance, and a database for Dagster's own storage."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance of its own, in memory."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as made:
        yield made


@pytest.fixture
def dagster_url(database_dsn: str) -> str:
    """URL of an empty database, as Dagster reads it: with psycopg2."""
    parts = conninfo_to_dict(database_dsn)
    query = {"host": str(parts["host"])} | (
        {"port": str(parts["port"])} if "port" in parts else {}
    )
    url = URL.create(
        "postgresql+psycopg2",
        username=str(parts["user"]),
        password=str(parts["password"]) if "password" in parts else None,
        database=str(parts["dbname"]),
        query=query,
    )
    return url.render_as_string(hide_password=False)
