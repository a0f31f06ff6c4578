"""Runs that Dagster gave up although they may be well another time.

Dagster asks the code server to plan the retry of a run that was lost. If that is away
just then, the retry is dropped. A sensor ticks when the code server is back, and asks
for such runs again.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from pipeline_runtime.dagster.run_tags import ASSET_JOB
from pipeline_runtime.dagster.sensors import sensor

__all__ = [
    "is_resubmitted",
    "resubmission_key",
    "resubmit_sensor",
]

_LOOK_BACK = timedelta(days=2)
_MOST_TIMES = 3  # each with retries of its own
_TIMES_TAG = "l1db/again"
_WITHIN_RUNS = "dagster/asset_partition_range_"


def resubmit_sensor(
    name: str,
    jobs: Sequence[Any],  # what dg.define_asset_job returns: its class is private
) -> dg.SensorDefinition:
    """Return a sensor that asks again for the runs of jobs that were given up."""

    @sensor(
        name=name,
        jobs=jobs,
        description="Resubmit lost runs whose retry was dropped.",
    )
    def asks_to_resubmit(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        made = {job.name: _assets_of(context.repository_def, job.name) for job in jobs}
        since = datetime.now(UTC) - _LOOK_BACK
        return dg.SensorResult(
            run_requests=[
                _request(run, job)
                for run in _given_up(context.instance, since)
                if (job := _job_of(run, made))
            ]
        )

    return asks_to_resubmit


def _assets_of(
    repository: dg.RepositoryDefinition | None, job: str
) -> frozenset[dg.AssetKey]:
    if repository is None:
        return frozenset()
    return frozenset(repository.get_job(job).asset_layer.selected_asset_keys)


def _job_of(
    run: dg.DagsterRun, jobs: Mapping[str, frozenset[dg.AssetKey]]
) -> str | None:
    """Return the first job that can do a run's work again: its own, if it has one."""
    if run.job_name != ASSET_JOB:
        return run.job_name if run.job_name in jobs else None
    wanted = run.asset_selection or frozenset()
    able = (name for name, keys in jobs.items() if wanted and wanted <= keys)
    return next(able, None)


def _given_up(instance: dg.DagsterInstance, since: datetime) -> Iterator[dg.DagsterRun]:
    """Yield runs that Dagster might have retried, and will not."""
    failed = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={"dagster/will_retry": "false"},
        updated_after=since,
    )
    for run in instance.get_runs(filters=failed):
        if is_resubmitted(instance, run):
            yield run


def is_resubmitted(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Tell whether the sensor asks again for a failed run that Dagster gave up."""
    if run.tags.get("dagster/failure_reason") == "STEP_FAILURE":
        return False  # steps have retries of their own
    if int(run.tags.get(_TIMES_TAG, "0")) >= _MOST_TIMES:
        return False
    return _has_retries_left(instance, run)


def resubmission_key(run: dg.DagsterRun) -> str:
    """Return the run key under which a run is asked for again."""
    return f"again:{run.run_id}"


def _has_retries_left(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    _, group = instance.get_run_group(run.run_id) or ("", [run])
    of_group = list(group)
    is_last = all(other.parent_run_id != run.run_id for other in of_group)
    asked = run.tags.get("dagster/max_retries", "")
    allowed = int(asked) if asked.isdecimal() else instance.run_retries_max_retries
    return is_last and len(of_group) <= allowed


def _request(run: dg.DagsterRun, job: str) -> dg.RunRequest:
    """Return the request for the same work, once."""
    kept: dict[str, Any] = {
        name: value
        for name, value in run.tags.items()
        if not name.lstrip(".").startswith("dagster/")
        or name.startswith((_WITHIN_RUNS, "dagster/priority", "dagster/max_r"))
    }
    return dg.RunRequest(
        run_key=resubmission_key(run),
        job_name=job,
        partition_key=run.tags.get("dagster/partition"),
        run_config=run.run_config,
        tags=kept | {_TIMES_TAG: str(int(run.tags.get(_TIMES_TAG, "0")) + 1)},
        asset_selection=sorted(run.asset_selection) if run.asset_selection else None,
        asset_check_keys=(
            sorted(run.asset_check_selection, key=str)
            if run.asset_check_selection is not None
            else None
        ),
    )
