"""Nightly statistics of visit sequences."""

from collections.abc import Hashable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import pandas as pd
from sqlalchemy import Connection, text

from archive_assets.metadata.errors import InvalidValueError, UnknownFieldError
from archive_assets.metadata.frames import frame
from archive_assets.metadata.sequences import check_sequences
from archive_assets.metadata.statistics_rows import (
    STATISTICS,
    DuplicateStatisticsError,
    copy_rows,
)

__all__ = [
    "STATISTICS",
    "DuplicateStatisticsError",
    "insert_statistics",
    "nightly_range",
    "read_statistics",
]

_COLUMNS = ("day_obs", "value_name", "accumulated", "count", *STATISTICS)
_REQUIRED = ("day_obs", "value_name", "accumulated")


def insert_statistics(
    connection: Connection, uuid: UUID, statistics: pd.DataFrame
) -> int:
    """Store statistics of a sequence, all rows or none, and return their number.

    Parameters
    ----------
    connection
        Open transaction.
    uuid
        The sequence.
    statistics
        Columns ``day_obs, value_name, accumulated, count`` and `STATISTICS`, in any
        order; a column that is missing is stored as null.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    UnknownFieldError
        If there is a column of another name.
    InvalidValueError
        If a night, name or number cannot be stored.
    DuplicateStatisticsError
        If a row is stored already.
    """
    check_sequences(connection, uuid)
    return copy_rows(connection, uuid, _records(statistics))


def _records(statistics: pd.DataFrame) -> list[dict[Hashable, Any]]:
    names = [str(name) for name in statistics.columns if name != "visitseq_uuid"]
    for name in names:
        if name not in _COLUMNS:
            raise UnknownFieldError(name, _COLUMNS)
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise InvalidValueError(f"the statistics lack {', '.join(missing)}")
    plain = statistics.astype("object").where(statistics.notna(), None)
    return plain.to_dict(orient="records")


def read_statistics(connection: Connection, uuid: UUID) -> pd.DataFrame:
    """Return all statistics of a sequence, in the order of their key.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    """
    check_sequences(connection, uuid)
    return frame(
        connection.execute(
            text(
                "SELECT * FROM nightly_stats WHERE visitseq_uuid = :uuid "
                "ORDER BY day_obs, value_name, accumulated"
            ),
            {"uuid": uuid},
        )
    )


def nightly_range(
    connection: Connection,
    first: date,
    last: date,
    *,
    tags: Sequence[str],
    telescope: str | None,
    values: Sequence[str],
    accumulated: bool,
) -> pd.DataFrame:
    """Return statistics of all matching simulations over a range of nights.

    One query; columns of ``nightly_stats`` after ``visitseq_label``, ordered by
    night, value, and the age of the simulation (newest first).
    """
    return frame(
        connection.execute(
            text(_NIGHTLY),
            {
                "first": first,
                "last": last,
                "tags": list(tags),
                "n_tags": len(tags),
                "telescope": telescope,
                "values": list(values),
                "n_values": len(values),
                "accumulated": accumulated,
            },
        )
    )


_NIGHTLY = """
    SELECT s.visitseq_label, stats.*
    FROM nightly_stats AS stats
    JOIN visitseq AS s USING (visitseq_uuid)
    JOIN visitseq_registry AS registry USING (visitseq_uuid)
    WHERE stats.day_obs BETWEEN :first AND :last
      AND stats.accumulated = :accumulated
      AND (CAST(:telescope AS TEXT) IS NULL OR s.telescope = :telescope)
      AND (:n_values = 0 OR stats.value_name = ANY(CAST(:values AS TEXT[])))
      AND registry.state <> 'trashed'
      AND (:n_tags = 0 OR :n_tags = (
          SELECT count(*) FROM tags
          WHERE tags.visitseq_uuid = s.visitseq_uuid
            AND tags.tag = ANY(CAST(:tags AS TEXT[]))))
    ORDER BY stats.day_obs, stats.value_name, s.creation_time DESC, s.visitseq_uuid
"""
