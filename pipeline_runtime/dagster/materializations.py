"""What a sensor follows: partitions of assets that were materialized since.

The cursor holds the last storage id of each asset. A lost cursor starts from the
beginning, and a tick may repeat: run keys hold the storage id, so Dagster starts no run
twice, and what the runs do is idempotent anyway.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg

__all__ = [
    "Materialized",
    "latest_number",
    "latest_text",
    "materialized_since",
    "run_key",
]

_EVENTS_PER_TICK = 25  # an asset: a lost cursor catches up in several short ticks


@dataclass(frozen=True, kw_only=True, slots=True)
class Materialized:
    """The latest materialization of one partition of one asset."""

    asset_key: dg.AssetKey
    partition: str
    storage_id: int
    event: dg.AssetMaterialization | None

    def number(self, name: str, default: int = 0) -> int:
        """Return a whole number of the event's metadata."""
        value = self.event.metadata.get(name) if self.event else None
        number = value.value if isinstance(value, dg.IntMetadataValue) else None
        return default if number is None else number

    def text(self, name: str, default: str = "") -> str:
        """Return a text of the event's metadata."""
        value = self.event.metadata.get(name) if self.event else None
        return (
            str(value.value)
            if isinstance(value, dg.TextMetadataValue | dg.UrlMetadataValue)
            else default
        )


def latest_text(
    instance: dg.DagsterInstance, key: dg.AssetKey, night: date, name: str
) -> str:
    """Return a text that the latest event of a night's partition tells, or none."""
    latest = _latest(instance, key, night)
    return latest.text(name) if latest else ""


def latest_number(
    instance: dg.DagsterInstance, key: dg.AssetKey, night: date, name: str
) -> int | None:
    """Return a whole number that the latest event of a night's partition tells."""
    latest = _latest(instance, key, night)
    return latest.number(name) if latest else None


def _latest(
    instance: dg.DagsterInstance, key: dg.AssetKey, night: date
) -> Materialized | None:
    partition = night.isoformat()
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=1
    )
    for record in found.records:
        return Materialized(
            asset_key=key,
            partition=partition,
            storage_id=record.storage_id,
            event=record.asset_materialization,
        )
    return None


def run_key(job: str, events: Sequence[Materialized]) -> str:
    """Return the key under which a job follows events of one partition, once."""
    latest = max(events, key=lambda event: event.storage_id)
    return f"{job}:{latest.asset_key.to_user_string()}:{latest.storage_id}"


def _positions(cursor: str | None) -> dict[str, int]:
    """Return the storage ids of a cursor; none for one that is lost or spoilt."""
    try:
        read = json.loads(cursor or "{}")
        return {str(name): int(place) for name, place in read.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def materialized_since(
    instance: dg.DagsterInstance,
    asset_keys: Iterable[dg.AssetKey],
    cursor: str | None,
    *,
    limit: int = _EVENTS_PER_TICK,
) -> tuple[list[Materialized], str]:
    """Return the events after a cursor, oldest first, and the new cursor.

    Of several events of one partition only the latest is returned; each asset gives
    at most ``limit`` events a tick.
    """
    positions = _positions(cursor)
    found: dict[tuple[str, str], Materialized] = {}
    for key in asset_keys:
        name = key.to_user_string()
        result = instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=key, after_storage_id=positions.get(name, 0)
            ),
            limit=limit,
            ascending=True,
        )
        for record in result.records:
            positions[name] = record.storage_id
            if record.partition_key is not None:
                found[name, record.partition_key] = Materialized(
                    asset_key=key,
                    partition=record.partition_key,
                    storage_id=record.storage_id,
                    event=record.asset_materialization,
                )
    events = sorted(found.values(), key=lambda event: event.storage_id)
    return events, json.dumps(positions, sort_keys=True)
