"""The small files of the observatory's site that the scheduler reads.

They live in ``$RUBIN_SIM_DATA_DIR``. `check` tells whether they cover the nights of a
simulation; `synthesize` computes stand-ins where the real ones are not at hand.
"""

from archive_assets.simulation.site_data.check import check_site_data
from archive_assets.simulation.site_data.errors import SiteDataError
from archive_assets.simulation.site_data.files import (
    SyntheticMarker,
    is_synthetic,
    site_data_folder,
)

__all__ = [
    "SiteDataError",
    "SyntheticMarker",
    "check_site_data",
    "is_synthetic",
    "site_data_folder",
]
