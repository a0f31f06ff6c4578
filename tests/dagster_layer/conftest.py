"""Fixtures: an instance, and both code locations on real resources."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster_layer.real_site import Site, site_on
from databases import DATABASE_FILE, create_database, name_of, new_database
from session import Session

from archive_assets.simulation import night_report


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance of its own, in memory."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as made:
        yield made


@pytest.fixture
def site(
    tmp_path: Path,
    database_dsn: str,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    """Both locations on an empty database and empty folders; nights are not drawn.

    They are drawn in the tests of a night's page, and those of the pictures.
    """
    monkeypatch.setattr(night_report, "PICTURES", {})
    return site_on(tmp_path, database_dsn, instance)


@pytest.fixture(scope="session")
def stored_night(postgres_dsn: str, session: Session) -> str:
    """Name of a database, to copy, in which a night is stored; all workers' own."""

    def make(folder: Path) -> None:
        dsn = create_database(postgres_dsn)
        with (
            dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(night_report, "PICTURES", {})
            site = site_on(folder, dsn, instance)
            site.prepare_visits()
            site.ap()
        (folder / DATABASE_FILE).write_text(name_of(dsn))

    return (session.made_once("stored_night", make) / DATABASE_FILE).read_text()


@pytest.fixture
def stored_site(
    stored_night: str, postgres_dsn: str, tmp_path: Path, instance: dg.DagsterInstance
) -> Iterator[Site]:
    """Both locations on a copy of that database, and empty folders."""
    with new_database(postgres_dsn, stored_night) as dsn:
        yield site_on(tmp_path, dsn, instance)
