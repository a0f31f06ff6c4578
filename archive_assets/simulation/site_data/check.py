"""Do the site data cover the nights asked for? Asked before hours are spent."""

from collections.abc import Collection
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archive_assets.simulation.site_data.errors import SiteDataError
from archive_assets.simulation.site_data.files import (
    ALMANAC_FILE,
    EXTRA_FILES,
    MODEL_FILES,
    PLANETS_FILE,
    SUN_MOON_FILE,
    SkyFile,
    day_obs_mjd,
    is_synthetic,
    sky_files,
)

__all__ = ["check_site_data", "needed_files"]

_MOST_LISTED = 5


def needed_files(models: Collection[str] = ()) -> tuple[str, ...]:
    """Return the files that a simulation reads, the skies apart.

    Parameters
    ----------
    models
        Which of ``clouds``, ``downtimes`` and ``seeing`` come from site models.
    """
    extra = tuple(name for model in sorted(models) for name in MODEL_FILES[model])
    return (ALMANAC_FILE, SUN_MOON_FILE, PLANETS_FILE, *EXTRA_FILES, *extra)


def check_site_data(
    folder: Path, first_day_obs: date, n_nights: int, *, models: Collection[str] = ()
) -> None:
    """Check that a folder has what a simulation of some nights reads.

    The night after the last is needed too: the model observatory moves on to it.

    Parameters
    ----------
    folder
        Site data folder.
    first_day_obs, n_nights
        The nights to be simulated.
    models
        Which of ``clouds``, ``downtimes`` and ``seeing`` come from site models.

    Raises
    ------
    SiteDataError
        With everything that is missing or wrong, and what to do.
    """
    problems = [
        f"{name} is missing"
        for name in needed_files(models)
        if not (folder / name).is_file()
    ]
    nights = [first_day_obs + timedelta(days=k) for k in range(n_nights + 1)]
    if (folder / ALMANAC_FILE).is_file():
        problems += _check_nights(folder, nights)
    if problems:
        shown = problems[:_MOST_LISTED]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        raise SiteDataError(folder, shown, _remedy(first_day_obs, n_nights, models))


def _remedy(first_day_obs: date, n_nights: int, models: Collection[str]) -> str:
    remedy = (
        "Set RUBIN_SIM_DATA_DIR to real site data, or run: prenight site-data "
        f"synthesize --first {first_day_obs} --nights {n_nights}"
    )
    if models:
        remedy += f" (models of {', '.join(sorted(models))} are never synthesized)"
    return remedy


def _check_nights(folder: Path, nights: list[date]) -> list[str]:
    try:
        with np.load(folder / ALMANAC_FILE) as file:
            almanac = file["almanac"]
        with np.load(folder / SUN_MOON_FILE) as file:
            sun_moon_mjd = file["sun_moon_info"]["mjd"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        return [f"the almanac cannot be read ({error})"]
    files = sky_files(folder)
    problems = _overlaps(files) if is_synthetic(folder) else []
    for night in nights:
        row = np.searchsorted(almanac["sunset"], day_obs_mjd(night))
        if row == len(almanac) or almanac["sunset"][row] > day_obs_mjd(night) + 1:
            problems.append(f"the almanac does not have {night}")
            continue
        sunset, sunrise = almanac["sunset"][row], almanac["sunrise"][row]
        if not sun_moon_mjd[0] <= sunset <= sunrise <= sun_moon_mjd[-1]:
            problems.append(f"the Sun and Moon table does not have {night}")
        if problem := _sky_problem(files, sunset, sunrise):
            problems.append(f"{night}: {problem}")
    return problems


def _overlaps(files: list[SkyFile]) -> list[str]:
    """Return the overlaps; with any, rubin_scheduler takes the later file."""
    return [
        f"sky files {left.path.name} and {right.path.name} overlap"
        for left, right in pairwise(files)
        if right.mjd_left < left.mjd_right
    ]


def _sky_problem(files: list[SkyFile], sunset: float, sunrise: float) -> str | None:
    # the last file that has the moment, as rubin_scheduler chooses
    chosen = [file for file in files if file.mjd_left <= sunset <= file.mjd_right]
    if not chosen:
        return "no file of sky brightness"
    if chosen[-1].mjd_right < sunrise:
        return f"{chosen[-1].path.name} ends before sunrise"
    try:
        import h5py  # noqa: PLC0415 - slow to load, and only this check needs it

        with h5py.File(chosen[-1].path) as file:
            mjd: NDArray[np.float64] = file["mjds"][:]
            step_days = float(np.max(file["timestep_max"][:]))
            n_maps = file["sky_mags"].shape[0]
    except (OSError, KeyError) as error:
        return f"{chosen[-1].path.name} cannot be read ({error})"
    during = mjd[(mjd >= sunset - step_days) & (mjd <= sunrise + step_days)]
    edges = np.concatenate([[sunset], during, [sunrise]])
    if n_maps != mjd.size or np.max(np.diff(np.sort(edges))) > step_days * 1.01:
        return f"{chosen[-1].path.name} has no maps for part of the night"
    return None
