"""The nights: one partition a ``day_obs``."""

from datetime import date

import dagster as dg

from pipeline_runtime.environment import text_of

__all__ = ["night_of", "nights"]

nights = dg.DailyPartitionsDefinition(
    start_date=text_of("NIGHTS_START"),
    timezone="Etc/GMT+12",  # POSIX sign: UTC-12, whose calendar date is day_obs
    end_offset=8,  # tonight and the coming week can be simulated and indexed
)
"""Nights from ``$NIGHTS_START``, default the first of the survey's commissioning."""


def night_of(context: dg.AssetExecutionContext) -> date:
    """Return the night that a run is for."""
    return date.fromisoformat(context.partition_key)
