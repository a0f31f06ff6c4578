"""What commands ask of the archive, as rows of the database: no data frames.

`search` has the same as data frames; importing those takes a command three times as
long as its question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from psycopg import sql
from sqlalchemy import Connection, CursorResult, text

from archive_assets.metadata.database import compose
from archive_assets.metadata.errors import UnknownSequenceError, UnknownTableError
from archive_assets.metadata.sequences import KINDS, READABLE, check_sequences

__all__ = [
    "SearchCriteria",
    "describe_sequence",
    "select_comments",
    "select_row",
    "select_sequences",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCriteria:
    """What to look for; None and empty leave a thing open.

    Attributes
    ----------
    day_obs
        A night within the window of the sequence.
    telescope
        Exact name.
    tags
        All must be present.
    kind
        One of the four tables.
    label
        Text within the label, upper and lower case alike.
    created_from, created_to
        First and last creation day_obs (UTC-12).
    scheduler_version
        Exact version.
    parent
        A sequence that the wanted one started from.
    state
        ``open``, ``complete`` or ``trashed``; None means all but the trash.
    with_visits
        Only sequences whose visits are archived.
    limit
        Maximum number of rows to return; None for all.
    """

    day_obs: date | None = None
    telescope: str | None = None
    tags: Sequence[str] = ()
    kind: str | None = None
    label: str | None = None
    created_from: date | None = None
    created_to: date | None = None
    scheduler_version: str | None = None
    parent: UUID | None = None
    state: str | None = None
    with_visits: bool = False
    limit: int | None = None


_SELECT = """
    SELECT registry.kind, registry.state, seq.visitseq_uuid, seq.visitseq_label,
           seq.telescope, seq.first_day_obs, seq.last_day_obs, seq.creation_time,
           registry.sim_creation_day_obs, registry.daily_id,
           sim.scheduler_version, seq.visitseq_url,
           array(SELECT tag FROM tags WHERE tags.visitseq_uuid = seq.visitseq_uuid
                 ORDER BY tag) AS tags
    FROM visitseq AS seq
    JOIN visitseq_registry AS registry USING (visitseq_uuid)
    LEFT JOIN simulations AS sim USING (visitseq_uuid)
    WHERE TRUE
"""
_NIGHT = """
      AND CASE WHEN seq.first_day_obs <= seq.last_day_obs
          THEN daterange(seq.first_day_obs, seq.last_day_obs, '[]') END
          @> CAST(:day_obs AS DATE)
"""
_CREATED = "CAST({} AS TIMESTAMP) AT TIME ZONE 'UTC' + INTERVAL '12 hours'"
_TAGGED = """
      AND NOT EXISTS (
          SELECT FROM unnest(CAST(:tags AS TEXT[])) AS wanted (tag)
          WHERE NOT EXISTS (
              SELECT FROM tags
              WHERE tags.visitseq_uuid = seq.visitseq_uuid AND tags.tag = wanted.tag))
"""
_PARENT = """
      AND (sim.parent_visitseq_uuid = :parent OR EXISTS (
          SELECT FROM mixedvisitseq AS mixed
          WHERE mixed.visitseq_uuid = seq.visitseq_uuid
            AND :parent IN (mixed.early_parent_uuid, mixed.late_parent_uuid)))
