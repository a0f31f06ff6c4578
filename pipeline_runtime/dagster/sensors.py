"""What the sensors of both locations share: always on, one run for what is new."""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from pipeline_runtime.environment import count_of

__all__ = ["automation", "sensor"]


def sensor(
    **options: Any,  # as dg.sensor has them
) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    """Return a decorator for a sensor that is on from the start.

    The gate of a night is its schedule. Its interval is the environment's: call it
    where definitions are built, not at import.
    """
    return dg.sensor(
        minimum_interval_seconds=count_of("SENSOR_INTERVAL_S"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        **options,
    )


def automation(name: str, run_tags: Mapping[str, str]) -> dg.SensorDefinition:
    """Return the sensor that evaluates the automation conditions of a location."""
    return dg.AutomationConditionSensorDefinition(
        name,
        target=dg.AssetSelection.all(),
        run_tags=run_tags,
        minimum_interval_seconds=count_of("SENSOR_INTERVAL_S"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        emit_backfills=False,  # a night that fails stops no other
        description=(
            "Ask for the assets that follow others by themselves; the page of an asset "
            "shows each decision under Automation."
        ),
    )
