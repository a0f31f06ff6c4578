"""Visits as partitions: one failed visit retried alone, old ones pruned, one writer."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import yaml
from dagster_layer.real_site import FEW_SOURCES, FEW_TRANSIENTS, Site
from opsim_night import N_VISITS, NIGHT

from l1db_pipeline import definitions as l1db
from l1db_pipeline.defs.night_visits import NIGHT_VISITS_KEY
from pipeline_runtime.dagster.pools import L1DB, scheduler_pool, scheduler_slots
from pipeline_runtime.dagster.visit_names import STORED_KEY, VISITS_NAME

ROOT = Path(__file__).resolve().parents[2]
# an error of the database while the third visit is stored
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the disk is full'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON "L1DbProtoVisits"
FOR EACH ROW WHEN (NEW."visitId" % 100000 = 3) EXECUTE FUNCTION refuse();
"""


def _visit(number: int) -> str:
    return f"{NIGHT.replace('-', '')}-{number:05d}"


def _stored(site: Site) -> int:
    with site.resources["l1db"].open() as store:
        assert not store.verify()
        return int(store.row_counts()["L1DbProtoVisits"])


def test_a_failed_visit_is_retried_alone_and_the_night_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0.0)
    site.prepare_visits()
    with psycopg.connect(**site.connection) as connection:  # type: ignore[arg-type]
        connection.execute(REFUSE.encode())

    failed = site.run(
        "ap_prototype",
        config=FEW_TRANSIENTS,
        tags=site.visit_tags(),
        raise_on_error=False,
    )
    after_failure = _stored(site)
    with psycopg.connect(**site.connection) as connection:  # type: ignore[arg-type]
        connection.execute('DROP TRIGGER refuse ON "L1DbProtoVisits"')
    alone = site.run("ap_prototype", _visit(3), FEW_TRANSIENTS)
    after_retry = _stored(site)
    night = site.ap()

    batches = alone.asset_materializations_for_node("l1db_write_batches")
    assert not failed.success
    assert [event.partition for event in batches] == [_visit(3)]
    assert (after_failure, after_retry, _stored(site)) == (2, 3, N_VISITS)
    plotted = {
        str(event.partition): "objects" in event.metadata
        for event in night.asset_materializations_for_node("l1db_write_batches")
    }
    stored_before = {_visit(number) for number in (1, 2, 3)}
    assert {visit for visit, is_plotted in plotted.items() if not is_plotted} == (
        stored_before
    )


def test_stored_visits_of_old_nights_leave_the_partitions(site: Site) -> None:
    site.archive_night()
    old, waiting, anew, recent = (
        "20261005-00001", "20261006-00001", "20261007-00009", "20261009-00001",
    )  # fmt: skip
    site.instance.add_dynamic_partitions(VISITS_NAME, [old, waiting, anew, recent])
    for key, partition in (
        (NIGHT_VISITS_KEY, "2026-10-05"),
        (STORED_KEY, old),
        (NIGHT_VISITS_KEY, "2026-10-06"),
        (STORED_KEY, anew),
        (NIGHT_VISITS_KEY, "2026-10-07"),
        (STORED_KEY, recent),
    ):
        event = dg.AssetMaterialization(key, partition=partition)
        site.instance.report_runless_asset_event(event)
    keep = {"l1db__night_visits": {"config": {"keep_nights": 2}}}

    site.run("night_visits", NIGHT, {"ops": FEW_SOURCES["ops"] | keep})

    kept = site.instance.get_dynamic_partitions(VISITS_NAME)
    ours = [_visit(number) for number in range(1, N_VISITS + 1)]
    assert sorted(kept) == [waiting, anew, recent, *ours]


@pytest.fixture(params=["dagster.yaml", "deploy/dagster-production.yaml"])
def pooled_instance(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[dg.DagsterInstance]:
    """An instance in files with the concurrency of ours."""
    settings = yaml.safe_load((ROOT / str(request.param)).read_text())
    concurrency = {"concurrency": settings["concurrency"]}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=concurrency) as made:
        yield made


def test_one_step_at_a_time_writes_whoever_launched_it(
    pooled_instance: dg.DagsterInstance,
) -> None:
    storage = pooled_instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(L1DB)

    claims = [
        storage.claim_concurrency_slot(L1DB, run_id, "step").is_claimed
        for run_id in ("launched_by_a_sensor", "launched_by_hand")
    ]

    assert claims == [True, False]


@pytest.mark.parametrize(
    "op", ["l1db__schema", "l1db_write_batches", "l1db__nightly_merge"]
)
def test_whatever_writes_to_the_l1_database_is_in_its_pool(op: str) -> None:
    found = l1db.defs().resolve_implicit_global_asset_job_def().graph.node_named(op)

    assert found.definition.pools == {L1DB}


def test_simulations_take_turns_in_as_many_pools_as_the_memory_allows() -> None:
    pools = [scheduler_pool(order, 3) for order in range(4)]

    assert pools == ["scheduler_0", "scheduler_1", "scheduler_2", "scheduler_0"]
    assert scheduler_slots({"SCHEDULER_SLOTS": "5"}) == 5
    assert scheduler_slots({}) >= 1
