"""The nights: one partition a ``day_obs``."""

from datetime import date, datetime

import dagster as dg

from pipeline_runtime.environment import text_of

__all__ = ["night_at", "night_of", "nights"]

nights = dg.DailyPartitionsDefinition(
    start_date=text_of("NIGHTS_START"),
    timezone="Etc/GMT+12",  # POSIX sign: UTC-12, whose calendar date is day_obs
    end_offset=8,  # tonight and the coming week can be simulated and indexed
)
"""Nights from ``$NIGHTS_START``, default the first of the survey's commissioning."""


def night_of(context: dg.AssetExecutionContext) -> date:
    """Return the night that a run is for."""
    return date.fromisoformat(context.partition_key)


def night_at(now: datetime) -> str:
    """Return the night that a time belongs to: its date at UTC-12."""
    from visit_tables.day_obs import day_obs_at

    return day_obs_at(now).isoformat()
