"""Nightly statistics of visit sequences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

import pandas as pd
import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from typing_extensions import override

from archive_assets.errors import ArchiveError
from archive_assets.metadata.errors import InvalidValueError, UnknownFieldError
from archive_assets.metadata.frames import frame
from archive_assets.metadata.raw import raw_connection
from archive_assets.metadata.sequences import check_sequences
from archive_assets.metadata.values import checked_text, optional_day
from archive_assets.visits.night_statistics import NightStatistics

__all__ = [
    "STATISTICS",
    "DuplicateStatisticsError",
    "insert_rows",
    "insert_statistics",
    "nightly_range",
    "read_statistics",
]

STATISTICS = ("mean", "std", "min", "p05", "q1", "median", "q3", "p95", "max")
_COLUMNS = ("day_obs", "value_name", "accumulated", "count", *STATISTICS)
_REQUIRED = ("day_obs", "value_name", "accumulated")
_MAX_COUNT = 2**31 - 1


class DuplicateStatisticsError(ArchiveError, IntegrityError, ValueError):
    """A statistic of the same value, night and kind is stored already."""

    def __init__(self, sequence: UUID, detail: str, cause: Exception) -> None:
        IntegrityError.__init__(self, None, None, cause)
        self.sequence = sequence
        self.explanation = detail

    @override
    def __str__(self) -> str:
        return (
            f"statistics of {self.sequence} are stored already: {self.explanation} "
            "Nothing was changed."
        )


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
    return _copy(connection, uuid, _rows(statistics))


def insert_rows(
    connection: Connection, uuid: UUID, statistics: Sequence[NightStatistics]
) -> int:
    """Store computed statistics of a sequence; as `insert_statistics`."""
    return _copy(connection, uuid, [_row(asdict(one)) for one in statistics])


def _copy(
    connection: Connection, uuid: UUID, rows: Sequence[tuple[object, ...]]
) -> int:
    if not rows:
        return 0
    try:
        with (
            raw_connection(connection).cursor() as cursor,
            cursor.copy(_COPY) as copy,
        ):
            for row in rows:
                copy.write_row((uuid, *row))
    except psycopg.errors.UniqueViolation as error:
        detail = error.diag.message_detail or str(error)
        raise DuplicateStatisticsError(uuid, detail, error) from error
    return len(rows)


def _rows(statistics: pd.DataFrame) -> list[tuple[object, ...]]:
    names = [str(name) for name in statistics.columns if name != "visitseq_uuid"]
    for name in names:
        if name not in _COLUMNS:
            raise UnknownFieldError(name, _COLUMNS)
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise InvalidValueError(f"the statistics lack {', '.join(missing)}")
    return [_row(record) for record in statistics.to_dict(orient="records")]


def _row(record: Mapping[Any, Any]) -> tuple[object, ...]:
    day = optional_day(record["day_obs"], "day_obs")
    if day is None:
        raise InvalidValueError("a statistic has no day_obs")
    return (
        day,
        checked_text(record["value_name"], "value_name"),
        bool(record["accumulated"]),
        _count(record.get("count")),
        *(_number(record.get(name)) for name in STATISTICS),
    )


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _count(value: Any) -> int | None:
    number = _number(value)
    if number is None:
        return None
    if not math.isfinite(number) or not 0 <= number <= _MAX_COUNT or number % 1:
        raise InvalidValueError(f"{value!r} is not a count")
    return int(number)


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


_COPY = (
    "COPY nightly_stats (visitseq_uuid, day_obs, value_name, accumulated, count, "
    "mean, std, min, p05, q1, median, q3, p95, max) FROM STDIN"
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
