"""What the database says that the store holds, and rows that do not hold together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Connection, text

from visit_tables.content_hash import HASH_ALGORITHM

__all__ = [
    "Inconsistency",
    "RegisteredObject",
    "adopt_object_hash",
    "delete_orphan_rows",
    "inconsistencies",
    "is_referenced",
    "registered_objects",
    "registered_urls",
    "sequences_to_verify",
]

_ANNOTATIONS = (
    "tags",
    "comments",
    "files",
    "nightly_stats",
    "maf_summary_metrics",
    "maf_healpix_stats",
)


@dataclass(frozen=True, slots=True)
class RegisteredObject:
    """An object that the database knows.

    Attributes
    ----------
    uuid, file_type
        Whose it is, and as what; ``visits`` for the visits themselves.
    url
        Where it is.
    sha256, size
        Of its bytes; None if nobody recorded them.
    content_sha256
        Canonical hash of the visits; None for other files, and for hashes of the
        original, which cannot be computed again.
    """

    uuid: UUID
    file_type: str
    url: str
    sha256: bytes | None
    size: int | None
    content_sha256: bytes | None


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """Rows that do not hold together: what kind, of what, and how."""

    kind: str
    subject: str
    detail: str


def registered_objects(
    connection: Connection,
    algorithm: str,
    uuids: Sequence[UUID] = (),
    *,
    with_trash: bool = False,
) -> Iterator[RegisteredObject]:
    """Return every object of every sequence.

    Parameters
    ----------
    connection
        Open transaction.
    algorithm
        Algorithm of the content hashes to return.
    uuids
        Only of these sequences; of all if empty.
    with_trash
        Also of sequences in the trash.
    """
    rows = connection.execute(
        text(_OBJECTS),
        {
            "algorithm": algorithm,
            "uuids": list(uuids),
            "n_uuids": len(uuids),
            "with_trash": with_trash,
        },
    )
    for uuid, file_type, url, sha256, size, content in rows.all():
        yield RegisteredObject(uuid, file_type, url, sha256, size, content)


def sequences_to_verify(
    connection: Connection, day_obs: date | None, since: date | None
) -> list[UUID]:
    """Return the sequences of a night, or recorded or changed since a day (UTC).

    The day is that of the database's own clock, whatever creation time was given.
    """
    rows = connection.execute(
        text(
            "SELECT visitseq_uuid FROM visitseq JOIN visitseq_registry "
            "USING (visitseq_uuid) WHERE state <> 'trashed' "
            "AND (CAST(:day AS DATE) IS NULL "
            "     OR :day BETWEEN first_day_obs AND last_day_obs) "
            "AND (CAST(:since AS DATE) IS NULL OR state_time >= :since) "
            "ORDER BY visitseq_uuid"
        ),
        {"day": day_obs, "since": since},
    )
    return [row[0] for row in rows]


def registered_urls(connection: Connection) -> set[str]:
    """Return every URL that a sequence has, in the trash or not."""
    rows = connection.execute(
        text(
            "SELECT visitseq_url FROM visitseq WHERE visitseq_url IS NOT NULL "
            "UNION SELECT file_url FROM files WHERE file_url IS NOT NULL"
        )
    )
    return {row[0] for row in rows}


def is_referenced(connection: Connection, url: str) -> bool:
    """Tell whether a sequence has a URL, in the trash or not."""
    found = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM visitseq WHERE visitseq_url = :url) "
            "OR EXISTS (SELECT FROM files WHERE file_url = :url)"
        ),
        {"url": url},
    )
    return bool(found.scalar_one())


def adopt_object_hash(
    connection: Connection, thing: RegisteredObject, sha256: bytes, size: int
) -> None:
    """Record hash and size of an object that had none."""
    table = (
        "UPDATE visitseq_registry SET visits_sha256 = :sha256, visits_size = :size "
        "WHERE visitseq_uuid = :uuid AND visits_sha256 IS NULL"
        if thing.file_type == "visits"
        else "UPDATE files SET file_size = :size WHERE visitseq_uuid = :uuid "
        "AND file_type = :type AND file_sha256 = :sha256"
    )
    connection.execute(
        text(table),
        {
            "sha256": sha256,
            "size": size,
            "uuid": thing.uuid,
            "type": thing.file_type,
        },
    )


def inconsistencies(connection: Connection) -> list[Inconsistency]:
    """Return rows that break what the schema asks of new ones."""
    found = [
        Inconsistency(*map(str, row))
        for row in connection.execute(
            text(_BROKEN), {"algorithm": HASH_ALGORITHM}
        ).all()
    ]
    for table in _ANNOTATIONS:
        rows = connection.execute(
            text(
                "SELECT visitseq_uuid, count(*) FROM "  # noqa: S608 - our own names
                f"{table} LEFT JOIN visitseq_registry AS registry "
                "USING (visitseq_uuid) WHERE registry.kind IS NULL GROUP BY 1"
            )
        )
        found += [
            Inconsistency("orphan rows", f"{table} {uuid}", f"{count} of no sequence")
            for uuid, count in rows.all()
        ]
    return found


def delete_orphan_rows(connection: Connection) -> int:
    """Delete the rows that belong to no sequence; return their number."""
    deleted = 0
    for table in _ANNOTATIONS:
        deleted += connection.execute(
            text(
                f"DELETE FROM {table} AS lone "  # noqa: S608 - our own names
                "WHERE NOT EXISTS (SELECT FROM visitseq_registry AS registry "
                "WHERE registry.visitseq_uuid = lone.visitseq_uuid)"
            )
        ).rowcount
    return deleted


_OBJECTS = """
    SELECT visitseq_uuid, 'visits' AS file_type, visitseq_url, visits_sha256,
           visits_size,
           CASE WHEN hash_algorithm = :algorithm THEN visitseq_sha256 END
    FROM visitseq JOIN visitseq_registry USING (visitseq_uuid)
    WHERE visitseq_url IS NOT NULL AND (:with_trash OR state <> 'trashed')
      AND (:n_uuids = 0 OR visitseq_uuid = ANY(CAST(:uuids AS UUID[])))
    UNION ALL
    SELECT visitseq_uuid, file_type, file_url, file_sha256, file_size, NULL
    FROM files JOIN visitseq_registry USING (visitseq_uuid)
    WHERE file_url IS NOT NULL AND (:with_trash OR state <> 'trashed')
      AND (:n_uuids = 0 OR visitseq_uuid = ANY(CAST(:uuids AS UUID[])))
    ORDER BY 1, 2
