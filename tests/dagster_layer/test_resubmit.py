"""Lost runs whose retry Dagster dropped are asked for again, a few times."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from archive_assets import definitions as archive
from l1db_pipeline import definitions as l1db

LOST = {"dagster/will_retry": "false"}
VISITS = {
    "dagster/asset_partition_range_start": "20261010-00001",
    "dagster/asset_partition_range_end": "20261010-00009",
    "l1db/night": "2026-10-10",
}
CONFIG = {"ops": {"l1db_write_batches": {"config": {"n_noise": 20}}}}
Fail = Callable[..., dg.DagsterRun]


@pytest.fixture
def retrying(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in memory that retries lost runs, as ours does."""
    retries = {
        "run_retries": {
            "enabled": True,
            "max_retries": 2,
            "retry_on_asset_or_op_failure": False,
        }
    }
    with dg.DagsterInstance.ephemeral(str(tmp_path), settings=retries) as made:
        yield made


@pytest.fixture
def fail(retrying: dg.DagsterInstance) -> Fail:
    """Add a failed run."""

    def fail(job: str = "ap_prototype", **run: object) -> dg.DagsterRun:
        tags = LOST | run.pop("tags", {})  # type: ignore[operator]  # tags by name
        run |= {"tags": tags, "run_config": CONFIG}
        return retrying.add_run(
            dg.DagsterRun(job_name=job, status=dg.DagsterRunStatus.FAILURE, **run)  # type: ignore[arg-type]  # as above
        )

    return fail


def _asked(
    instance: dg.DagsterInstance, sensor: str = "resubmit_l1db_runs"
) -> list[dg.RunRequest]:
    definitions = l1db.defs() if sensor == "resubmit_l1db_runs" else archive.defs()
    context = dg.build_sensor_context(
        instance=instance, definitions=definitions, sensor_name=sensor
    )
    tick = definitions.resolve_sensor_def(sensor).evaluate_tick(context)
    return list(tick.run_requests or ())


def test_a_lost_run_is_asked_for_again_with_all_that_it_had(
    retrying: dg.DagsterInstance, fail: Fail
) -> None:
    lost = fail(tags=VISITS | {"dagster/run_key": "old", "dagster/priority": "-5"})

    first, repeated = (_asked(retrying) for _ in range(2))

    (request,) = first
    assert [again.run_key for again in repeated] == [f"again:{lost.run_id}"]
    assert (request.job_name, request.run_config) == ("ap_prototype", CONFIG)
    assert VISITS.items() <= request.tags.items()
    assert request.tags["dagster/priority"] == "-5"
    assert "old" not in request.tags.values()


def test_each_location_asks_for_its_own(
    retrying: dg.DagsterInstance, fail: Fail
) -> None:
    fail("simulate", tags={"dagster/partition": "2026-10-10"})

    (request,) = _asked(retrying, "resubmit_archive_runs")

    assert (request.job_name, request.partition_key) == ("simulate", "2026-10-10")
    assert not _asked(retrying)


@pytest.mark.parametrize(
    "tags",
    [
        {"dagster/will_retry": "true"},
        {"dagster/failure_reason": "STEP_FAILURE"},
        {"dagster/max_retries": "0"},
        {"l1db/again": "3"},
    ],
    ids=["Dagster will", "its step failed", "not to be retried", "asked thrice"],
)
def test_other_failures_are_left(
    tags: dict[str, str], retrying: dg.DagsterInstance, fail: Fail
) -> None:
    fail(tags=tags)

    assert not _asked(retrying)


def test_what_ran_again_is_left(retrying: dg.DagsterInstance, fail: Fail) -> None:
    lost = fail()
    by_hand = {"root_run_id": lost.run_id, "parent_run_id": lost.run_id}
    tags = {f"dagster/{name}": value for name, value in by_hand.items()}
    retrying.add_run(dg.DagsterRun(job_name="ap_prototype", tags=tags, **by_hand))  # type: ignore[arg-type]  # ids

    assert not _asked(retrying)


def test_a_run_that_was_retried_in_vain_is_left(
    retrying: dg.DagsterInstance, fail: Fail
) -> None:
    lost = fail()
    for _ in range(2):
        ids = {"root_run_id": lost.run_id, "parent_run_id": lost.run_id}
        fail(tags={f"dagster/{name}": value for name, value in ids.items()}, **ids)

    assert not _asked(retrying)
