"""Completed visits, as the scheduler takes them."""

import warnings
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rubin_scheduler.scheduler.utils import SchemaConverter

from archive_assets.simulation.errors import ParentVisitsError
from archive_assets.simulation.site_data.files import day_obs_mjd, mjd_day_obs
from visit_tables.columns import VisitsFileError
from visit_tables.frame_files import read_visits_file
from visit_tables.time_scales import TAI_COLUMNS, mjd_utc

__all__ = [
    "preloaded_observations",
    "read_completed_visits",
    "read_parent_visits",
]

# consdb's names for what opsim names otherwise
CONSDB_TO_OPSIM = {
    "obs_start_mjd": "observationStartMJD",
    "s_ra": "fieldRA",
    "s_dec": "fieldDec",
    "sky_rotation": "rotSkyPos",
    "exp_time": "visitExposureTime",
    "visit_id": "observationId",
}
_REQUIRED = ("observationStartMJD", "fieldRA", "fieldDec", "band", "visitExposureTime")
_TEXT = ("band", "filter", "scheduler_note", "target_name", "science_program")


def read_completed_visits(path: Path) -> pd.DataFrame:
    """Read completed visits, with opsim's column names.

    Parameters
    ----------
    path
        Opsim file or ``visits.h5``, with opsim's or consdb's columns.

    Raises
    ------
    ParentVisitsError
        If the file cannot be read, or lacks a column.
    """
    visits = _read(path)
    for name in {*TAI_COLUMNS}.intersection(visits.columns):
        visits[name] = mjd_utc(name, visits[name].to_numpy(dtype=np.float64))
    visits = visits.rename(columns=CONSDB_TO_OPSIM)
    if missing := [name for name in _REQUIRED if name not in visits.columns]:
        raise ParentVisitsError(f"{path} lacks the columns {', '.join(missing)}")
    return visits


def read_parent_visits(path: Path, first_day_obs: date) -> pd.DataFrame:
    """Read the completed visits from which a simulation starts.

    Parameters
    ----------
    path
        As for `read_completed_visits`.
    first_day_obs
        First night of the simulation.

    Raises
    ------
    ParentVisitsError
        If the file cannot be read, lacks a column, or has visits of the first night
        or later.
    """
    visits = read_completed_visits(path)
    late = visits["observationStartMJD"] >= day_obs_mjd(first_day_obs)
    if late.any():
        latest = mjd_day_obs(float(visits["observationStartMJD"].max()))
        raise ParentVisitsError(
            f"{path} has {int(late.sum())} visits of {first_day_obs} or later (the "
            f"last on {latest}): completed visits must end before the simulated nights"
        )
    return visits


def preloaded_observations(visits: pd.DataFrame) -> NDArray[np.void]:
    """Return visits with opsim's columns as an array of observations.

    Columns that the file does not have are NaN, 0 or empty.
    """
    complete = visits.copy()
    names = SchemaConverter().convert_dict
    for name in names:
        if name not in complete.columns:
            complete[name] = "" if name in _TEXT else np.nan
    complete["band"] = complete["band"].astype(str)
    for name in ("night", "numExposures", "observationId", "target_id"):
        values = complete.get(name, pd.Series(0, index=complete.index))
        complete[name] = values.fillna(0).astype(np.int64)
    with warnings.catch_warnings():
        # rubin_scheduler 4.6 knows columns that neither opsim nor consdb has
        warnings.filterwarnings("ignore", message=r"Column \w+ not found")
        observations: NDArray[np.void] = SchemaConverter().opsimdf2obs(complete)
    return observations


def _read(path: Path) -> pd.DataFrame:
    try:
        return read_visits_file(path)
    except (OSError, VisitsFileError) as error:
        raise ParentVisitsError(f"{path} cannot be read: {error}") from error
