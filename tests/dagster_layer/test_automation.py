"""Every schedule and sensor, evaluated twice: a tick that repeats asks for no more."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from archive_assets import definitions as archive
from archive_assets.defs.names import NOMINAL, archived_key, plans, simulation_key
from l1db_pipeline import definitions as l1db

NIGHT = "2026-10-10"
INDEX = dg.AssetKey(["archive", "prenight_index"])
NIGHT_VISITS = dg.AssetKey(["l1db", "night_visits"])
DEFINITIONS = {
    sensor.name: definitions
    for definitions in (archive.defs, l1db.defs)
    for sensor in definitions.sensors or ()
}
FOLLOWED = {
    "simulation_finished": simulation_key(NOMINAL),
    "sequence_archived": archived_key(NOMINAL),
    "night_archived": archived_key(NOMINAL),
    "visits_registered": NIGHT_VISITS,
    "heartbeat": archived_key(NOMINAL),
}
STATUS_SENSORS = {"night_failed", "night_processed"}
AGAIN_SENSORS = {"archive_again", "l1db_again"}  # in test_again.py
SPOILT_CURSORS = ["", "{", "[1, 2]", '{"a": "b"}', "null", '"\u2603"']


def _report(instance: dg.DagsterInstance, key: dg.AssetKey, **metadata: object) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(key, partition=NIGHT, metadata=metadata)
    )


def _metadata(sensor: str) -> dict[str, object]:
    if sensor == "visits_registered":
        return {
            "visits": 2,
            "first_visit": "20261010-00001",
            "last_visit": "20261010-00002",
        }
    return {"visits": 2, "visitseq_uuid": "u", "visitseq_url": "file:///v.h5"}


def _tick(
    name: str, instance: dg.DagsterInstance, cursor: str | None
) -> tuple[list[dg.RunRequest], str | None]:
    definitions = DEFINITIONS[name]
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, definitions=definitions, sensor_name=name
    )
    result = definitions.resolve_sensor_def(name).evaluate_tick(context)
    return list(result.run_requests or ()), result.cursor


def test_every_sensor_is_tried_here() -> None:
    assert set(DEFINITIONS) == set(FOLLOWED) | STATUS_SENSORS | AGAIN_SENSORS


@pytest.mark.parametrize("location", [archive, l1db], ids=lambda m: m.__name__)
def test_every_job_has_a_deadline(location: Any) -> None:
    for job in location.defs.resolve_all_job_defs():
        if job.name != "__ASSET_JOB":
            assert float(job.tags["dagster/max_runtime"]) > 0, job.name


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_sensor_of_an_empty_instance_asks_for_nothing(
    name: str, instance: dg.DagsterInstance
) -> None:
    assert not _tick(name, instance, None)[0]


@pytest.mark.parametrize("name", sorted(set(FOLLOWED) - {"heartbeat"}))
def test_a_repeated_tick_asks_for_the_same_run(
    name: str, instance: dg.DagsterInstance
) -> None:
    _report(instance, FOLLOWED[name], **_metadata(name))

    first, cursor = _tick(name, instance, None)
    repeated, _ = _tick(name, instance, None)
    later, _ = _tick(name, instance, cursor)

    assert len(first) == 1
    # Dagster starts one run for a key, however many ticks or daemons ask for it
    assert [request.run_key for request in repeated] == [first[0].run_key]
    assert not later


@pytest.mark.parametrize("cursor", SPOILT_CURSORS)
@pytest.mark.parametrize("name", FOLLOWED)
def test_a_spoilt_cursor_starts_from_the_beginning(
    name: str, cursor: str, instance: dg.DagsterInstance
) -> None:
    _report(instance, FOLLOWED[name], **_metadata(name))

    requests, healed = _tick(name, instance, cursor)

    assert len(requests) == (name != "heartbeat")
    assert json.loads(healed or "")[FOLLOWED[name].to_user_string()] > 0


@pytest.mark.parametrize(
    ("name", "follower"),
    [
        ("simulation_finished", archived_key(NOMINAL)),
        ("sequence_archived", INDEX),
        ("night_archived", NIGHT_VISITS),
    ],
)
def test_what_was_followed_by_hand_is_passed_over(
    name: str, follower: dg.AssetKey, instance: dg.DagsterInstance
) -> None:
    _report(instance, FOLLOWED[name])
    _report(instance, follower)

    assert not _tick(name, instance, None)[0]


def test_a_variant_made_again_is_archived_again(instance: dg.DagsterInstance) -> None:
    _report(instance, simulation_key(NOMINAL))
    first, cursor = _tick("simulation_finished", instance, None)
    _report(instance, simulation_key(NOMINAL))

    again, _ = _tick("simulation_finished", instance, cursor)

    assert [request.run_key for request in again] != [r.run_key for r in first]


def test_of_nights_that_wait_the_oldest_is_first(instance: dg.DagsterInstance) -> None:
    for night in ("2026-10-11", NIGHT):
        metadata = _metadata("visits_registered")
        instance.report_runless_asset_event(
            dg.AssetMaterialization(NIGHT_VISITS, partition=night, metadata=metadata)
        )

    requests, _ = _tick("visits_registered", instance, None)

    places = {r.tags["l1db/night"]: int(r.tags["dagster/priority"]) for r in requests}
    assert places[NIGHT] > places["2026-10-11"]


def test_a_night_without_visits_starts_no_prototype(
    instance: dg.DagsterInstance,
) -> None:
    _report(instance, NIGHT_VISITS, visits=0, first_visit="", last_visit="")

    assert not _tick("visits_registered", instance, None)[0]


def _schedule_tick(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    # before 12:00 UTC the night is still that of the day before
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(2026, 10, 11, 11, 59, tzinfo=UTC),
        repository_def=archive.defs.get_repository_def(),
    )
    tick = archive.defs.resolve_schedule_def("nightly").evaluate_tick(context)
    return list(tick.run_requests or ())


@pytest.fixture
def stored_instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in files: a schedule opens its own view of it."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def test_the_schedule_asks_once_for_the_night_of_the_site(
    stored_instance: dg.DagsterInstance,
) -> None:
    first, repeated = (_schedule_tick(stored_instance) for _ in range(2))

    assert [request.partition_key for request in first] == [NIGHT]
    assert [r.run_key for r in repeated] == [first[0].run_key]


def test_the_schedule_leaves_a_night_alone_that_was_asked_for(
    stored_instance: dg.DagsterInstance,
) -> None:
    stored_instance.add_run(
        dg.DagsterRun(job_name="simulate", tags={"dagster/partition": NIGHT})
    )

    assert not _schedule_tick(stored_instance)


def test_variants_that_end_together_are_archived_by_one_run(
    instance: dg.DagsterInstance,
) -> None:
    for plan in plans():
        _report(instance, simulation_key(plan))

    requests, _ = _tick("simulation_finished", instance, None)

    assert len(requests) == 1
    assert set(requests[0].asset_selection or ()) == {archived_key(p) for p in plans()}
