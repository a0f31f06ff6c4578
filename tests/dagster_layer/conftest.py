"""Fixtures: an instance, and both code locations on real resources."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster_layer.real_site import (
    Site,
    database_connection,
    resources_of,
    write_opsim,
)

from archive_assets import definitions as archive
from l1db_pipeline import definitions as l1db


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance of its own, in memory."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as made:
        yield made


@pytest.fixture
def site(
    tmp_path: Path,
    database_dsn: str,
    database_url: str,
    instance: dg.DagsterInstance,
) -> Site:
    """Both locations on an empty database and empty folders."""
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
    parts = database_connection(database_dsn)
    resources = resources_of(tmp_path, parts, database_url)
    return Site(
        folder=tmp_path,
        opsim=write_opsim(tmp_path / "opsim.db"),
        connection=parts,
        archive=archive.build_definitions(resources),
        l1db=l1db.build_definitions(resources),
        resources=resources,
        instance=instance,
    )