"""
_CONDITIONS = {
    "day_obs": _NIGHT,
    "telescope": " AND seq.telescope = :telescope",
    "kind": " AND registry.kind = :kind",
    "label": " AND strpos(lower(seq.visitseq_label), lower(:label)) > 0",
    "created_from": f" AND seq.creation_time >= {_CREATED.format(':created_from')}",
    "created_to": f" AND seq.creation_time < {_CREATED.format(':created_to')}"
    " + INTERVAL '1 day'",
    "scheduler_version": " AND sim.scheduler_version = :scheduler_version",
    "parent": _PARENT,
    "state": " AND registry.state = :state",
}
_ORDER = " ORDER BY seq.creation_time DESC NULLS LAST, seq.visitseq_uuid"


def select_sequences(
    connection: Connection, criteria: SearchCriteria
) -> CursorResult[Any]:  # Any: columns of every type
    """Return the sequences that match, newest first.

    Raises
    ------
    UnknownTableError
        If the kind is not one of the four tables.
    """
    if criteria.kind is not None and criteria.kind not in KINDS:
        raise UnknownTableError(criteria.kind, KINDS)
    parameters: dict[str, object] = {
        name: getattr(criteria, name)
        for name in _CONDITIONS
        if getattr(criteria, name) is not None
    }
    query = _SELECT + "".join(_CONDITIONS[name] for name in parameters)
    if criteria.state is None:
        query += " AND registry.state <> 'trashed'"
    if criteria.with_visits:
        query += " AND seq.visitseq_url IS NOT NULL"
    if criteria.tags:
        query += _TAGGED
        parameters["tags"] = list(criteria.tags)
    query += _ORDER
    if criteria.limit is not None:
        query += " LIMIT :limit"
        parameters["limit"] = criteria.limit
    return connection.execute(text(query), parameters)


def select_row(
    connection: Connection, uuid: UUID, table: str
) -> CursorResult[Any]:  # Any: columns of every type
    """Return the row, if any, of a sequence in a table or in ``simulations_extra``.

    Raises
    ------
    UnknownTableError
        If it is not a table of sequences.
    """
    if table not in READABLE:
        raise UnknownTableError(table, READABLE)
    statement = compose(
        "SELECT * FROM {} WHERE visitseq_uuid = %s", [sql.Identifier(table)]
    )
    return connection.exec_driver_sql(statement, (uuid,))


def select_comments(
    connection: Connection, uuid: UUID
) -> CursorResult[Any]:  # Any: columns of every type
    """Return the comments of a sequence, oldest first; columns as in the table.

    Raises
    ------
    UnknownSequenceError
        If it is not in the archive.
    """
    check_sequences(connection, uuid)
    query = (
        "SELECT visitseq_uuid, comment_time, author, comment FROM comments "
        "WHERE visitseq_uuid = :uuid ORDER BY comment_time, comment"
    )
    return connection.execute(text(query), {"uuid": uuid})


_DESCRIBE = """
    SELECT to_jsonb(registry) - 'state_before_trash' AS registry,
           coalesce((SELECT to_jsonb(one) FROM simulations AS one
                     WHERE one.visitseq_uuid = :uuid),
                    (SELECT to_jsonb(one) FROM completed AS one
                     WHERE one.visitseq_uuid = :uuid),
                    (SELECT to_jsonb(one) FROM mixedvisitseq AS one
                     WHERE one.visitseq_uuid = :uuid),
                    (SELECT to_jsonb(one) FROM visitseq AS one
                     WHERE one.visitseq_uuid = :uuid)) AS sequence,
           array(SELECT tag FROM tags WHERE visitseq_uuid = :uuid ORDER BY tag) AS tags,
           (SELECT coalesce(jsonb_agg(
                jsonb_build_object('time', comment_time, 'author', author,
                                   'comment', comment) ORDER BY comment_time), '[]')
            FROM comments WHERE visitseq_uuid = :uuid) AS comments,
           (SELECT coalesce(jsonb_object_agg(file_type,
                jsonb_build_object('url', file_url, 'size', file_size,
                    'sha256', encode(file_sha256, 'hex'))), '{}')
            FROM files WHERE visitseq_uuid = :uuid) AS files,
           (SELECT coalesce(jsonb_agg(DISTINCT value_name), '[]')
            FROM nightly_stats WHERE visitseq_uuid = :uuid) AS statistics
    FROM visitseq_registry AS registry WHERE registry.visitseq_uuid = :uuid
"""


def describe_sequence(connection: Connection, uuid: UUID) -> dict[str, object]:
    """Return everything about one sequence as values that JSON can hold.

    Hashes are hexadecimal, times are ISO in UTC; ``tags``, ``comments``, ``files``
    and the names of its ``statistics`` follow the columns.

    Raises
    ------
    UnknownSequenceError
        If it is not in the archive.
    """
    row = connection.execute(text(_DESCRIBE), {"uuid": uuid}).mappings().first()
    if row is None:
        raise UnknownSequenceError(uuid)
    columns = {**row["sequence"], **row["registry"]}
    return {
        key: _readable(value)
        for key, value in {
            **{name: columns[name] for name in _FIRST if name in columns},
            **columns,
            "tags": row["tags"],
            "comments": row["comments"],
            "files": row["files"],
            "statistics": row["statistics"],
        }.items()
    }


_FIRST = (
    "visitseq_uuid", "kind", "state", "visitseq_label", "telescope", "first_day_obs",
    "last_day_obs", "creation_time", "sim_creation_day_obs", "daily_id", "visitseq_url",
)  # fmt: skip
"""What people look for first; JSON of the database has no order of its own."""


def _readable(value: object) -> object:
    if isinstance(value, str) and value.startswith("\\x"):
        return value[2:]  # bytea as PostgreSQL writes it in JSON
    return value
