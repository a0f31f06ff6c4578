"""Visit sequences: insert one of any kind, read it, change a field of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import JSONB

from archive_assets.metadata.errors import (
    InvalidValueError,
    UnknownFieldError,
    UnknownSequenceError,
    UnknownTableError,
)

__all__ = [
    "KINDS",
    "OPAQUE_HASH",
    "READABLE",
    "NewSequence",
    "check_sequences",
    "complete_sequence",
    "content_hash",
    "content_of",
    "get_url",
    "insert_sequence",
    "kind_of",
    "own_columns",
    "sequence_with_key",
    "set_content_hash",
    "set_url",
    "set_visits_object",
    "update_field",
    "visits_object_sha256",
]

OPAQUE_HASH = "rubin_sim-records"
"""Algorithm of the original's visitseq_sha256, which nobody can compute again."""

_COMMON: dict[str, sa.types.TypeEngine[Any]] = {
    "visitseq_uuid": sa.Uuid(),
    "visitseq_sha256": sa.LargeBinary(),
    "visitseq_label": sa.Text(),
    "visitseq_url": sa.Text(),
    "telescope": sa.Text(),
    "first_day_obs": sa.Date(),
    "last_day_obs": sa.Date(),
    "creation_time": sa.DateTime(timezone=True),
}
_OWN: dict[str, dict[str, sa.types.TypeEngine[Any]]] = {
    "visitseq": {},
    "simulations": {
        "scheduler_version": sa.Text(),
        "config_url": sa.Text(),
        "conda_env_sha256": sa.LargeBinary(),
        "parent_visitseq_uuid": sa.Uuid(),
        "sim_runner_kwargs": JSONB(none_as_null=True),
        "parent_last_day_obs": sa.Date(),
    },
    "completed": {"query": sa.Text()},
    "mixedvisitseq": {
        "last_early_day_obs": sa.Date(),
        "first_late_day_obs": sa.Date(),
        "early_parent_uuid": sa.Uuid(),
        "late_parent_uuid": sa.Uuid(),
    },
}
KINDS = tuple(_OWN)
"""Tables that hold sequences; the first shows the rows of all."""
READABLE = (*KINDS, "simulations_extra")
_PARENTS = ("parent_visitseq_uuid", "early_parent_uuid", "late_parent_uuid")
_TABLES = {
    kind: sa.table(
        kind, *(sa.column(name, type_) for name, type_ in (_COMMON | own).items())
    )
    for kind, own in _OWN.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSequence:
    """A sequence to insert; the values are checked already.

    Attributes
    ----------
    kind
        One of `KINDS`.
    label, telescope, url
        As in the table ``visitseq``.
    visits_sha256, hash_algorithm
        Content hash of the visits, and how it was made.
    first_day_obs, last_day_obs
        Window of nights, which may be wider than the visits.
    creation_time
        None lets the database take its own clock.
    details
        Columns of the kind's own table; None values are left out.
    idempotency_key
        Refuses a second living sequence with the same key.
    """

    kind: str
    label: str
    telescope: str
    visits_sha256: bytes
    hash_algorithm: str
    url: str | None = None
    first_day_obs: date | None = None
    last_day_obs: date | None = None
    creation_time: datetime | None = None
    uuid: UUID | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    idempotency_key: str | None = None


def own_columns(kind: str) -> tuple[str, ...]:
    """Return the columns that a kind of sequence has beyond the common ones.

    Raises
    ------
    UnknownTableError
        If the kind is not one of `KINDS`.
    """
    if kind not in _OWN:
        raise UnknownTableError(kind, KINDS)
    return tuple(_OWN[kind])


def insert_sequence(connection: Connection, new: NewSequence) -> UUID:
    """Insert a sequence with one statement and return its UUID.

    Raises
    ------
    UnknownTableError
        If the kind is not one of `KINDS`.
    UnknownSequenceError
        If a parent is not in the archive.
    DuplicateEntryError
        If the UUID or the idempotency key is in use.
    """
    if new.kind not in _TABLES:
        raise UnknownTableError(new.kind, KINDS)
    values: dict[str, object] = {
        "visitseq_uuid": new.uuid,
        "visitseq_sha256": new.visits_sha256,
        "visitseq_label": new.label,
        "visitseq_url": new.url,
        "telescope": new.telescope,
        "first_day_obs": new.first_day_obs,
        "last_day_obs": new.last_day_obs,
        "creation_time": new.creation_time,
        **new.details,
    }
    given = {name: value for name, value in values.items() if value is not None}
    parents = [given[name] for name in _PARENTS if name in given]
    check_sequences(connection, *parents)
    table = _TABLES[new.kind]
    insert = sa.insert(table).values(given).returning(table.c.visitseq_uuid)
    uuid: UUID = connection.execute(insert).scalar_one()
    connection.execute(
        text(
            "UPDATE visitseq_registry SET hash_algorithm = :algorithm, "
            "idempotency_key = :key WHERE visitseq_uuid = :uuid"
        ),
        {"algorithm": new.hash_algorithm, "key": new.idempotency_key, "uuid": uuid},
    )
    return uuid


def kind_of(connection: Connection, uuid: UUID) -> str:
    """Return the table that holds a sequence.

    Raises
    ------
    UnknownSequenceError
        If none does.
    """
    kind = connection.execute(
        text(
            "SELECT relname FROM visitseq JOIN pg_class ON pg_class.oid = "
            "visitseq.tableoid WHERE visitseq_uuid = :uuid LIMIT 1"
        ),
        {"uuid": uuid},
    ).scalar()
    if kind is None:
        raise UnknownSequenceError(uuid)
    return str(kind)


def check_sequences(connection: Connection, *uuids: object) -> None:
    """Refuse the first UUID that is not in the archive.

    Raises
    ------
    UnknownSequenceError
        If there is one.
    """
    for uuid in uuids:
        if not isinstance(uuid, UUID):
            raise InvalidValueError(f"{uuid!r} is not a UUID")
        kind_of(connection, uuid)


def lock_sequence(connection: Connection, uuid: UUID) -> tuple[str, datetime]:
    """Make other writers of a sequence's files wait until the transaction ends.

    Returns
    -------
    telescope, creation_time
        Of the sequence.

    Raises
    ------
    UnknownSequenceError
        If it is not in the archive.
    """
    row = connection.execute(
        text(
            "SELECT telescope, COALESCE(creation_time, now()) FROM visitseq "
            "JOIN visitseq_registry USING (visitseq_uuid) "
            "WHERE visitseq_uuid = :uuid FOR UPDATE OF visitseq_registry"
        ),
        {"uuid": uuid},
    ).first()
    if row is None:
        raise UnknownSequenceError(uuid)
    return row[0], row[1]


def get_url(connection: Connection, uuid: UUID) -> str | None:
    """Return the URL of the visits; None if they are not archived.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    """
    row = connection.execute(
        text("SELECT visitseq_url FROM visitseq WHERE visitseq_uuid = :uuid"),
        {"uuid": uuid},
    ).first()
    if row is None:
        raise UnknownSequenceError(uuid)
    return None if row[0] is None else str(row[0])


def set_url(connection: Connection, uuid: UUID, url: str | None) -> None:
    """Set the URL of the visits; what was known of the old object is forgotten."""
    table = _TABLES[kind_of(connection, uuid)]
    connection.execute(
        sa.update(table).where(table.c.visitseq_uuid == uuid).values(visitseq_url=url)
    )


def set_visits_object(
    connection: Connection, uuid: UUID, url: str, sha256: bytes, size: int
) -> None:
    """Set the URL of the visits with the SHA-256 and size of the object there."""
    set_url(connection, uuid, url)
    connection.execute(
        text(
            "UPDATE visitseq_registry SET visits_sha256 = :sha256, "
            "visits_size = :size WHERE visitseq_uuid = :uuid"
        ),
        {"sha256": sha256, "size": size, "uuid": uuid},
    )


def content_hash(connection: Connection, uuid: UUID) -> bytes | None:
    """Return the canonical hash of the visits; None if the original made it."""
    found = connection.execute(
        text(
            "SELECT visitseq_sha256 FROM visitseq JOIN visitseq_registry "
            "USING (visitseq_uuid) "
            "WHERE visitseq_uuid = :uuid AND hash_algorithm <> :opaque"
        ),
        {"uuid": uuid, "opaque": OPAQUE_HASH},
    ).scalar()
    return None if found is None else bytes(found)


def set_content_hash(
    connection: Connection, uuid: UUID, sha256: bytes, algorithm: str
) -> None:
    """Set the hash of a sequence's visits, and how it was made."""
    table = _TABLES[kind_of(connection, uuid)]
    connection.execute(
        sa.update(table)
        .where(table.c.visitseq_uuid == uuid)
        .values(visitseq_sha256=sha256)
    )
    _set_algorithm(connection, uuid, algorithm)


def _set_algorithm(connection: Connection, uuid: UUID, algorithm: str) -> None:
    connection.execute(
        text(
            "UPDATE visitseq_registry SET hash_algorithm = :algorithm "
            "WHERE visitseq_uuid = :uuid"
        ),
        {"algorithm": algorithm, "uuid": uuid},
    )


def visits_object_sha256(connection: Connection, uuid: UUID) -> bytes | None:
    """Return the SHA-256 of the visits' object; None if it was never recorded."""
    found = connection.execute(
        text("SELECT visits_sha256 FROM visitseq_registry WHERE visitseq_uuid = :uuid"),
        {"uuid": uuid},
    ).scalar()
    return None if found is None else bytes(found)


def update_field(connection: Connection, uuid: UUID, name: str, value: object) -> None:
    """Set one column of a sequence; text is cast to the type of the column.

    Raises
    ------
    UnknownFieldError
        If the table of the sequence has no such column, or it is the UUID.
    UnknownSequenceError
        If the sequence, or a parent that is set, is not in the archive.
    """
    kind = kind_of(connection, uuid)
    table = _TABLES[kind]
    fields = [column for column in (_COMMON | _OWN[kind]) if column != "visitseq_uuid"]
    if name not in fields:
        raise UnknownFieldError(name, fields)
    if name in _PARENTS and value is not None:
        value = UUID(str(value))
        check_sequences(connection, value)
    column = table.c[name]
    bound: sa.ColumnElement[object] = sa.literal(value, column.type)
    if isinstance(value, str):
        bound = sa.cast(sa.literal(value, sa.Text()), column.type)
    connection.execute(
        sa.update(table).where(table.c.visitseq_uuid == uuid).values({name: bound})
    )
    if name == "visitseq_sha256":
        _set_algorithm(connection, uuid, OPAQUE_HASH)


def complete_sequence(connection: Connection, uuid: UUID) -> None:
    """Mark a sequence as complete: all that belongs to it is stored."""
    connection.execute(
        text(
            "UPDATE visitseq_registry SET state = 'complete', state_time = now() "
            "WHERE visitseq_uuid = :uuid AND state = 'open'"
        ),
        {"uuid": uuid},
    )


def sequence_with_key(connection: Connection, key: str) -> UUID | None:
    """Return the living sequence with an idempotency key, if there is one."""
    found: UUID | None = connection.execute(
        text(
            "SELECT visitseq_uuid FROM visitseq_registry "
            "WHERE idempotency_key = :key AND state <> 'trashed'"
        ),
        {"key": key},
    ).scalar()
    return found


def content_of(connection: Connection, uuid: UUID) -> tuple[bytes, str | None]:
    """Return the content hash of a sequence's visits, and where they are.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    """
    row = connection.execute(
        text(
            "SELECT visitseq_sha256, visitseq_url FROM visitseq "
            "WHERE visitseq_uuid = :uuid"
        ),
        {"uuid": uuid},
    ).first()
    if row is None:
        raise UnknownSequenceError(uuid)
    return bytes(row[0]), row[1]
