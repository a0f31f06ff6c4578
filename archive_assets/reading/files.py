"""Bring files of a sequence to where the user is, with their hashes compared."""

from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pandas as pd
from lsst.resources import ResourcePath

from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.errors import InvalidValueError, MissingFileError
from archive_assets.metadata.files import registered_file, visits_object
from archive_assets.objects.datastore import DataStore
from archive_assets.reading.visits import get_visits
from visit_tables.convert import FileAlreadyThereError, hdf5_to_opsimdb
from visit_tables.files import SQLITE_EXTENSIONS, is_sqlite

__all__ = ["read_sequence", "retrieve_file"]


def retrieve_file(
    vsarch: VisitSequenceArchiveMetadata,
    uuid: UUID,
    file_type: str,
    destination: Path,
) -> list[str]:
    """Copy a file of a sequence; return what was done, in the original's words.

    Visits become an opsim file if the destination has the suffix of one.

    Raises
    ------
    MissingFileError
        If the sequence has no such file, or only its hash.
    ArchiveError
        If the destination exists, or the content is not what was recorded; then no
        file is left.
    """
    if destination.exists():
        raise FileAlreadyThereError(destination)
    if not destination.parent.is_dir():
        raise InvalidValueError(f"there is no folder {destination.parent}")
    with vsarch.transaction() as connection:
        if file_type == "visits":
            file = visits_object(connection, uuid)
        else:
            file = registered_file(connection, uuid, file_type)
    if file.url is None:
        raise MissingFileError(uuid, file_type)
    source = ResourcePath(file.url)
    store = DataStore(source.dirname())
    sha256 = file.sha256 or None
    wants_opsim = destination.suffix.lower() in SQLITE_EXTENSIONS
    if file_type != "visits" or not wants_opsim:
        store.get(source, sha256, destination)
        return [f"Copied {source.geturl()} to {ResourcePath(destination).geturl()}"]
    with TemporaryDirectory(prefix="vseqarchive-") as folder:
        local = store.get(source, sha256, Path(folder) / "visits.h5")
        if is_sqlite(local):
            store.get(source, sha256, destination)
        else:
            hdf5_to_opsimdb(local, destination)
        return [
            f"Copied {source.geturl()} to {ResourcePath(local).geturl()}",
            f"Converted to opsim and wrote to {destination}",
        ]


def read_sequence(vsarch: VisitSequenceArchiveMetadata, uuid: UUID) -> pd.DataFrame:
    """Return the visits of a sequence, compared with their recorded hash.

    Raises
    ------
    MissingFileError
        If they are not archived.
    """
    with vsarch.transaction() as connection:
        file = visits_object(connection, uuid)
    if file.url is None:
        raise MissingFileError(uuid, "visits")
    return get_visits(file.url, expected_sha256=file.sha256 or None)
