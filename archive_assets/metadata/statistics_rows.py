"""Rows of nightly statistics: checked, and copied into the database."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from typing_extensions import override

from archive_assets.errors import ArchiveError
from archive_assets.metadata.database import raw_connection
from archive_assets.metadata.errors import InvalidValueError
from archive_assets.metadata.values import checked_text, optional_day
from visit_tables.statistics import NightStatistics

__all__ = ["STATISTICS", "DuplicateStatisticsError", "copy_rows", "insert_rows"]

STATISTICS = ("mean", "std", "min", "p05", "q1", "median", "q3", "p95", "max")
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


def insert_rows(
    connection: Connection, uuid: UUID, statistics: Sequence[NightStatistics]
) -> int:
    """Store computed statistics of a sequence; as `insert_statistics`."""
    names = NightStatistics.__slots__  # asdict takes as long as the copy itself
    records = [{name: getattr(one, name) for name in names} for one in statistics]
    return copy_rows(connection, uuid, records)


def copy_rows(
    connection: Connection, uuid: UUID, records: Sequence[Mapping[Any, Any]]
) -> int:
    """Copy records, each a mapping of the table's columns; None or NaN is null.

    Raises
    ------
    InvalidValueError
        If a night, name or number cannot be stored.
    DuplicateStatisticsError
        If a row is stored already.
    """
    rows = [_row(record) for record in records]
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
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"{value!r} is not a number") from error
    return None if math.isnan(number) else number


def _count(value: Any) -> int | None:
    number = _number(value)
    if number is None:
        return None
    if not math.isfinite(number) or not 0 <= number <= _MAX_COUNT or number % 1:
        raise InvalidValueError(f"{value!r} is not a count")
    return int(number)


_COPY = (
    "COPY nightly_stats (visitseq_uuid, day_obs, value_name, accumulated, count, "
    "mean, std, min, p05, q1, median, q3, p95, max) FROM STDIN"
)
