"""Every schedule and sensor, evaluated twice: a tick that repeats asks for no more."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from archive_assets import definitions as archive
from archive_assets.defs.names import NOMINAL, archived_key
from l1db_pipeline import definitions as l1db
from l1db_pipeline.defs.partitions import register, visits
from pipeline_runtime.dagster.visit_names import VISITS_NAME

NIGHT = "2026-10-10"
NIGHT_VISITS = dg.AssetKey(["l1db", "night_visits"])
ARCHIVE, L1DB = archive.defs(), l1db.defs()
DEFINITIONS = {
    sensor.name: definitions
    for definitions in (ARCHIVE, L1DB)
    for sensor in definitions.sensors or ()
}
FOLLOWED = {
    "visits_registered": NIGHT_VISITS,
    "heartbeat": archived_key(NOMINAL),
}
CONDITIONS = {"archive_follows", "l1db_follows"}  # in test_following.py
STATUS_SENSORS = {"night_processed"}
ALARM = {"alarm"}  # in pipeline_runtime/dagster/test_alarms.py
RESUBMIT_SENSORS = {
    "resubmit_archive_runs",
    "resubmit_l1db_runs",
}  # in test_resubmit.py
SPOILT_CURSORS = ["", "{", "[1, 2]", '{"a": "b"}', "null", '"\u2603"']


def _set_up(instance: dg.DagsterInstance) -> None:
    for name in ("variable_sources", "schema"):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(dg.AssetKey(["l1db", name]))
        )


def _report(instance: dg.DagsterInstance, key: dg.AssetKey, **metadata: Any) -> None:
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
    assert set(DEFINITIONS) == (
        set(FOLLOWED) | CONDITIONS | STATUS_SENSORS | RESUBMIT_SENSORS | ALARM
    )


@pytest.mark.parametrize("location", [ARCHIVE, L1DB], ids=["archive", "l1db"])
def test_every_job_has_a_deadline(location: dg.Definitions) -> None:
    for job in location.resolve_all_job_defs():
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
    _set_up(instance)
    _report(instance, FOLLOWED[name], **_metadata(name))

    first, cursor = _tick(name, instance, None)
    repeated, _ = _tick(name, instance, None)
    later, _ = _tick(name, instance, cursor)

    assert len(first) == 1
    # Dagster starts one run for a key, however many ticks or daemons ask for it
    assert [request.run_key for request in repeated] == [first[0].run_key]
    assert not later


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_spoilt_cursor_starts_from_the_beginning(
    name: str, instance: dg.DagsterInstance
) -> None:
    _set_up(instance)
    _report(instance, FOLLOWED[name], **_metadata(name))

    for cursor in SPOILT_CURSORS:
        requests, healed = _tick(name, instance, cursor)

        assert len(requests) == (name != "heartbeat"), cursor
        assert json.loads(healed or "")[FOLLOWED[name].to_user_string()] > 0, cursor


def test_the_first_night_waits_until_sources_and_tables_are_made(
    instance: dg.DagsterInstance,
) -> None:
    _report(instance, NIGHT_VISITS, **_metadata("visits_registered"))

    (first,), cursor = _tick("visits_registered", instance, None)
    (repeated,), cursor = _tick("visits_registered", instance, cursor)
    _set_up(instance)
    (of_visits,), cursor = _tick("visits_registered", instance, cursor)

    assert (first.job_name, repeated.run_key) == ("set_up", first.run_key)
    assert of_visits.job_name == "ap_prototype"
    assert not _tick("visits_registered", instance, cursor)[0]


def test_of_nights_that_wait_the_oldest_is_first(instance: dg.DagsterInstance) -> None:
    _set_up(instance)
    for night in ("2026-10-11", NIGHT):
        metadata: Any = _metadata("visits_registered")
        instance.report_runless_asset_event(
            dg.AssetMaterialization(NIGHT_VISITS, partition=night, metadata=metadata)
        )

    requests, _ = _tick("visits_registered", instance, None)

    places = {r.tags["l1db/night"]: int(r.tags["dagster/priority"]) for r in requests}
    assert places[NIGHT] > places["2026-10-11"]


def _keys(night: str, *numbers: int) -> list[str]:
    return [f"{night.replace('-', '')}-{number:05d}" for number in numbers]


def _asked(instance: dg.DagsterInstance, keys: list[str]) -> list[str]:
    """Report a night with these visits; return what the run it asks for holds."""
    _set_up(instance)
    metadata = {"visits": len(keys), "first_visit": keys[0], "last_visit": keys[-1]}
    _report(instance, NIGHT_VISITS, **metadata)
    requests, _ = _tick("visits_registered", instance, None)
    with partition_loading_context(dynamic_partitions_store=instance):
        asked = requests[-1].partition_key_range
        assert asked is not None
        return list(visits.get_partition_keys_in_range(asked))


@pytest.mark.parametrize(
    "added",
    [
        [(NIGHT, 1, 2, 3), ("2026-10-11", 1, 2), (NIGHT, 4, 5)],
        [(NIGHT, 5), ("2026-10-11", 1), (NIGHT, 1, 2, 3, 4)],
        [(NIGHT, 5, 4, 3, 2, 1)],
        [(NIGHT, 1, 2, 3, 4, 5), ("2026-10-11", 1)],
    ],
    ids=["more of it later", "its last first", "backwards", "at once"],
)
def test_a_night_asks_for_its_visits_in_whatever_order_they_were_added(
    added: list[tuple[str, int]], instance: dg.DagsterInstance
) -> None:
    for night, *numbers in added:
        instance.add_dynamic_partitions(VISITS_NAME, _keys(night, *numbers))

    asked = _asked(instance, _keys(NIGHT, 1, 2, 3, 4, 5))

    assert asked == _keys(NIGHT, 1, 2, 3, 4, 5)


def test_registering_makes_the_night_exactly_its_visits(
    instance: dg.DagsterInstance,
) -> None:
    other = _keys("2026-10-11", 1, 2)
    instance.add_dynamic_partitions(VISITS_NAME, [*_keys(NIGHT, 9, 1), *other])

    register(instance, date.fromisoformat(NIGHT), _keys(NIGHT, 1, 2, 3))

    kept = instance.get_dynamic_partitions(VISITS_NAME)
    assert sorted(kept) == [*_keys(NIGHT, 1, 2, 3), *other]
    assert [key for key in kept if key not in other] == _keys(NIGHT, 1, 2, 3)


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
        repository_def=ARCHIVE.get_repository_def(),
    )
    tick = ARCHIVE.resolve_schedule_def("nightly").evaluate_tick(context)
    return list(tick.run_requests or ())


@pytest.fixture(scope="module")
def instance_in_files(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dg.DagsterInstance]:
    """An instance in files: a schedule opens its own view of it."""
    folder = tmp_path_factory.mktemp("instance")
    with dg.DagsterInstance.local_temp(str(folder)) as made:
        yield made


@pytest.fixture
def stored_instance(
    instance_in_files: dg.DagsterInstance,
) -> Iterator[dg.DagsterInstance]:
    """That instance, without runs."""
    assert instance_in_files.get_runs() == []
    yield instance_in_files
    for run in instance_in_files.get_runs():
        instance_in_files.delete_run(run.run_id)


def test_the_schedule_asks_once_for_the_night_of_the_site(
    stored_instance: dg.DagsterInstance,
) -> None:
    first, repeated = (_schedule_tick(stored_instance) for _ in range(2))

    assert [request.partition_key for request in first] == [NIGHT]
    assert [r.run_key for r in repeated] == [first[0].run_key]


# a run that is queued has a code location, which this one lacks
@pytest.mark.parametrize(
    "status",
    [found for found in dg.DagsterRunStatus if found != dg.DagsterRunStatus.QUEUED],
)
def test_the_schedule_counts_what_succeeded_or_is_under_way(
    status: dg.DagsterRunStatus, stored_instance: dg.DagsterInstance
) -> None:
    tags = {"dagster/partition": NIGHT}
    stored_instance.add_run(
        dg.DagsterRun(job_name="simulate", tags=tags, status=status)
    )

    is_asked_for = bool(_schedule_tick(stored_instance))

    in_vain = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    assert is_asked_for == (status in in_vain)
