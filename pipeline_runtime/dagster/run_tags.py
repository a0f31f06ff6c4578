"""Tags of runs: how long one may take, and which one comes first."""

__all__ = ["SOON", "deadline"]

# in a backfill of months, what follows a night does not wait for further nights
SOON = {"dagster/priority": "1"}


def deadline(*, hours: int) -> dict[str, str]:
    """Return the tag after which run monitoring ends a run that hangs."""
    return {"dagster/max_runtime": str(hours * 3600)}
