"""Visits of a sequence as a frame, and its files brought to the user."""

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol
from uuid import UUID

import numpy as np
import pandas as pd
from lsst.resources import ResourcePath
from numpy.typing import NDArray

from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.errors import InvalidValueError, MissingFileError
from archive_assets.metadata.files import registered_file, visits_object
from archive_assets.objects.datastore import DataStore
from visit_tables.files import (
    SQLITE_EXTENSIONS,
    FileAlreadyThereError,
    hdf5_to_opsimdb,
    is_hdf5,
    is_sqlite,
    iterate_visits,
)
from visit_tables.frame_summaries import nightly_stats
from visit_tables.frames import frame_of_batches
from visit_tables.hdf5.read import read_visits

__all__ = [
    "Stacker",
    "compute_nightly_stats",
    "get_visits",
    "read_sequence",
    "retrieve_file",
]


class Stacker(Protocol):
    """What we need of a stacker of the Metrics Analysis Framework."""

    def run(self, sim_data: NDArray[np.void]) -> NDArray[np.void]:
        """Return visits with columns added.

        Parameters
        ----------
        sim_data
            Structured array, a row a visit.
        """
        ...


def compute_nightly_stats(
    visits: pd.DataFrame, columns: Sequence[str] = ("altitude", "azimuth")
) -> pd.DataFrame:
    """Compute statistics of columns for each night that has visits.

    The values are those of ``pandas.DataFrame.describe``; see
    `visit_tables.frame_summaries.nightly_stats`, which does more.

    Parameters
    ----------
    visits
        A row a visit, with ``observationStartMJD`` (UTC) and the columns.
    columns
        Names of columns of numbers.

    Returns
    -------
    nightly_stats
        A row a night and column.
    """
    return nightly_stats(visits, columns)


def get_visits(
    visits_url: str | ResourcePath,
    query: str = "",
    stackers: Sequence[Stacker] = (),
    *,
    columns: Collection[str] | None = None,
    first_day_obs: date | None = None,
    last_day_obs: date | None = None,
    expected_sha256: bytes | None = None,
) -> pd.DataFrame:
    """Read the visits of a sequence.

    Parameters
    ----------
    visits_url
        URL of an HDF5 or opsim file.
    query
        Selects visits, in the syntax of ``pandas.DataFrame.query``, before stackers
        run. It is evaluated as Python: never pass a text from elsewhere.
    stackers
        Stackers of the Metrics Analysis Framework. With them, the result has the
        column ``index``, as the original's does.
    columns
        Columns to read; None reads all.
    first_day_obs, last_day_obs
        First and last night to read from an HDF5 file, both included.
    expected_sha256
        What the SHA-256 of the file must be; None accepts any.

    Returns
    -------
    visits
        One row a visit.

    Raises
    ------
    StoreError
        If the file is absent, another one than expected, or cannot be fetched.
    VisitsFileError
        If it cannot be read, or is not safe to read.
    """
    url = ResourcePath(visits_url, forceDirectory=False)
    path = DataStore(url.dirname()).get(url, expected_sha256)
    if is_hdf5(path):
        visits = read_visits(
            path,
            columns=columns,
            first_day_obs=first_day_obs,
            last_day_obs=last_day_obs,
        )
    else:
        visits = frame_of_batches(iterate_visits(path, columns=columns))
    if query:
        visits = visits.query(query)
    if stackers:
        records: NDArray[np.void] = visits.to_records()
        for stacker in stackers:
            records = stacker.run(records)
        visits = pd.DataFrame(records)
    return visits


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
