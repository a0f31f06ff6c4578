"""The visits: one dynamic partition each, keyed by night and sequence number."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import groupby

import dagster as dg

from pipeline_runtime.dagster.visit_names import NIGHT_TAG, VISITS_NAME

__all__ = [
    "arrange",
    "by_night",
    "key_night",
    "key_visit_id",
    "keys_before",
    "keys_of_run",
    "register",
    "visit_key",
    "visits",
]

visits = dg.DynamicPartitionsDefinition(name=VISITS_NAME)
"""Visits of recent nights; the ledger of the L1 database keeps them for ever."""


def visit_key(visit_id: int) -> str:
    """Return the partition key, ``YYYYMMDD-NNNNN``, of ``day_obs * 100000 + n``."""
    night, sequence_number = divmod(visit_id, 100_000)
    return f"{night:08d}-{sequence_number:05d}"


def key_visit_id(key: str) -> int:
    """Return the visit id of a partition key.

    Raises
    ------
    ValueError
        If the key is not ``YYYYMMDD-NNNNN``.
    """
    night, separator, sequence_number = key.partition("-")
    if not (separator and night.isdecimal() and sequence_number.isdecimal()):
        raise ValueError(f"visit partition {key!r} is not YYYYMMDD-NNNNN")
    return int(night) * 100_000 + int(sequence_number)


def key_night(key: str) -> date:
    """Return the ``day_obs`` of a partition key; errors as `key_visit_id`."""
    night = key_visit_id(key) // 100_000
    return date.fromisoformat(f"{night:08d}")


def by_night(keys: Iterable[str]) -> dict[date, list[int]]:
    """Return visit ids by night, both in time order."""
    ordered = sorted(keys)
    return {
        night: [key_visit_id(key) for key in group]
        for night, group in groupby(ordered, key=key_night)
    }


def keys_before(keys: Sequence[str], night: date, keep_nights: int) -> list[str]:
    """Return the keys of nights more than ``keep_nights`` before a night."""
    first_kept = visit_key(
        int((night - timedelta(days=keep_nights)).strftime("%Y%m%d")) * 100_000
    )
    return [key for key in keys if key < first_kept]


def register(instance: dg.DagsterInstance, night: date, keys: Sequence[str]) -> None:
    """Make the partitions of a night exactly these, one after another.

    Parameters
    ----------
    keys
        In the order of keys. Those of a sequence that was registered for the night
        before, and that this one lacks, leave the partitions.
    """
    prefix = f"{night:%Y%m%d}-"
    present = instance.get_dynamic_partitions(VISITS_NAME)
    for key in {key for key in present if key.startswith(prefix)}.difference(keys):
        instance.delete_dynamic_partition(VISITS_NAME, key)
    arrange(instance, keys)


def arrange(instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    """Place partitions one after another, adding those that are missing.

    Dagster takes a range in the order in which partitions were added, which is no
    order of time once a night is registered with more visits, or pruned and back.
    What was materialized stays known: Dagster keeps it by key.
    """
    present = list(instance.get_dynamic_partitions(VISITS_NAME))
    begin = present.index(keys[0]) if keys and keys[0] in present else len(present)
    if present[begin : begin + len(keys)] == list(keys):
        return
    for key in set(present).intersection(keys):
        instance.delete_dynamic_partition(VISITS_NAME, key)
    instance.add_dynamic_partitions(VISITS_NAME, list(keys))


def keys_of_run(context: dg.AssetExecutionContext) -> Sequence[str]:
    """Return the partitions of a run, of a night's run in the order of keys.

    The run may have waited in the queue while partitions came and went: its range is
    that of the keys then, not of their places.
    """
    if NIGHT_TAG not in context.run.tags:
        keys: Sequence[str] = context.partition_keys
        return keys
    asked = context.partition_key_range
    present = context.instance.get_dynamic_partitions(VISITS_NAME)
    return sorted(key for key in present if asked.start <= key <= asked.end)
