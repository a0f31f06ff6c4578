"""Tonight is fresh if its own index is published; an old night's changes nothing."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from archive_assets import definitions as archive
from archive_assets.defs.index import INDEX_KEY, TONIGHT_CHECK
from archive_assets.defs.partitions import night_at

MOMENT = timedelta(seconds=1)


def _publish(instance: dg.DagsterInstance, night: str) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(INDEX_KEY, partition=night)
    )


def _judge(instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    job = archive.defs().resolve_job_def("night_due")
    (found,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    return found


def test_a_backfill_of_an_old_night_leaves_tonight_late(
    instance: dg.DagsterInstance,
) -> None:
    tonight = night_at(datetime.now(UTC))

    _publish(instance, "2026-01-10")
    after_backfill = _judge(instance)
    _publish(instance, tonight)
    after_tonight = _judge(instance)

    assert not after_backfill.passed
    assert f"the index of {tonight} is not published" in str(after_backfill.description)
    assert after_tonight.passed


def test_a_night_ends_at_noon_of_the_next_day() -> None:
    before, after = (
        datetime(2026, 10, 11, 12, tzinfo=UTC) - wait for wait in (MOMENT, 0 * MOMENT)
    )

    assert (night_at(before), night_at(after)) == ("2026-10-10", "2026-10-11")


def test_a_run_for_another_night_does_not_judge_tonight() -> None:
    for name in ("prenight_index", "prenight", "nominal_night"):
        checks = archive.defs().resolve_job_def(name).asset_layer.asset_graph
        assert TONIGHT_CHECK not in checks.asset_check_keys
