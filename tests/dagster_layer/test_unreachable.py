"""A code location that cannot reach its database: loads, says so, recovers."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster_layer.real_site import Site, resources_of

from archive_assets import definitions as archive
from archive_assets.defs.integrity import archive_verification
from l1db_pipeline import definitions as l1db

CHECKS = {"verify": "services_answer", "verify_l1db": "database_answers"}


@pytest.fixture
def cut_off(site: Site, tmp_path: Path) -> Site:
    """The same site, but nobody is at home where its databases should be."""
    nowhere = site.connection | {"host": str(tmp_path / "nowhere")}
    url = f"postgresql+psycopg://postgres@/l1db?host={nowhere['host']}"
    resources = resources_of(tmp_path, nowhere, url)
    return replace(
        site,
        archive=archive.build_definitions(resources),
        l1db=l1db.build_definitions(resources),
    )


def _said(site: Site, job: str) -> tuple[bool, str]:
    found = site.run(job, raise_on_error=False).get_asset_check_evaluations()
    (check,) = (check for check in found if check.check_name == CHECKS[job])
    return check.passed, check.description or ""


def test_both_locations_load_without_their_databases(cut_off: Site) -> None:
    for location in (cut_off.archive, cut_off.l1db):
        dg.Definitions.validate_loadable(location)


@pytest.mark.parametrize("job", CHECKS)
def test_the_check_says_what_is_unreachable_until_it_is_back(
    job: str, cut_off: Site, site: Site
) -> None:
    site.run(
        "set_up",
        config={"ops": {"l1db__variable_sources": {"config": {"counts_per_fov": 1}}}},
    )

    away, said = _said(cut_off, job)
    back, _ = _said(site, job)

    assert not away
    assert "nowhere" in said
    assert back


def test_the_services_of_the_archive_can_be_tried_alone(site: Site) -> None:
    services = dg.AssetCheckKey(
        dg.AssetKey(["archive", "archive_verification"]), "services_answer"
    )

    result = dg.materialize(
        [archive_verification],
        selection=dg.AssetSelection.checks(services),
        resources=site.resources,
        instance=site.instance,
    )

    (check,) = result.get_asset_check_evaluations()
    assert check.asset_check_key == services
    assert not result.asset_materializations_for_node("archive__archive_verification")
