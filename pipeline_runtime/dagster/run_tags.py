"""Tags of runs: how long one may take, which one comes first; what one is of."""

import dagster as dg

__all__ = [
    "ASSET_JOB",
    "OWN_PROCESS",
    "SOON",
    "UPKEEP",
    "WRITER",
    "deadline",
    "work_name",
]

# in a backfill of months, what follows a night does not wait for further nights
SOON = {"dagster/priority": "1"}

ASSET_JOB = "__ASSET_JOB"
"""Dagster's name for the job of runs that were asked for by their assets."""

UPKEEP = {"l1db/upkeep": "true"}
"""Tag of the runs that look after what is there; the page of a night lists them."""

# one writer at a time: the run queue holds further runs back
WRITER = {"l1db/writer": "true"}

OWN_PROCESS = {"l1db/own_process": "true"}
"""Tag of an op that is long, or needs much memory: a process of its own pays."""


def deadline(*, hours: int) -> dict[str, str]:
    """Return the tag after which run monitoring ends a run that hangs."""
    return {"dagster/max_runtime": str(hours * 3600)}


def work_name(run: dg.DagsterRun) -> str:
    """Return what people call the work of a run: its job, else its assets."""
    if run.job_name != ASSET_JOB:
        return run.job_name
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    return ", ".join(assets) or "assets"
