"""When the simulation of a night starts and ends, by the almanac."""

from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archive_assets.simulation.errors import SimulationRangeError
from archive_assets.simulation.site_data.errors import SiteDataError
from archive_assets.simulation.site_data.files import (
    ALMANAC_FILE,
    day_obs_mjd,
    site_data_folder,
)

__all__ = ["compute_sim_start_and_end", "read_almanac", "sim_start_and_duration"]

_DAY_S = 86400.0


def compute_sim_start_and_end(
    day_obs: int, sim_nights: int, delay: float = 0
) -> tuple[float, float]:
    """Return when a simulation starts and how long it lasts.

    It starts at the nautical twilight (Sun at -12 deg) of the first evening, and ends
    at the sunrise of the last night.

    Parameters
    ----------
    day_obs
        First night, as YYYYMMDD.
    sim_nights
        Number of nights.
    delay
        How much later it starts, minutes.

    Returns
    -------
    start_mjd
        Start, MJD UTC.
    duration
        Length, days.

    Raises
    ------
    SimulationRangeError
        If the almanac of ``$RUBIN_SIM_DATA_DIR`` does not have the nights, or the
        delay leaves fewer nights than asked for.
    """
    try:
        evening = date.fromisoformat(str(day_obs))
    except ValueError as error:
        raise SimulationRangeError(f"day_obs {day_obs} is not YYYYMMDD") from error
    sunsets = read_almanac(site_data_folder())
    return sim_start_and_duration(sunsets, evening, sim_nights, delay)


def read_almanac(site_data: Path) -> NDArray[np.void]:
    """Return the rows of the almanac, one a night.

    Raises
    ------
    SiteDataError
        If there is none that can be read.
    """
    try:
        with np.load(site_data / ALMANAC_FILE) as file:
            sunsets: NDArray[np.void] = file["almanac"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise SiteDataError(
            site_data,
            [f"{ALMANAC_FILE} cannot be read ({error})"],
            "Set RUBIN_SIM_DATA_DIR, or run: prenight site-data synthesize",
        ) from error
    return sunsets


def sim_start_and_duration(
    sunsets: NDArray[np.void], day_obs: date, sim_nights: int, delay_minutes: float = 0
) -> tuple[float, float]:
    """Return start (MJD UTC) and duration (days), from the rows of an almanac.

    See `compute_sim_start_and_end`, which reads the almanac.
    """
    if sim_nights < 1:
        raise SimulationRangeError(f"sim_nights must be at least 1, not {sim_nights}")
    noon = day_obs_mjd(day_obs)
    row = int(np.searchsorted(sunsets["sunset"], noon))
    if row == 0 or row + sim_nights > len(sunsets):
        raise SimulationRangeError(
            f"the almanac does not have the {sim_nights} nights from {day_obs}"
        )
    start_mjd = float(sunsets["sun_n12_setting"][row]) + delay_minutes * 60 / _DAY_S
    duration = float(sunsets["sunrise"][row + sim_nights - 1]) - start_mjd
    if np.ceil(duration) != sim_nights:
        raise SimulationRangeError(
            f"a delay of {delay_minutes:g} minutes leaves no part of one of the "
            f"{sim_nights} nights from {day_obs}"
        )
    return start_mjd, duration
