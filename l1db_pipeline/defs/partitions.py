"""The visits: one dynamic partition each, keyed by night and sequence number."""

from datetime import date

import dagster as dg

__all__ = ["key_night", "key_visit_id", "visit_key", "visits"]

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
    """Return the ``day_obs`` of a partition key."""
    return date.fromisoformat(key[:8])
