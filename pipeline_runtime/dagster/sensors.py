"""What the sensors of both locations share: always on, one run for what is new."""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from pipeline_runtime.dagster.materializations import (
    by_partition,
    materialized_since,
    run_key,
    unfollowed,
)
from pipeline_runtime.environment import count_of

__all__ = ["follow", "sensor"]


def sensor(
    **options: Any,  # as dg.sensor has them
) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    """Return a decorator for a sensor that is on from the start.

    The gate of a night is its schedule.
    """
    return dg.sensor(
        minimum_interval_seconds=count_of("SENSOR_INTERVAL_S"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        **options,
    )


def follow(
    context: dg.SensorEvaluationContext,
    followers: Mapping[dg.AssetKey, dg.AssetKey],
    job: str,
    *,
    only_followers: bool = False,
) -> dg.SensorResult:
    """Ask for a run for each partition that was materialized and not followed yet.

    Parameters
    ----------
    followers
        The assets to look at, and for each the asset that the job makes of it.
    job
        Begins the run keys.
    only_followers
        Ask for the followers of what is new, instead of all that the job makes.
    """
    events, cursor = materialized_since(context.instance, followers, context.cursor)
    new = unfollowed(context.instance, events, followers)
    requests = [
        dg.RunRequest(
            run_key=run_key(job, of_partition),
            partition_key=partition,
            asset_selection=(
                [followers[event.asset_key] for event in of_partition]
                if only_followers
                else None
            ),
        )
        for partition, of_partition in by_partition(new).items()
    ]
    return dg.SensorResult(run_requests=requests, cursor=cursor)
