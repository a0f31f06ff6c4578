"""What follows by itself: archived → visits registered → AP prototype → merge."""

from datetime import date

import dagster as dg

from l1db_pipeline.defs.archive import ARCHIVED_KEY
from l1db_pipeline.defs.jobs import (
    ap_prototype_job,
    jobs,
    night_visits_job,
    nightly_job,
    timing_report_job,
)
from l1db_pipeline.defs.night_visits import NIGHT_VISITS_KEY
from l1db_pipeline.defs.partitions import NIGHT_TAG, VISITS_NAME, arrange
from pipeline_runtime.dagster.materializations import (
    Materialized,
    materialized_since,
    run_key,
)
from pipeline_runtime.dagster.resubmit import resubmit_sensor
from pipeline_runtime.dagster.sensors import follow, sensor
from pipeline_runtime.environment import count_of

__all__ = ["sensors"]


@sensor(
    job=night_visits_job,
    description="A night's nominal sequence is archived: register its visits.",
)
def night_archived(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Ask for the visits of each archived night."""
    registered = {ARCHIVED_KEY: NIGHT_VISITS_KEY}
    return follow(context, registered, night_visits_job.name)


@sensor(
    job=ap_prototype_job,
    description="A night's visits are registered: run the AP prototype over them.",
)
def visits_registered(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Ask for one run over the visits of each registered night, the oldest first."""
    events, cursor = materialized_since(
        context.instance, [NIGHT_VISITS_KEY], context.cursor
    )
    requests = [
        _night_request(context.instance, event)
        for event in events
        if event.number("visits")
    ]
    return dg.SensorResult(run_requests=requests, cursor=cursor)


def _night_request(instance: dg.DagsterInstance, event: Materialized) -> dg.RunRequest:
    """Return the request for a night's visits, which are a range from now on."""
    first, last = event.text("first_visit"), event.text("last_visit")
    present = instance.get_dynamic_partitions(VISITS_NAME)
    arrange(instance, sorted(key for key in present if first <= key <= last))
    return dg.RunRequest(
        run_key=run_key("ap_prototype", [event]),
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
            NIGHT_TAG: event.partition,
            "dagster/priority": str(-date.fromisoformat(event.partition).toordinal()),
        },
    )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[ap_prototype_job],
    request_jobs=[nightly_job, timing_report_job],
    minimum_interval_seconds=count_of("SENSOR_INTERVAL_S"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="The visits of a night are stored: merge it and report.",
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


sensors = [
    night_archived,
    visits_registered,
    night_processed,
    resubmit_sensor("resubmit_l1db_runs", jobs),
]
