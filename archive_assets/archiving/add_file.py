"""Add a file to a recorded sequence: the object and its row together, or neither.

A new content gets a name that nothing has, and only the commit makes the row name it;
the object that it replaces is deleted afterwards. So at every moment the row names an
object that holds what the row says: a process that is killed leaves at most an
unreferenced object, which `vseqarchive gc` removes.
"""

import secrets
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from lsst.resources import ResourcePath
from sqlalchemy import Connection

from archive_assets.archiving.sequence import HasTransactions
from archive_assets.errors import EXPECTED_ERRORS, ArchiveError
from archive_assets.metadata.errors import DuplicateFileError, UnknownSequenceError
from archive_assets.metadata.files import (
    RegisteredFile,
    insert_file,
    registered_objects,
)
from archive_assets.metadata.inventory import is_referenced
from archive_assets.metadata.sequences import (
    content_hash,
    lock_sequence,
    set_content_hash,
    set_visits_object,
)
from archive_assets.objects.datastore import DataStore, ObjectNotFoundError, check_name
from archive_assets.objects.transfer import hash_local, hash_object
from visit_tables.content_hash import HASH_ALGORITHM, file_sha256
from visit_tables.files import SQLITE_EXTENSIONS, opsim_to_hdf5

__all__ = ["add_file", "add_object", "construct_base_resource_path"]


def add_object(
    vsarch: HasTransactions,
    store: DataStore,
    uuid: UUID,
    origin: Path,
    file_type: str,
    *,
    update: bool = False,
) -> ResourcePath:
    """Store a local file as it is, and register it with a sequence.

    Parameters
    ----------
    vsarch, store
        The two halves of the archive.
    uuid
        The sequence.
    origin, file_type
        The file, and its type. It keeps its name unless that is in use.
    update
        Whether another content of this type may be replaced.

    Returns
    -------
    location
        Where it is: in the folder of the sequence in this store. Nothing is done if
        the same content is registered there; if it is registered at another place,
        it is copied here and its URL set. A damaged or lost object is replaced.

    Raises
    ------
    DuplicateFileError
        If another content is registered and ``update`` is false.
    UnknownSequenceError
        If there is no such sequence.
    """
    check_name(file_type, "file type")
    file = RegisteredFile(None, *hash_local(origin))
    fresh: ResourcePath | None = None
    try:
        with vsarch.transaction() as connection:
            folder = store.folder(*lock_sequence(connection, uuid), uuid)
            registered = registered_objects(connection, uuid)
            known = registered.get(file_type)
            content = file_sha256(origin) if file_type == "visits" and known else None
            _check_replaceable(connection, uuid, file_type, known, file, content,
                               update=update)  # fmt: skip
            place = _home(known, file, registered, folder)
            if place is None:
                place = fresh = _unused_place(store, folder, registered, origin,
                                              file_type)  # fmt: skip
                store.put(origin, place)
            elif known is not None and not _holds(known, file.sha256):
                store.put(origin, place, replace=True)  # what the row says, again
            file = RegisteredFile(place.geturl(), file.sha256, file.size)
            _register(connection, uuid, file_type, file, content if update else None)
    except BaseException:
        if fresh is not None and not _may_be_registered(vsarch, uuid, fresh):
            with suppress(ArchiveError):
                store.delete(fresh)
        raise
    if fresh is not None and known is not None and known.url is not None:
        _remove_replaced(vsarch, store, folder, ResourcePath(known.url))
    return place


def _check_replaceable(  # noqa: PLR0917 - one question, all of it known to the caller
    connection: Connection,
    uuid: UUID,
    file_type: str,
    known: RegisteredFile | None,
    file: RegisteredFile,
    content: bytes | None,
    *,
    update: bool,
) -> None:
    """Refuse another content than the registered one, unless it is an update."""
    if known is None or update or known.sha256 == file.sha256:
        return
    if content is not None and content == content_hash(connection, uuid):
        return  # the same visits in another file, such as an opsim file
    if not _holds(known, file.sha256):
        raise DuplicateFileError(uuid, file_type)


def _holds(known: RegisteredFile, sha256: bytes) -> bool:
    """Tell whether the registered object is there and has a content."""
    if known.sha256 not in {b"", sha256} or known.url is None:
        return False
    try:
        return hash_object(ResourcePath(known.url))[0] == sha256
    except ObjectNotFoundError:
        return False


def _home(
    known: RegisteredFile | None,
    file: RegisteredFile,
    registered: dict[str, RegisteredFile],
    folder: ResourcePath,
) -> ResourcePath | None:
    """Return the registered place if it is the file's own, in this store."""
    if known is None or known.url is None or known.sha256 not in {b"", file.sha256}:
        return None
    place = ResourcePath(known.url, forceDirectory=False)
    n_users = sum(other.url == known.url for other in registered.values())
    if place.dirname() != folder or n_users > 1:
        return None
    if not known.sha256 and not _holds(known, file.sha256):
        return None  # nobody knows what it should hold: leave it until the commit
    return place


