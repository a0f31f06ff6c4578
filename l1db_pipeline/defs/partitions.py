"""The visits: one dynamic partition each, keyed by night and sequence number."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import groupby

import dagster as dg

__all__ = [
    "VISITS_NAME",
    "by_night",
    "key_night",
    "key_visit_id",
    "keys_before",
    "visit_key",
    "visits",
]

VISITS_NAME = "visits"
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
