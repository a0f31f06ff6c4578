"""Tags and comments of visit sequences."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from archive_assets.metadata.errors import NotTaggedError
from archive_assets.metadata.sequences import check_sequences

__all__ = ["add_comment", "add_tags", "is_tagged", "remove_tag"]


def add_tags(connection: Connection, uuid: UUID, tags: Sequence[str]) -> int:
    """Tag a sequence and return how many tags are new; the others are left alone.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    """
    check_sequences(connection, uuid)
    if not tags:
        return 0
    added = connection.execute(
        text(
            "INSERT INTO tags (visitseq_uuid, tag) "
            "SELECT :uuid, unnest(CAST(:tags AS TEXT[])) ON CONFLICT DO NOTHING"
        ),
        {"uuid": uuid, "tags": list(tags)},
    )
    return added.rowcount


def remove_tag(connection: Connection, uuid: UUID, tag: str) -> None:
    """Take a tag away.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    NotTaggedError
        If it does not have the tag.
    """
    check_sequences(connection, uuid)
    removed = connection.execute(
        text("DELETE FROM tags WHERE visitseq_uuid = :uuid AND tag = :tag"),
        {"uuid": uuid, "tag": tag},
    )
    if removed.rowcount == 0:
        raise NotTaggedError(uuid, tag)


def is_tagged(connection: Connection, uuid: UUID, tag: str) -> bool:
    """Tell whether a sequence has a tag.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    """
    check_sequences(connection, uuid)
    found = connection.execute(
        text("SELECT 1 FROM tags WHERE visitseq_uuid = :uuid AND tag = :tag LIMIT 1"),
        {"uuid": uuid, "tag": tag},
    ).first()
    return found is not None


def add_comment(
    connection: Connection, uuid: UUID, comment: str, author: str | None
) -> None:
    """Attach a comment at the time of the database's clock.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    """
    check_sequences(connection, uuid)
    connection.execute(
        text(
            "INSERT INTO comments (visitseq_uuid, comment_time, author, comment) "
            "VALUES (:uuid, clock_timestamp(), :author, :comment)"
        ),
        {"uuid": uuid, "author": author, "comment": comment},
    )
