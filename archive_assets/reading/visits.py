"""The visits of a sequence as a frame, and their nightly statistics."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, Protocol

import numpy as np
import pandas as pd
from lsst.resources import ResourcePath

from archive_assets.objects.datastore import DataStore
from visit_tables.files import is_hdf5, iterate_visits
from visit_tables.frame_summaries import nightly_stats
from visit_tables.frames import frame_of_batches
from visit_tables.hdf5.read import read_visits

__all__ = ["Stacker", "compute_nightly_stats", "get_visits"]


class Stacker(Protocol):
    """What we need of a stacker of the Metrics Analysis Framework."""

    def run(self, sim_data: "np.recarray[Any, Any]") -> "np.recarray[Any, Any]":
        """Return visits with columns added."""  # Any: columns vary
        ...


def compute_nightly_stats(
    visits: pd.DataFrame, columns: Sequence[str] = ("altitude", "azimuth")
) -> pd.DataFrame:
    """Compute statistics of columns for each night that has visits.

    The values are those of ``pandas.DataFrame.describe``; see
    `visit_tables.frame_summaries.nightly_stats`, which does more.
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
        records: np.recarray[Any, Any] = visits.to_records()
        for stacker in stackers:
            records = stacker.run(records)
        visits = pd.DataFrame(records)
    return visits
