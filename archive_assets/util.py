"""Dates of observation, file conversions and the conda environment: a door.

The names are those that users of ``rubin_sim.sim_archive.util`` import.
"""

from archive_assets.metadata.environments import (
    CondaNotFoundError,
    compute_conda_env,
)
from visit_tables.day_obs import DayObs, DayObsError, dayobs_to_date
from visit_tables.files import FileAlreadyThereError, hdf5_to_opsimdb, opsimdb_to_hdf5

__all__ = [
    "CondaNotFoundError",
    "DayObs",
    "DayObsError",
    "FileAlreadyThereError",
    "compute_conda_env",
    "dayobs_to_date",
    "hdf5_to_opsimdb",
    "opsimdb_to_hdf5",
]
