"""Files of visit sequences: archive them, read them, describe their nights.

The names are those of the original's module; its commands are in
`archive_assets.cli.vseqarchive`.
"""

import tempfile
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import numpy as np
import pandas as pd
from lsst.resources import ResourcePath

from archive_assets.file_addition import add_object
from archive_assets.prenightindex import PRENIGHT_INDEX_URL
from archive_assets.store.datastore import DataStore, check_name
from archive_assets.visits.convert import opsim_to_hdf5
from archive_assets.visits.frames import frame_of_batches
from archive_assets.visits.hdf5 import read_visits
from archive_assets.visits.stats import nightly_stats
from archive_assets.visits.visit_files import is_hdf5, iterate_visits
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

__all__ = [
    "ARCHIVE_URL",
    "PRENIGHT_INDEX_URL",
    "SQLITE_EXTENSIONS",
    "SQLITE_EXTINSIONS",
    "VisitSequenceArchiveMetadata",
    "add_file",
    "compute_nightly_stats",
    "construct_base_resource_path",
    "get_visits",
]

ARCHIVE_URL = "s3://rubin:rubin-scheduler-prenight/opsim/vseq/"
SQLITE_EXTENSIONS = {".db", ".sqlite", ".sqlite3", ".db3"}
SQLITE_EXTINSIONS = SQLITE_EXTENSIONS
"""The original's spelling."""


class Stacker(Protocol):
    """What we need of a stacker of the Metrics Analysis Framework."""

    def run(self, sim_data: "np.recarray[Any, Any]") -> "np.recarray[Any, Any]":
        """Return visits with columns added."""  # Any: columns vary
        ...


class AstropyTime(Protocol):
    """What we need of ``astropy.time.Time``, so that it need not be imported."""

    def to_datetime(self, timezone: object) -> Any:  # Any: an array, if of many times
        """Return the time in a zone."""
        ...


def compute_nightly_stats(
    visits: pd.DataFrame, columns: Sequence[str] = ("altitude", "azimuth")
) -> pd.DataFrame:
    """Compute statistics of columns for each night that has visits.

    The values are those of ``pandas.DataFrame.describe``; see
    `archive_assets.visits.stats.nightly_stats`, which does more.
    """
    return nightly_stats(visits, columns)


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
    vsarch: VisitSequenceArchiveMetadata,
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
        records: np.recarray[Any, Any] = visits.to_records()
        for stacker in stackers:
            records = stacker.run(records)
        visits = pd.DataFrame(records)
    return visits


def __getattr__(name: str) -> object:
    # the original's module holds its commands, too; ours load only when asked for
    from archive_assets.cli.vseqarchive import command_named, main  # noqa: PLC0415 - as above

    found = main if name == "vseqarchive" else command_named(name)
    if found is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return found
