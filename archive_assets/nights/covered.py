"""Which nights the simulations that begin on a night cover."""

from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd

from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.nights import ANY_AGE_DAYS
from archive_assets.nights.index import prenight_index_path
from archive_assets.nights.index_json import load_index

__all__ = ["covered_nights", "missing_nominal", "prenight_simulations"]


def prenight_simulations(
    archive: VisitSequenceArchiveMetadata, day_obs: date, telescope: str
) -> pd.DataFrame:
    """Return the pre-night simulations that cover a night, of any age, oldest first.

    Columns as `VisitSequenceArchiveMetadata.sims_on_nights` has them.
    """
    return archive.sims_on_nights(
        day_obs, day_obs, ("prenight",), telescope, ANY_AGE_DAYS
    )


def covered_nights(
    archive: VisitSequenceArchiveMetadata, day_obs: date, telescopes: Sequence[str]
) -> list[date]:
    """Return a night and those after it that its pre-night simulations cover.

    Parameters
    ----------
    archive
        The metadata database.
    day_obs
        First night of the simulations.
    telescopes
        Whose simulations count.
    """
    last = day_obs
    for telescope in telescopes:
        found = prenight_simulations(archive, day_obs, telescope)
        begun = found.loc[found["first_day_obs"] == day_obs, "last_day_obs"]
        last = max([last, *begun])
    return [day_obs + timedelta(days=n) for n in range((last - day_obs).days + 1)]


def missing_nominal(
    index_base: str, day_obs: date, telescope: str, tags: Sequence[str]
) -> list[str]:
    """Return why the published index of a night has no nominal simulation, if so.

    Parameters
    ----------
    index_base
        Where the index is published.
    day_obs, telescope
        Which index.
    tags
        What a nominal simulation has.
    """
    location = prenight_index_path(day_obs, telescope, index_base)
    try:
        index = load_index(location.read(), location.geturl()).frame
    except FileNotFoundError:
        return [f"there is no index at {location.geturl()}"]
    if any(set(tags) <= set(found) for found in index["tags"]):
        return []
    return [f"none of its {len(index)} simulations is tagged {', '.join(tags)}"]
