"""Fixtures: an instance, and both code locations on real resources."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster_layer.real_site import Site, site_on
from databases import new_database
from psycopg.conninfo import conninfo_to_dict


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance of its own, in memory."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, database_dsn: str, instance: dg.DagsterInstance) -> Site:
    """Both locations on an empty database and empty folders."""
    return site_on(tmp_path, database_dsn, instance)


@pytest.fixture(scope="session")
def stored_night(
    postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Name of a database, to copy, in which a night is stored."""
    folder = tmp_path_factory.mktemp("stored")
    with (
        new_database(postgres_dsn) as dsn,
        dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance,
    ):
        site = site_on(folder, dsn, instance)
        site.prepare_visits()
        site.ap()
        yield str(conninfo_to_dict(dsn)["dbname"])


@pytest.fixture
def stored_site(
    stored_night: str, postgres_dsn: str, tmp_path: Path, instance: dg.DagsterInstance
) -> Iterator[Site]:
    """Both locations on a copy of that database, and empty folders."""
    with new_database(postgres_dsn, stored_night) as dsn:
        yield site_on(tmp_path, dsn, instance)
