"""What runs by itself: the nightly schedule, and the sensors that follow it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from archive_assets.defs.integrity import observe_job
from archive_assets.defs.jobs import (
    archive_job,
    jobs,
    night_due_job,
    simulate_job,
    verify_job,
)
from archive_assets.defs.morning_after import completed_comparison_is_due
from archive_assets.defs.names import NOMINAL, archived_key, simulation_key
from archive_assets.defs.night_report import night_report_job
from archive_assets.defs.partitions import night_at
from archive_assets.defs.upkeep import verify_night_job
from archive_assets.nights.places import page_url
from pipeline_runtime.dagster.alarms import alarm_sensor
from pipeline_runtime.dagster.materializations import materialized_since
from pipeline_runtime.dagster.resubmit import resubmit_sensor
from pipeline_runtime.dagster.run_tags import SOON, deadline, work_name
from pipeline_runtime.dagster.sensors import automation, sensor
from pipeline_runtime.dagster.upkeep import daily_of_last_night, regular
from pipeline_runtime.environment import text_of

__all__ = ["schedules", "sensors"]

_MADE = {simulation_key(NOMINAL), archived_key(NOMINAL)}
_IN_VAIN = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


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

    is_asked = run.job_name in {simulate_job.name, archive_job.name}
    if not is_asked and not _MADE.intersection(run.asset_selection or ()):
        return
    for night in _nights_of(run):
        status = NightStatus(
            day_obs=night,
            telescope=NOMINAL.telescope.value,
            success=False,
            n_visits=0,
            visitseq_uuid="",
            visitseq_url="",
            detail=f"run {run.run_id} of {work_name(run)}",
        )
        publish_status(status, datetime.now(UTC), text_of("STATUS_URL"))


def _nights_of(run: dg.DagsterRun) -> Iterator[date]:
    if key := run.tags.get("dagster/partition"):
        yield date.fromisoformat(key)


def night_report_is_due(
    context: dg.ScheduleEvaluationContext,
) -> Iterator[dg.RunRequest]:
    """Ask for the pages: of a night that failed, nothing else writes one."""
    due = context.scheduled_execution_time
    for night in (night_at(due - timedelta(days=1)), night_at(due)):
        yield dg.RunRequest(run_key=f"{due.isoformat()}:{night}", partition_key=night)


def schedules() -> list[dg.ScheduleDefinition]:
    """Return the schedules, at the hours and in the time zone of the environment."""
    zone = text_of("NIGHTLY_TIMEZONE")
    return [
        dg.ScheduleDefinition(
            name="nightly",
            job=simulate_job,
            cron_schedule=text_of("NIGHTLY_CRON"),
            execution_timezone=zone,
            execution_fn=nightly,
            description="Simulate every variant of tonight; its toggle is the gate.",
        ),
        dg.ScheduleDefinition(
            name="night_is_due",
            job=night_due_job,
            cron_schedule=text_of("NIGHT_DUE_CRON"),
            execution_timezone=zone,
            description=(
                "Check that tonight's index is published; switch it on with `nightly`."
            ),
        ),
        dg.ScheduleDefinition(
            name="night_report_is_due",
            job=night_report_job,
            cron_schedule=text_of("NIGHT_REPORT_CRON"),
            execution_timezone=zone,
            execution_fn=night_report_is_due,
            description=(
                "Write the pages of tonight and last night; switch on with `nightly`."
            ),
        ),
        completed_comparison_is_due,
        daily_of_last_night("verify_night_is_due", verify_night_job, night_at),
        regular("observe_is_due", observe_job, "UPKEEP_DAILY_CRON"),
        regular("verify_is_due", verify_job, "UPKEEP_WEEKLY_CRON"),
    ]


def sensors() -> list[dg.SensorDefinition]:
    """Return the sensors, which tick as often as the environment says."""
    report = "Report each night's nominal sequence to the log and an end point."
    return [
        automation("archive_follows", deadline(hours=1) | SOON),
        sensor(description=report)(heartbeat),
        alarm_sensor(page_url, _publish_failure),
        resubmit_sensor("resubmit_archive_runs", jobs),
    ]
