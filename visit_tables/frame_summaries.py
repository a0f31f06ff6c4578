"""What is computed of a frame of visits: its canonical hash, its nightly statistics."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from visit_tables.columns import (
    Batch,
)
from visit_tables.content_hash import VisitsDigest, file_sha256
from visit_tables.day_obs import night_column
from visit_tables.frames import batch_of_frame
from visit_tables.statistics import STATISTICS, night_statistics

__all__ = ["nightly_stats", "visits_sha256"]

_COLUMNS = ["day_obs", "value_name", *STATISTICS, "accumulated"]


def visits_sha256(visits: pd.DataFrame | str | Path) -> bytes:
    """Return the canonical hash of visits.

    Parameters
    ----------
    visits
        A frame, or an opsim or HDF5 file, whose table ``observations`` is read in
        bounded memory. Equal visits have equal hashes wherever they are.

    Returns
    -------
    sha256
        32 bytes of algorithm `HASH_ALGORITHM`, see ``docs/content-hash.md``.

    Raises
    ------
    UnsupportedColumnError
        If a column holds values without a canonical form.
    VisitsFileError
        If the file cannot be read.
    """
    if not isinstance(visits, pd.DataFrame):
        return file_sha256(visits)
    digest = VisitsDigest()
    for batch in _slices(batch_of_frame(visits)):
        digest.update(batch)
    return digest.digest()


def _slices(batch: Batch, rows: int = 65_536) -> Iterator[Batch]:
    total = len(next(iter(batch.values()), ()))
    starts: Iterable[int] = range(0, max(total, 1), rows)
    for start in starts:
        yield {name: values[start : start + rows] for name, values in batch.items()}


def nightly_stats(
    visits: pd.DataFrame,
    columns: Sequence[str] = ("altitude", "azimuth"),
    accumulated: bool = False,
    *,
    circular: Collection[str] = (),
) -> pd.DataFrame:
    """Compute statistics of columns for each night that has visits.

    Parameters
    ----------
    visits
        Visits with ``day_obs`` (date, ISO text or integer YYYYMMDD), or
        ``obs_start_mjd`` or ``observationStartMJD`` (MJD, UTC, days).
    columns
        Numeric columns to describe, in their own units.
    accumulated
        Whether each row describes all nights through its own, not its own alone.
    circular
        Columns of angles in degrees to describe once more, as directions, under
        ``<name>_circular``.

    Returns
    -------
    stats
        Columns ``day_obs`` (date), ``value_name``, ``count`` (float, as pandas has
        it), ``mean``, ``std``, ``min``, ``p05``, ``q1``, ``median``, ``q3``, ``p95``,
        ``max``, ``accumulated``; by night, then in the order of `columns`.

    Raises
    ------
    ValueError
        If the night cannot be determined, or a column is absent or not numeric.
    """
    needed = {night_column(visits.columns), *columns, *circular}
    batch: Batch = batch_of_frame(visits[[n for n in visits.columns if n in needed]])
    rows = night_statistics(batch, columns, accumulated=accumulated, circular=circular)
    frame = pd.DataFrame([asdict(row) for row in rows], columns=_COLUMNS)
    return frame.astype({"count": "float64"})
