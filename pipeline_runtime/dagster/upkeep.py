"""Schedules of upkeep, of both locations: daily of last night, weekly of everything."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from pipeline_runtime.environment import text_of

__all__ = ["daily_of_last_night", "regular"]


def daily_of_last_night(
    name: str,
    job: Any,  # what dg.define_asset_job returns: its class is private
    night_at: Callable[[datetime], str],
) -> dg.ScheduleDefinition:
    """Return the schedule that runs a job each day for the night before this one."""

    def of_last_night(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        due = context.scheduled_execution_time
        night = night_at(due - timedelta(days=1))
        return dg.RunRequest(run_key=f"{name}:{night}", partition_key=night)

    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=text_of("UPKEEP_DAILY_CRON"),
        execution_timezone=text_of("NIGHTLY_TIMEZONE"),
        execution_fn=of_last_night,
        description=f"Run {job.name} for last night; switch it on with `nightly`.",
    )


def regular(
    name: str,
    job: Any,  # as above
    cron: str,
) -> dg.ScheduleDefinition:
    """Return the schedule that runs a job by a cron variable of the environment."""
    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=text_of(cron),
        execution_timezone=text_of("NIGHTLY_TIMEZONE"),
        description=f"Run {job.name} regularly; switch it on with `nightly`.",
    )