"""
_BROKEN = """
    SELECT 'dangling parent', child.visitseq_uuid,
           'its parent ' || child.parent || ' is not in the archive'
    FROM (
        SELECT visitseq_uuid, parent_visitseq_uuid AS parent FROM simulations
        UNION ALL SELECT visitseq_uuid, early_parent_uuid FROM mixedvisitseq
        UNION ALL SELECT visitseq_uuid, late_parent_uuid FROM mixedvisitseq
    ) AS child
    LEFT JOIN visitseq_registry AS registry ON registry.visitseq_uuid = child.parent
    WHERE child.parent IS NOT NULL AND registry.visitseq_uuid IS NULL
    UNION ALL
    SELECT 'nights out of order', visitseq_uuid,
           'first_day_obs ' || first_day_obs || ' is after ' || last_day_obs
    FROM visitseq WHERE first_day_obs > last_day_obs
    UNION ALL
    SELECT 'unsafe telescope', visitseq_uuid, quote_literal(telescope)
    FROM visitseq WHERE telescope !~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$'
    UNION ALL
    SELECT 'UUID used twice', visitseq_uuid, count(*) || ' rows of several kinds'
    FROM visitseq GROUP BY visitseq_uuid HAVING count(*) > 1
    UNION ALL
    SELECT 'not registered', visitseq.visitseq_uuid, 'no row in visitseq_registry'
    FROM visitseq LEFT JOIN visitseq_registry AS registry USING (visitseq_uuid)
    WHERE registry.kind IS NULL
    UNION ALL
    SELECT 'unknown environment', visitseq_uuid,
           'conda_env_sha256 ' || encode(conda_env_sha256, 'hex') || ' is not stored'
    FROM simulations LEFT JOIN conda_env ON conda_env_hash = conda_env_sha256
    WHERE conda_env_sha256 IS NOT NULL AND conda_env_hash IS NULL
    UNION ALL
    SELECT 'wrong kind', visitseq_uuid,
           'registered as ' || kind || ', its row is in ' || relname
    FROM visitseq JOIN visitseq_registry USING (visitseq_uuid)
    JOIN pg_class ON pg_class.oid = visitseq.tableoid WHERE kind <> relname
    UNION ALL
    SELECT 'creation day', visitseq_uuid,
           'registered as simulation '
           || coalesce(CAST(daily_id AS TEXT), 'without number')
           || ' of ' || coalesce(CAST(sim_creation_day_obs AS TEXT), 'no day')
           || ', created at '
           || coalesce(CAST(creation_time AS TEXT), 'an unknown time')
    FROM simulations JOIN visitseq_registry USING (visitseq_uuid)
    WHERE daily_id IS NULL OR sim_creation_day_obs IS NULL
       OR sim_creation_day_obs
          <> CAST(creation_time AT TIME ZONE 'UTC' - INTERVAL '12 hours' AS DATE)
    UNION ALL
    SELECT 'daily counter', visitseq_uuid,
           'number ' || daily_id || ' of ' || sim_creation_day_obs
           || ' is beyond the last that was given, '
           || coalesce(CAST(last_daily_id AS TEXT), 'none')
    FROM visitseq_registry LEFT JOIN daily_counters USING (sim_creation_day_obs)
    WHERE daily_id > coalesce(last_daily_id, 0)
    UNION ALL
    SELECT 'unknown hash', visitseq_uuid,
           'its visits were hashed by ' || quote_literal(hash_algorithm)
    FROM visitseq_registry
    WHERE hash_algorithm NOT IN (:algorithm, 'rubin_sim-records')
    UNION ALL
    SELECT 'unknown hash', visitseq_uuid,
           file_type || ' was hashed by ' || quote_literal(hash_algorithm)
    FROM files WHERE hash_algorithm <> 'sha256'
    ORDER BY 1, 2
"""