def _unused_place(
    store: DataStore,
    folder: ResourcePath,
    registered: dict[str, RegisteredFile],
    origin: Path,
    file_type: str,
) -> ResourcePath:
    """Choose a place that no row names and where nothing is."""
    taken = {file.url for file in registered.values()}
    for name in (origin.name, f"{origin.stem}.{file_type}{origin.suffix}"):
        place = folder.join(check_name(name, "file name"), forceDirectory=False)
        if place.geturl() not in taken and not store.exists(place):
            return place
    name = f"{origin.stem}-{secrets.token_hex(8)}{origin.suffix}"
    return folder.join(check_name(name, "file name"), forceDirectory=False)


def _register(
    connection: Connection,
    uuid: UUID,
    file_type: str,
    file: RegisteredFile,
    content: bytes | None,
) -> None:
    if file_type != "visits":
        insert_file(connection, uuid, file_type, file, update=True)
        return
    set_visits_object(connection, uuid, str(file.url), file.sha256, file.size or 0)
    if content is not None:
        set_content_hash(connection, uuid, content, HASH_ALGORITHM)


def _may_be_registered(
    vsarch: HasTransactions, uuid: UUID, place: ResourcePath
) -> bool:
    """Tell whether a transaction that failed may have been committed nonetheless."""
    try:
        with vsarch.transaction() as connection:
            lock_sequence(
                connection, uuid
            )  # waits for a commit that is still under way
            return is_referenced(connection, place.geturl())
    except UnknownSequenceError:
        return False
    except EXPECTED_ERRORS:
        return True  # nobody can tell; if not, gc finds the object


def _remove_replaced(
    vsarch: HasTransactions, store: DataStore, folder: ResourcePath, old: ResourcePath
) -> None:
    """Remove an object of the sequence that no row names any more."""
    if old.dirname() != folder:
        return
    # what resists is left to gc: the file itself is archived
    with suppress(*EXPECTED_ERRORS), vsarch.transaction() as connection:
        if not is_referenced(connection, old.geturl()):
            store.delete(old)


class AstropyTime(Protocol):
    """What we need of ``astropy.time.Time``, so that it need not be imported."""

    def to_datetime(self, timezone: object) -> Any:  # Any: an array, if of many times
        """Return the time in a zone."""


def construct_base_resource_path(
    archive_base: str | ResourcePath,
    telescope: str,
    creation_time: datetime | AstropyTime,
    visitseq_uuid: UUID,
) -> ResourcePath:
    """Return the folder of a visit sequence, ``base/telescope/day/uuid/``.

    Parameters
    ----------
    archive_base
        URL of the archive.
    telescope
        Name of the telescope.
    creation_time
        Aware datetime or astropy ``Time`` of creation; its date at UTC-12 is the day.
    visitseq_uuid
        UUID of the sequence.

    Raises
    ------
    UnsafeNameError
        If the telescope cannot be part of a path.
    """
    created: datetime = (
        creation_time
        if isinstance(creation_time, datetime)
        else creation_time.to_datetime(timezone=UTC)
    )
    return DataStore(archive_base).folder(telescope, created, visitseq_uuid)


def add_file(  # noqa: PLR0917 the original's order
    vsarch: HasTransactions,
    uuid: UUID,
    origin: str | Path,
    file_type: str,
    archive_base: str | ResourcePath,
    update: bool = False,
) -> ResourcePath:
    """Store a file of a visit sequence and make it known.

    Parameters
    ----------
    vsarch
        The metadata database.
    uuid
        UUID of the sequence.
    origin
        A local file. An opsim file with an SQLite suffix, if of type ``visits``, is
        converted to ``visits.h5``.
    file_type
        ``visits``, ``rewards``, ``opsim``, or any other name.
    archive_base
        URL of the archive.
    update
        Whether to replace a file of this type. Its content stays until the new one
        is proved.

    Returns
    -------
    location
        Where the file is. Its name is that of `origin`, unless another file of the
        sequence has that name; then the type is put before the suffix.

    Raises
    ------
    DuplicateFileError
        If another content of this type is there and no update was asked for.
        Nothing was written.
    UnknownSequenceError
        If there is no such sequence.
    UnsafeNameError
        If the name of the file or its type cannot be part of a path.
    VisitsFileError
        If an opsim file cannot be converted.
    """
    check_name(file_type, "file type")
    store = DataStore(archive_base)
    if file_type != "visits" or Path(origin).suffix.lower() not in SQLITE_EXTENSIONS:
        return add_object(vsarch, store, uuid, Path(origin), file_type, update=update)
    with tempfile.TemporaryDirectory() as folder:
        visits = Path(folder) / "visits.h5"
        opsim_to_hdf5(origin, visits)
        return add_object(vsarch, store, uuid, visits, file_type, update=update)
