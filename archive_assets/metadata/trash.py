"""Trash: hide a sequence, bring it back, or remove it for good."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from archive_assets.metadata.errors import DuplicateEntryError, InvalidValueError
from archive_assets.metadata.sequences import check_sequences, kind_of

__all__ = ["Trashed", "children_of", "purge", "restore", "trash", "trashed"]


@dataclass(frozen=True, slots=True)
class Trashed:
    """A sequence in the trash, and the objects that belong to it."""

    uuid: UUID
    label: str
    urls: tuple[str, ...]


_SAME_KEY = """
    SELECT living.visitseq_uuid FROM visitseq_registry AS living
    JOIN visitseq_registry AS trashed USING (idempotency_key)
    WHERE trashed.visitseq_uuid = :uuid AND trashed.state = 'trashed'
      AND living.state <> 'trashed'
"""


def trash(connection: Connection, uuid: UUID) -> None:
    """Hide a sequence from every search; nothing is removed yet.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    InvalidValueError
        If it is in the trash already.
    """
    check_sequences(connection, uuid)
    changed = connection.execute(
        text(
            "UPDATE visitseq_registry SET state_before_trash = state, "
            "state = 'trashed', state_time = now() "
            "WHERE visitseq_uuid = :uuid AND state <> 'trashed'"
        ),
        {"uuid": uuid},
    )
    if changed.rowcount == 0:
        raise InvalidValueError(f"{uuid} is in the trash already")


def restore(connection: Connection, uuid: UUID) -> None:
    """Take a sequence out of the trash, to the state that it had.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    InvalidValueError
        If it is not in the trash.
    DuplicateEntryError
        If the same content was archived again in the meantime.
    """
    check_sequences(connection, uuid)
    again = connection.execute(text(_SAME_KEY), {"uuid": uuid}).scalar()
    if again is not None:
        raise DuplicateEntryError(
            f"the same content was archived again as {again}: trash that one first"
        )
    changed = connection.execute(
        text(
            "UPDATE visitseq_registry SET state = coalesce(state_before_trash, 'open'),"
            " state_before_trash = NULL, state_time = now() "
            "WHERE visitseq_uuid = :uuid AND state = 'trashed'"
        ),
        {"uuid": uuid},
    )
    if changed.rowcount == 0:
        raise InvalidValueError(f"{uuid} is not in the trash")


def trashed(connection: Connection, older_than: timedelta) -> list[Trashed]:
    """Return what has been in the trash for longer than a time, oldest first."""
    rows = connection.execute(
        text(
            "SELECT visitseq_uuid, visitseq_label, visitseq_url, array("
            "  SELECT file_url FROM files WHERE file_url IS NOT NULL "
            "  AND files.visitseq_uuid = visitseq.visitseq_uuid ORDER BY file_type) "
            "FROM visitseq JOIN visitseq_registry USING (visitseq_uuid) "
            "WHERE state = 'trashed' AND state_time <= now() - :age "
            "ORDER BY state_time, visitseq_uuid"
        ),
        {"age": older_than},
    )
    return [
        Trashed(uuid, label, tuple(([url] if url else []) + list(urls)))
        for uuid, label, url, urls in rows
    ]


def children_of(connection: Connection, uuid: UUID) -> list[UUID]:
    """Return the living sequences that name this one as a parent."""
    rows = connection.execute(
        text(
            "SELECT visitseq_uuid FROM ("
            "  SELECT visitseq_uuid FROM simulations"
            "  WHERE parent_visitseq_uuid = :uuid"
            "  UNION SELECT visitseq_uuid FROM mixedvisitseq"
            "  WHERE :uuid IN (early_parent_uuid, late_parent_uuid)) AS children "
            "JOIN visitseq_registry USING (visitseq_uuid) WHERE state <> 'trashed' "
            "ORDER BY visitseq_uuid"
        ),
        {"uuid": uuid},
    )
    return [row[0] for row in rows]


def purge(connection: Connection, uuid: UUID) -> None:
    """Remove the rows of a sequence that is in the trash; its number stays taken.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    InvalidValueError
        If it is not in the trash, or a living sequence has it as a parent.
    """
    kind_of(connection, uuid)
    state = connection.execute(
        text(
            "SELECT state FROM visitseq_registry WHERE visitseq_uuid = :uuid FOR UPDATE"
        ),
        {"uuid": uuid},
    ).scalar()
    if state != "trashed":
        raise InvalidValueError(f"{uuid} is not in the trash; delete it first")
    if children := children_of(connection, uuid):
        raise InvalidValueError(f"{uuid} is the parent of {children[0]}: it stays")
    # the triggers remove the registry's row, and with it tags, files and the rest
    connection.execute(
        text("DELETE FROM visitseq WHERE visitseq_uuid = :uuid"), {"uuid": uuid}
    )
