"""What follows by itself: archived → visits registered → AP prototype → merge."""

from datetime import date

import dagster as dg

from l1db_pipeline.defs.archive import night_at
from l1db_pipeline.defs.jobs import (
    ap_prototype_job,
    jobs,
    nightly_job,
    set_up_job,
    timing_report_job,
    verify_l1db_job,
)
from l1db_pipeline.defs.night_visits import NIGHT_VISITS_KEY
from l1db_pipeline.defs.partitions import arrange
from l1db_pipeline.defs.upkeep import compact_job, expire_job, verify_night_job
from pipeline_runtime.dagster.materializations import (
    Materialized,
    materialized_since,
    run_key,
)
from pipeline_runtime.dagster.resubmit import resubmit_sensor
from pipeline_runtime.dagster.run_tags import SOON, deadline
from pipeline_runtime.dagster.sensors import automation, sensor
from pipeline_runtime.dagster.upkeep import daily_of_last_night, regular
from pipeline_runtime.dagster.visit_names import NIGHT_TAG, VISITS_NAME
from pipeline_runtime.environment import count_of

__all__ = ["schedules", "sensors"]

_SET_UP = (dg.AssetKey(["l1db", "variable_sources"]), dg.AssetKey(["l1db", "schema"]))


def visits_registered(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Ask for one run over the visits of each registered night, the oldest first.

    Before the first one, sources and tables are made; the nights wait for them.
    """
    events, cursor = materialized_since(
        context.instance, [NIGHT_VISITS_KEY], context.cursor
    )
    of_visits = [event for event in events if event.number("visits")]
    if of_visits and not _is_set_up(context.instance):
        first = run_key(set_up_job.name, of_visits[:1])
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=first, job_name=set_up_job.name)],
            cursor=context.cursor,
        )
    requests = [_night_request(context.instance, event) for event in of_visits]
    return dg.SensorResult(run_requests=requests, cursor=cursor)


def _is_set_up(instance: dg.DagsterInstance) -> bool:
    return all(instance.get_latest_materialization_event(key) for key in _SET_UP)


def _night_request(instance: dg.DagsterInstance, event: Materialized) -> dg.RunRequest:
    """Return the request for a night's visits, which are a range from now on."""
    first, last = event.text("first_visit"), event.text("last_visit")
    present = instance.get_dynamic_partitions(VISITS_NAME)
    arrange(instance, sorted(key for key in present if first <= key <= last))
    return dg.RunRequest(
        run_key=run_key(ap_prototype_job.name, [event]),
        job_name=ap_prototype_job.name,
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
            NIGHT_TAG: event.partition,
            "dagster/priority": str(-date.fromisoformat(event.partition).toordinal()),
        },
    )


def night_processed(context: dg.RunStatusSensorContext) -> dg.SensorResult:
    """Ask for the nightly merge and the report after a whole night."""
    run = context.dagster_run
    night = run.tags.get(NIGHT_TAG)
    if night is None:
        return dg.SensorResult(skip_reason="single visits are not merged by themselves")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"nightly:{run.run_id}", job_name="nightly", partition_key=night
            ),
            dg.RunRequest(run_key=f"report:{run.run_id}", job_name="timing_report"),
        ]
    )


def schedules() -> list[dg.ScheduleDefinition]:
    """Return the schedules of upkeep."""
    return [
        daily_of_last_night("verify_l1db_night_is_due", verify_night_job, night_at),
        regular("verify_l1db_is_due", verify_l1db_job, "UPKEEP_WEEKLY_CRON"),
        regular("compact_l1db_is_due", compact_job, "UPKEEP_WEEKLY_CRON"),
        regular("expire_l1db_is_due", expire_job, "UPKEEP_WEEKLY_CRON"),
    ]


def sensors() -> list[dg.SensorDefinition]:
    """Return the sensors, which tick as often as the environment says."""
    registered = "A night's visits are registered: run the AP prototype over them."
    return [
        automation("l1db_follows", deadline(hours=1) | SOON),
        sensor(jobs=[ap_prototype_job, set_up_job], description=registered)(
            visits_registered
        ),
        dg.run_status_sensor(
            run_status=dg.DagsterRunStatus.SUCCESS,
            monitored_jobs=[ap_prototype_job],
            request_jobs=[nightly_job, timing_report_job],
            minimum_interval_seconds=count_of("SENSOR_INTERVAL_S"),
            default_status=dg.DefaultSensorStatus.RUNNING,
            description="The visits of a night are stored: merge it and report.",
        )(night_processed),
        resubmit_sensor("resubmit_l1db_runs", jobs),
    ]
