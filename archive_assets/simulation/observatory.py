"""The model of the observatory in which a scheduler is simulated.

Imports rubin_scheduler (3 CPU s): for the process of a simulation, and snapshots.
"""

from datetime import date

import numpy as np
from numpy.typing import NDArray
from rubin_scheduler.scheduler.model_observatory import (
    KinemModel,
    ModelObservatory,
    rotator_movement,
    tma_movement,
)
from rubin_scheduler.site_models import ConstantSeeingData, ConstantWindData

from archive_assets.simulation.base import ObservatoryOptions, SiteModel
from archive_assets.simulation.site_data.files import day_obs_mjd

__all__ = ["model_observatory"]

_WIND_SPEED_M_S = 5.0
_WIND_DIRECTION_DEG = 340.0  # between the two usual ones, SITCOMTN-126
_TELESCOPE_PERCENT = 70.0
_ROTATOR_PERCENT = 100.0


def model_observatory(
    options: ObservatoryOptions,
    *,
    day_obs: date,
    n_nights: int,
    nside: int,
    survey_start: date,
    telescope: str = "rubin",
) -> ModelObservatory:
    """Return a model observatory on the evening of a night.

    As rubin_scheduler's `get_ideal_model_observatory`, with clouds, downtimes and
    seeing as the options say, and with no more of the sky in memory than needed.

    Parameters
    ----------
    options
        Weather and downtimes.
    day_obs, n_nights
        The nights to be simulated.
    nside
        HEALPix resolution, that of the scheduler.
    survey_start
        Night from which ``night`` is counted.
    telescope
        Name of the camera rotation, ``rubin`` or ``auxtel``.
    """
    noon = day_obs_mjd(day_obs)
    movement = KinemModel(mjd0=noon, telescope=telescope)
    movement.setup_camera(**rotator_movement(_ROTATOR_PERCENT))
    movement.setup_telescope(**tma_movement(_TELESCOPE_PERCENT))
    seeing = options.seeing_arcsec
    observatory = ModelObservatory(
        nside=nside,
        mjd=noon,
        mjd_start=day_obs_mjd(survey_start),
        kinem_model=movement,
        cloud_data="ideal" if options.clouds is SiteModel.IDEAL else None,
        seeing_data=None if seeing is None else ConstantSeeingData(fwhm_500=seeing),
        wind_data=ConstantWindData(
            wind_direction=_WIND_DIRECTION_DEG, wind_speed=_WIND_SPEED_M_S
        ),
        downtimes="ideal" if options.downtimes is SiteModel.IDEAL else None,
        lax_dome=True,
        init_load_length=1,
        telescope=telescope,
    )
    observatory.sky_model.load_length = n_nights + 1
    observatory.downtimes = _with_closures(observatory.downtimes, options.closed_mjd)
    return observatory


def _with_closures(
    downtimes: NDArray[np.void], closed: tuple[tuple[float, float], ...]
) -> NDArray[np.void]:
    """Add intervals; overlapping ones become one, as `ModelObservatory` needs it."""
    both = [*(tuple(row) for row in downtimes), *closed]
    merged: list[list[float]] = []
    for begin, end in sorted(both):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    return np.array(
        [tuple(pair) for pair in merged], dtype=[("start", float), ("end", float)]
    )
