"""Add a file to a recorded sequence: the object and its row together, or neither.

The sequence is locked first, so that of two writers the second sees what the first
did. The row is written, then the object is put in place, then the row is committed:
between the last two a killed process leaves a row with the old hash beside the new
object, which `vseqarchive verify` tells, and the old object staged beside it; the
same call again completes it.
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from lsst.resources import ResourcePath
from sqlalchemy import Connection

from archive_assets.archiving.sequence import HasTransactions
from archive_assets.metadata.errors import DuplicateFileError
from archive_assets.metadata.files import (
    RegisteredFile,
    insert_file,
    registered_objects,
)
from archive_assets.metadata.sequences import lock_sequence, set_visits_object
from archive_assets.objects.datastore import DataStore, ObjectNotFoundError, check_name
from archive_assets.objects.transfer import hash_local, hash_object
from archive_assets.objects.undo import undoable_put
from visit_tables.convert import opsim_to_hdf5
from visit_tables.files import SQLITE_EXTENSIONS

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
        The file, and its type; its name is kept.
    update
        Whether another content of this type may be replaced.

    Returns
    -------
    location
        Where it is. What was registered with the same content is left alone, or
        mended if the object is damaged or gone.

    Raises
    ------
    DuplicateFileError
        If another content is registered and may not be replaced.
    UnknownSequenceError
        If there is no such sequence.
    """
    check_name(file_type, "file type")
    sha256, size = hash_local(origin)
    with undoable_put(store) as put, vsarch.transaction() as connection:
        telescope, created = lock_sequence(connection, uuid)
        registered = registered_objects(connection, uuid)
        known = registered.get(file_type)
        if known is not None and _holds(known, sha256):
            return ResourcePath(str(known.url))
        if known is not None and known.sha256 != sha256 and not update:
            raise DuplicateFileError(uuid, file_type)
        place = _place(store.folder(telescope, created, uuid), registered, origin,
                       file_type)  # fmt: skip
        file = RegisteredFile(place.geturl(), sha256, size)
        _register(connection, uuid, file_type, file)
        put(origin, place)
    return place


def _holds(known: RegisteredFile, sha256: bytes) -> bool:
    """Tell whether the registered object is there and has a content."""
    if known.sha256 not in {b"", sha256} or known.url is None:
        return False
    try:
        return hash_object(ResourcePath(known.url))[0] == sha256
    except ObjectNotFoundError:
        return False


def _place(
    folder: ResourcePath,
    registered: dict[str, RegisteredFile],
    origin: Path,
    file_type: str,
) -> ResourcePath:
    """Choose the place of a file: one that no other type has."""
    place = folder.join(check_name(origin.name, "file name"), forceDirectory=False)
    others = {
        ResourcePath(file.url).geturl()
        for other, file in registered.items()
        if other != file_type and file.url is not None
    }
    if place.geturl() not in others:
        return place
    name = f"{origin.stem}.{file_type}{origin.suffix}"
    return folder.join(check_name(name, "file name"), forceDirectory=False)


def _register(
    connection: Connection, uuid: UUID, file_type: str, file: RegisteredFile
) -> None:
    if file_type == "visits":
        url = str(file.url)
        set_visits_object(connection, uuid, url, file.sha256, file.size or 0)
    else:
        insert_file(connection, uuid, file_type, file, update=True)


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
