"""Upkeep runs by schedule, finds what is broken, and is on the page of a night."""

import json
import os
from datetime import UTC, datetime
from uuid import UUID

import dagster as dg
import psycopg
import pytest
from click.testing import CliRunner
from dagster_layer.real_site import Site
from opsim_night import NIGHT

from archive_assets import definitions as archive
from archive_assets.cli.prenight import main
from l1db_pipeline import definitions as l1db

DAILY = {"verify_night_is_due", "verify_l1db_night_is_due"}
REGULAR = {
    "observe_is_due": "0 13 * * *",
    "verify_is_due": "0 14 * * 6",
    "verify_l1db_is_due": "0 14 * * 6",
    "compact_l1db_is_due": "0 14 * * 6",
    "expire_l1db_is_due": "0 14 * * 6",
}
SCHEDULES = {
    schedule.name: (schedule, location)
    for location in (archive.defs(), l1db.defs())
    for schedule in location.schedules or ()
    if isinstance(schedule, dg.ScheduleDefinition)
}


@pytest.mark.parametrize("name", sorted(DAILY))
def test_each_day_last_night_is_verified(name: str) -> None:
    schedule, location = SCHEDULES[name]
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 10, 11, 20, 0, tzinfo=UTC),
        repository_def=location.get_repository_def(),
    )

    tick = location.resolve_schedule_def(name).evaluate_tick(context)

    assert [r.partition_key for r in tick.run_requests or ()] == [NIGHT]
    assert schedule.cron_schedule == "0 13 * * *"


@pytest.mark.parametrize("name", REGULAR)
def test_the_rest_is_looked_after_regularly(name: str) -> None:
    schedule, location = SCHEDULES[name]
    job = location.resolve_job_def(schedule.job_name)

    assert schedule.cron_schedule == REGULAR[name]
    assert job.tags["l1db/upkeep"] == "true"
    assert float(job.tags["dagster/max_runtime"]) > 0  # bounded


def _checks(done: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in done.get_asset_check_evaluations()}


@pytest.mark.postgresql
def test_a_changed_object_of_last_night_is_found(site: Site) -> None:
    site.archive_night()
    sound = _checks(site.run("verify_night", NIGHT))["night_is_sound"]
    (visits,) = (site.folder / "store").rglob("visits.h5")
    visits.write_bytes(visits.read_bytes()[:-1] + b"?")

    broken = _checks(site.run("verify_night", NIGHT))["night_is_sound"]

    assert sound.passed
    assert not broken.passed
    assert "visits.h5" in (broken.description or "")
    (other,) = site.run("verify_night", "2026-10-09").get_asset_materialization_events()
    assert other.materialization.metadata["objects"].value == 0


@pytest.mark.postgresql
def test_a_lost_row_of_last_night_is_found(stored_site: Site) -> None:
    sound = _checks(stored_site.run("verify_l1db_night", NIGHT))["night_is_consistent"]
    with psycopg.connect(**stored_site.connection) as connection:  # type: ignore[arg-type]  # texts
        connection.execute('DELETE FROM "DiaSource"')

    broken = _checks(stored_site.run("verify_l1db_night", NIGHT))["night_is_consistent"]
    other = _checks(stored_site.run("verify_l1db_night", "2026-10-09"))

    assert sound.passed
    assert not broken.passed
    assert other["night_is_consistent"].passed


@pytest.mark.postgresql
def test_garbage_is_listed_and_left(site: Site) -> None:
    site.archive_night()
    (visits,) = (site.folder / "store").rglob("visits.h5")
    stray = visits.parents[1] / str(UUID(int=7)) / "visits.h5"
    stray.parent.mkdir()
    stray.touch()
    os.utime(stray, (0, 0))

    done = _checks(site.run("verify"))["garbage_is_collected"]

    assert not done.passed
    assert done.severity is dg.AssetCheckSeverity.WARN
    assert f"{stray.as_uri()} has no sequence: run gc" in (done.description or "")
    assert stray.exists()


@pytest.mark.postgresql
def test_compaction_changes_no_content(stored_site: Site) -> None:
    with stored_site.resources["l1db"].open() as store:
        before = store.science_digest()

    done = stored_site.run(
        "compact_l1db",
        config={"ops": {"l1db__history_compaction": {"config": {"keep_days": 0}}}},
    )

    with stored_site.resources["l1db"].open() as store:
        assert store.science_digest() == before
    assert done.success


@pytest.mark.postgresql
def test_no_month_expires_that_visits_still_read(stored_site: Site) -> None:
    form = {"ops": {"l1db__months_expiry": {"config": {"keep_months": 1}}}}
    with stored_site.resources["l1db"].open() as store:
        before = store.science_digest()

    done = stored_site.run("expire_l1db")
    refused = stored_site.run("expire_l1db", config=form, raise_on_error=False)

    with stored_site.resources["l1db"].open() as store:
        assert store.science_digest() == before
        assert store.horizon() is None
    assert done.success
    assert not refused.success


@pytest.mark.postgresql
def test_the_page_of_a_night_lists_the_latest_upkeep(site: Site) -> None:
    site.run("observe")
    site.run("night_report", NIGHT)
    index = site.resources["prenight_index_store"].url
    said = CliRunner().invoke(main, ["status", "--index", index, "--json"]).output

    (upkeep,) = (s for s in json.loads(said)["sections"] if s["title"] == "Upkeep")

    assert [row[:2] for row in upkeep["rows"]] == [["observe", "success"]]
