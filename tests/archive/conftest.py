"""An archive in a database of its own, and visits to put in it."""

import secrets
from collections.abc import Iterator

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from archive_assets.metadata.schema import create_schema
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

SCHEMA = "vsmd_test"


TABLES = ("visitseq", "visitseq_registry", "conda_env", "daily_counters")
"""All others are emptied with these; DELETE is faster than TRUNCATE here."""


@pytest.fixture(scope="session")
def archive_database(postgres_dsn: str) -> Iterator[dict[str, str]]:
    """Connection arguments of a database with an archive, for the whole session."""
    name = f"vsmd_tests_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    parts = {key: str(value) for key, value in conninfo_to_dict(postgres_dsn).items()}
    connect = {**parts, "dbname": name}
    with VisitSequenceArchiveMetadata(connect, SCHEMA) as archive:
        create_schema(archive.database)
    yield connect
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def archive_connect(archive_database: dict[str, str]) -> dict[str, str]:
    """Connection arguments of an archive that is empty at the start of the test."""
    with psycopg.connect(**archive_database) as connection:  # type: ignore[arg-type]
        connection.execute(f"SET search_path = {SCHEMA}")
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")
    return archive_database


@pytest.fixture
def archive_environment(
    archive_connect: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the environment lead to that archive."""
    for name, key in (
        ("PGDATABASE", "dbname"), ("PGHOST", "host"), ("PGUSER", "user"),
        ("PGPORT", "port"),
    ):  # fmt: skip
        monkeypatch.setenv(f"VSARCHIVE_{name}", archive_connect[key])
    monkeypatch.setenv("VSARCHIVE_PGSCHEMA", SCHEMA)


@pytest.fixture
def vsarch(
    archive_connect: dict[str, str],
) -> Iterator[VisitSequenceArchiveMetadata]:
    """An empty archive."""
    with VisitSequenceArchiveMetadata(archive_connect, SCHEMA) as archive:
        yield archive


@pytest.fixture
def visits() -> pd.DataFrame:
    """Five visits on three nights, with the consdb's names of columns."""
    return pd.DataFrame(
        {
            "obs_start_mjd": 61375.0 + np.array([0.2, 0.3, 1.1, 1.2, 2.25]),
            "s_ra": [10.0, 20.0, 30.0, 40.0, 50.0],
            "s_dec": [-10.0, -20.0, -30.0, -40.0, -50.0],
            "band": ["r", "i", "r", "z", "y"],
            "exp_time": [30.0, 30.0, 30.0, 30.0, 15.0],
            "altitude": [45.0, 50.0, 55.0, 60.0, 65.0],
            "azimuth": [10.0, 90.0, 180.0, 270.0, 355.0],
        }
    )
