"""Files registered for visit sequences: URL, SHA-256 and size of each type."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from archive_assets.metadata.errors import (
    DuplicateFileError,
    InvalidValueError,
    MissingFileError,
    UnknownSequenceError,
)
from archive_assets.metadata.sequences import check_sequences, set_visits_object

__all__ = ["RegisteredFile", "insert_file", "registered_file",
           "registered_objects", "set_object_url", "visits_object"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class RegisteredFile:
    """What the database knows of one file.

    Attributes
    ----------
    url
        Where it is; None if only the hash was kept.
    sha256
        SHA-256 of its bytes; empty if unknown.
    size
        Its bytes; None if the original registered it.
    """

    url: str | None
    sha256: bytes
    size: int | None


def insert_file(
    connection: Connection,
    uuid: UUID,
    file_type: str,
    file: RegisteredFile,
    *,
    update: bool = False,
) -> None:
    """Register a file of a sequence.

    Raises
    ------
    InvalidValueError
        If the type is ``visits``, which belongs to the sequence itself.
    DuplicateFileError
        If the type is registered already and ``update`` is false.
    UnknownSequenceError
        If the sequence is not in the archive.
    """
    if file_type == "visits":
        raise InvalidValueError(
            "Use set_visitseq_url to register sets of visits themselves"
        )
    check_sequences(connection, uuid)
    parameters = {
        "uuid": uuid,
        "type": file_type,
        "url": file.url,
        "sha256": file.sha256,
        "size": file.size,
    }
    if update:
        connection.execute(text(_INSERT + _REPLACE), parameters)
        return
    added = connection.execute(text(_INSERT + " ON CONFLICT DO NOTHING"), parameters)
    if added.rowcount == 0:
        raise DuplicateFileError(uuid, file_type)


def registered_file(
    connection: Connection, uuid: UUID, file_type: str
) -> RegisteredFile:
    """Return what is registered for a type of file.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    MissingFileError
        If it has no such file.
    """
    check_sequences(connection, uuid)
    row = connection.execute(
        text(
            "SELECT file_url, file_sha256, "
            "CAST(to_jsonb(files) ->> 'file_size' AS BIGINT) "
            "FROM files WHERE visitseq_uuid = :uuid AND file_type = :type"
        ),
        {"uuid": uuid, "type": file_type},
    ).first()
    if row is None:
        raise MissingFileError(uuid, file_type)
    return RegisteredFile(row[0], bytes(row[1]), row[2])


def visits_object(connection: Connection, uuid: UUID) -> RegisteredFile:
    """Return what is known of the object that holds the visits of a sequence.

    Its ``sha256`` is empty if the original stored it, which kept none.

    Raises
    ------
    UnknownSequenceError
        If the sequence is not in the archive.
    """
    row = connection.execute(
        text(
            "SELECT visitseq_url, visits_sha256, visits_size FROM visitseq "
            "LEFT JOIN visitseq_registry USING (visitseq_uuid) "
            "WHERE visitseq_uuid = :uuid"
        ),
        {"uuid": uuid},
    ).first()
    if row is None:
        raise UnknownSequenceError(uuid)
    return RegisteredFile(row[0], bytes(row[1] or b""), row[2])


def registered_objects(connection: Connection, uuid: UUID) -> dict[str, RegisteredFile]:
    """Return the visits and files of a sequence, by type; visits if they have a URL."""
    visits = visits_object(connection, uuid)
    rows = connection.execute(
        text(
            "SELECT file_type, file_url, file_sha256, file_size FROM files "
            "WHERE visitseq_uuid = :uuid"
        ),
        {"uuid": uuid},
    ).all()
    found = {row[0]: RegisteredFile(row[1], bytes(row[2]), row[3]) for row in rows}
    return found if visits.url is None else {**found, "visits": visits}


def set_object_url(
    connection: Connection,
    uuid: UUID,
    file_type: str,
    old_url: str,
    url: str,
    *,
    sha256: bytes,
    size: int,
) -> bool:
    """Let a row name another copy of its object; False if it names a third one."""
    if file_type == "visits":
        if visits_object(connection, uuid).url != old_url:
            return False
        set_visits_object(connection, uuid, url, sha256, size)
        return True
    changed = connection.execute(
        text(
            "UPDATE files SET file_url = :url, file_size = :size "
            "WHERE visitseq_uuid = :uuid AND file_type = :type AND file_url = :old_url"
        ),
        {"uuid": uuid, "type": file_type, "old_url": old_url, "url": url, "size": size},
    )
    return changed.rowcount == 1


_INSERT = (
    "INSERT INTO files (visitseq_uuid, file_type, file_sha256, file_url, file_size) "
    "VALUES (:uuid, :type, :sha256, :url, :size)"
)
_REPLACE = (
    " ON CONFLICT (visitseq_uuid, file_type) DO UPDATE "
    "SET file_sha256 = excluded.file_sha256, file_url = excluded.file_url, "
    "file_size = excluded.file_size, hash_algorithm = 'sha256'"
)
