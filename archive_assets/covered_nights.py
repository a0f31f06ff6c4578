"""Which nights the simulations that begin on a night cover."""

from collections.abc import Sequence
from datetime import date, timedelta

from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

__all__ = ["covered_nights"]

_ANY_AGE_DAYS = 36_500


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
        found = archive.sims_on_nights(
            day_obs, day_obs, ("prenight",), telescope, _ANY_AGE_DAYS
        )
        begun = found.loc[found["first_day_obs"] == day_obs, "last_day_obs"]
        last = max([last, *begun])
    return [day_obs + timedelta(days=n) for n in range((last - day_obs).days + 1)]
