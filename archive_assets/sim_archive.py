"""The simulation of a night: a door with the original's names."""

from archive_assets.reading.files import compute_nightly_stats, get_visits
from archive_assets.reading.simulations import (
    AlmanacRangeError,
    NoMatchingSimulationsFoundError,
    NoVisitsArchivedError,
    Stacker,
    coming_nights,
    drive_sim,
    fetch_obsloctap_visits,
    fetch_sim_for_nights,
    fetch_sim_stats_for_night,
    find_latest_prenight_sim_for_nights,
    make_sim_data_dir,
)
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

__all__ = [
    "AlmanacRangeError",
    "NoMatchingSimulationsFoundError",
    "NoVisitsArchivedError",
    "Stacker",
    "VisitSequenceArchiveMetadata",
    "coming_nights",
    "compute_nightly_stats",
    "drive_sim",
    "fetch_obsloctap_visits",
    "fetch_sim_for_nights",
    "fetch_sim_stats_for_night",
    "find_latest_prenight_sim_for_nights",
    "get_visits",
    "make_sim_data_dir",
]
