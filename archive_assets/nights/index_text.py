"""The index in the store as the original's callers know it: all in text."""

import pandas as pd
from lsst.resources import ResourcePath

from archive_assets.nights import index
from archive_assets.nights.index_json import as_text
from visit_tables.day_obs import DayObs

__all__ = ["get_prenight_index_from_bucket"]


def get_prenight_index_from_bucket(
    day_obs: DayObs,
    telescope: str = "simonyi",
    prenight_index_path: str | ResourcePath | None = None,
) -> pd.DataFrame:
    """Return the index in the store, with UUIDs and dates as text, as JSON has them.

    Parameters
    ----------
    day_obs
        The night.
    telescope
        Its name.
    prenight_index_path
        Base URL of the indexes; ``PRENIGHT_INDEX_URL`` by default.

    Raises
    ------
    FileNotFoundError
        If the store has no index of the night.
    """
    return as_text(
        index.get_prenight_index_from_bucket(day_obs, telescope, prenight_index_path)
    )
