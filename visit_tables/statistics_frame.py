"""Statistics of visits for each night, as a frame for the archive."""

from collections.abc import Collection, Sequence
from dataclasses import asdict

import pandas as pd

from visit_tables.columns import Batch
from visit_tables.frames import batch_of_frame
from visit_tables.nights import night_column
from visit_tables.statistics import STATISTICS, night_statistics

__all__ = ["nightly_stats"]

_COLUMNS = ["day_obs", "value_name", *STATISTICS, "accumulated"]


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
        If the night cannot be told, or a column is absent or not numeric.
    """
    needed = {night_column(visits.columns), *columns, *circular}
    batch: Batch = batch_of_frame(visits[[n for n in visits.columns if n in needed]])
    rows = night_statistics(batch, columns, accumulated=accumulated, circular=circular)
    frame = pd.DataFrame([asdict(row) for row in rows], columns=_COLUMNS)
    return frame.astype({"count": "float64"})
