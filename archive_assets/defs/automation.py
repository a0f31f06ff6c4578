"""What runs by itself: the nightly schedule, and the sensors that follow it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import dagster as dg

from archive_assets.defs.index import INDEX_KEY
from archive_assets.defs.jobs import (
    archive_job,
    jobs,
    night_due_job,
    prenight_index_job,
    simulate_job,
)
from archive_assets.defs.morning_after import completed_comparison_is_due
from archive_assets.defs.names import NOMINAL, archived_key, plans, simulation_key
from archive_assets.defs.night_report import night_report_is_due
from archive_assets.defs.partitions import night_at
from archive_assets.nights.places import page_url
from pipeline_runtime.dagster.alarms import alarm_sensor
from pipeline_runtime.dagster.materializations import materialized_since
from pipeline_runtime.dagster.resubmit import resubmit_sensor
from pipeline_runtime.dagster.sensors import follow, sensor
from pipeline_runtime.environment import text_of

__all__ = ["schedules", "sensors"]

_IN_VAIN = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@dg.schedule(
    job=simulate_job,
    # the original's hour at the site's batch machine
    cron_schedule=text_of("NIGHTLY_CRON"),
    execution_timezone=text_of("NIGHTLY_TIMEZONE"),
    description="Simulate every variant of tonight; its toggle is the gate.",
)
def nightly(
    context: dg.ScheduleEvaluationContext,
) -> dg.RunRequest | dg.SkipReason:
    """Ask for tonight's simulations unless they are made or being made.

    A run that failed or was canceled days before, when the night lay ahead, does not
    count; one that fails now is retried by Dagster.
    """
    night = night_at(context.scheduled_execution_time)
    done = dg.RunsFilter(
        job_name=simulate_job.name,
        tags={"dagster/partition": night},
        statuses=[status for status in dg.DagsterRunStatus if status not in _IN_VAIN],
    )
    if context.instance.get_runs_count(done):
        return dg.SkipReason(f"the simulations of {night} are made, or being made")
    return dg.RunRequest(run_key=f"simulate:{night}", partition_key=night)


@sensor(job=archive_job, description="A simulation is finished: archive it.")
def simulation_finished(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Ask for the archiving of each finished simulation."""
    archived = {simulation_key(plan): archived_key(plan) for plan in plans()}
    return follow(context, archived, archive_job.name, only_followers=True)


@sensor(
    job=prenight_index_job,
    description="A sequence is archived: refresh the index of the nights it covers.",
)
def sequence_archived(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Ask for the index of the nights that new sequences cover."""
    indexed = {archived_key(plan): INDEX_KEY for plan in plans()}
    return follow(context, indexed, prenight_index_job.name)


@sensor(
    description="Report each night's nominal sequence to the log and an end point.",
)
def heartbeat(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Publish the status of nights whose nominal sequence was archived."""
    from archive_assets.nights.status import NightStatus, publish_status

    events, cursor = materialized_since(
        context.instance, [archived_key(NOMINAL)], context.cursor
    )
    for event in events:
        status = NightStatus(
            day_obs=date.fromisoformat(event.partition),
            telescope=NOMINAL.telescope.value,
            success=True,
            n_visits=event.number("visits"),
            visitseq_uuid=event.text("visitseq_uuid"),
            visitseq_url=event.text("visitseq_url"),
        )
        publish_status(status, datetime.now(UTC), text_of("STATUS_URL"))
    return dg.SensorResult(cursor=cursor)


def _publish_failure(run: dg.DagsterRun) -> None:
    """Publish that a night's simulation or archiving failed for good."""
    from archive_assets.nights.status import NightStatus, publish_status

    if run.job_name not in {simulate_job.name, archive_job.name}:
        return
    for night in _nights_of(run):
        status = NightStatus(
            day_obs=night,
            telescope=NOMINAL.telescope.value,
            success=False,
            n_visits=0,
            visitseq_uuid="",
            visitseq_url="",
            detail=f"run {run.run_id} of {run.job_name}",
        )
        publish_status(status, datetime.now(UTC), text_of("STATUS_URL"))


def _nights_of(run: dg.DagsterRun) -> Iterator[date]:
    if key := run.tags.get("dagster/partition"):
        yield date.fromisoformat(key)


night_is_due = dg.ScheduleDefinition(
    name="night_is_due",
    job=night_due_job,
    cron_schedule=text_of("NIGHT_DUE_CRON"),
    execution_timezone=text_of("NIGHTLY_TIMEZONE"),
    description="Check that tonight's index is published; switch it on with `nightly`.",
)
schedules = [nightly, night_is_due, night_report_is_due, completed_comparison_is_due]
sensors = [
    simulation_finished,
    sequence_archived,
    heartbeat,
    alarm_sensor(page_url, _publish_failure),
    resubmit_sensor("resubmit_archive_runs", jobs),
]
