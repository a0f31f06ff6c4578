"""The nights: one partition a ``day_obs``."""

import os
from datetime import date

import dagster as dg

__all__ = ["night_of", "nights"]

nights = dg.DailyPartitionsDefinition(
    start_date=os.environ.get("NIGHTS_START", "2025-06-20"),
    timezone="Etc/GMT+12",  # POSIX sign: UTC-12, whose calendar date is day_obs
    end_offset=8,  # tonight and the coming week can be simulated and indexed
)
"""Nights from ``$NIGHTS_START``, default the first of the survey's commissioning."""


def night_of(context: dg.AssetExecutionContext) -> date:
    """Return the night that a run is for."""
    return date.fromisoformat(context.partition_key)
