"""A plain model of the sky's brightness over Cerro Pachón, and its files.

Dark sky and extinction by band, moonlight after Krisciunas & Schaefer (1991,
PASP 103, 1033), an exponential twilight. Plausible, not Rubin's measured sky.
"""

from datetime import date
from pathlib import Path

import h5py
import healpy as hp
import numpy as np
from numpy.typing import NDArray

from archive_assets.simulation.site_data.ephemeris import (
    LATITUDE_RAD,
    SkyPosition,
    horizon_frame,
    moon_position,
    sun_position,
)
from archive_assets.simulation.site_data.files import SKY_FOLDER, SkyFile, day_obs_mjd

__all__ = ["dark_sky_maps", "write_sky_file", "write_sky_stub"]

BANDS = "ugrizy"
SKY_NSIDE = 32  # the only one that rubin_scheduler 4.6 reads

_DARK_MAG = np.array([22.95, 22.24, 21.20, 20.47, 19.60, 18.63])
_EXTINCTION_MAG = np.array([0.45, 0.20, 0.12, 0.07, 0.06, 0.10])
_MOON_COLOUR = np.array([1.6, 1.3, 0.8, 0.45, 0.25, 0.15])
_AIRGLOW_SLOPE_MAG = 0.8
_LOWEST_ALT_RAD = np.radians(5)
_DAYLIGHT_MAG = 2.0  # what rubin_scheduler itself takes for the day
_DARK_V_NANOLAMBERT = 79.0
_V_EXTINCTION_MAG = 0.17
_MARGIN_DAYS = 0.005
_SKY_DTYPE = np.dtype([(band, np.float32) for band in BANDS])

_Floats = NDArray[np.float64]


def write_sky_file(
    folder: Path, day_obs: date, night: np.void, *, step_minutes: float
) -> Path:
    """Write the maps of one night into a folder.

    The first and the last map stand for the days around the night: rubin_scheduler
    then finds every moment between two noons in this one file.

    Parameters
    ----------
    folder
        Site data folder.
    day_obs
        The night.
    night
        Its row of the almanac.
    step_minutes
        Time between two maps.
    """
    step_days = step_minutes / 1440
    begin = night["sunset"] - _MARGIN_DAYS
    n_steps = int(np.ceil((night["sunrise"] + _MARGIN_DAYS - begin) / step_days)) + 1
    mjd = begin + step_days * np.arange(n_steps)
    noon = day_obs_mjd(day_obs)
    return _write(
        folder / SKY_FOLDER / SkyFile.name(day_obs),
        np.concatenate([[noon], mjd, [noon + 1]]),
        np.concatenate([_daylight(), _night_maps(mjd), _daylight()]),
        step_days,
    )


def write_sky_stub(folder: Path, day_obs: date, *, step_minutes: float) -> Path:
    """Write a file that can be opened for a day_obs but holds no night.

    rubin_scheduler opens the file of its own SURVEY_START_MJD first, whatever the
    night that is simulated.
    """
    noon = day_obs_mjd(day_obs)
    return _write(
        folder / SKY_FOLDER / SkyFile.name(day_obs),
        np.array([noon, noon + 1]),
        np.concatenate([_daylight(), _daylight()]),
        step_minutes / 1440,
    )


def dark_sky_maps() -> NDArray[np.void]:
    """Return the darkest sky that each pixel reaches, mag/arcsec^2."""
    _, dec_deg = hp.pix2ang(SKY_NSIDE, np.arange(hp.nside2npix(SKY_NSIDE)), lonlat=True)
    zenith = np.abs(np.radians(dec_deg) - LATITUDE_RAD).clip(0, np.radians(84))
    airmass = _sky_airmass(np.pi / 2 - zenith)
    maps = np.zeros(airmass.size, dtype=[(band, float) for band in BANDS])
    for band, mags in zip(BANDS, -2.5 * np.log10(_dark_flux(airmass)), strict=True):
        maps[band] = mags
    return maps


def _write(path: Path, mjd: _Floats, maps: NDArray[np.void], step_days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["sky_mags"] = maps
        file["mjds"] = mjd
        file["timestep_max"] = np.array([step_days * 1.01])
    return path


def _daylight() -> NDArray[np.void]:
    maps = np.empty((1, hp.nside2npix(SKY_NSIDE)), dtype=_SKY_DTYPE)
    for band in BANDS:
        maps[band] = _DAYLIGHT_MAG
    return maps


def _night_maps(mjd: _Floats) -> NDArray[np.void]:
    """Return sky maps (mag/arcsec^2), shape ``(n_times, n_pixels)``."""
    n_pixels = hp.nside2npix(SKY_NSIDE)
    directions = np.stack(hp.pix2vec(SKY_NSIDE, np.arange(n_pixels)), axis=1)
    frame = horizon_frame(mjd)
    sun, moon = sun_position(frame), moon_position(frame)
    elongation_rad = sun.separation_rad(moon)
    maps = np.full((mjd.size, n_pixels), np.nan, dtype=_SKY_DTYPE)
    for k in range(mjd.size):
        alt_rad, az_rad = frame.alt_az_rad(k, directions)
        seen = alt_rad >= _LOWEST_ALT_RAD
        flux = _flux(
            alt_rad[seen],
            az_rad[seen],
            _body(sun, k),
            _body(moon, k),
            elongation_rad[k],
        )
        for band, band_flux in zip(BANDS, flux, strict=True):
            maps[band][k, seen] = -2.5 * np.log10(band_flux)
    return maps


def _body(position: SkyPosition, k: int) -> tuple[float, float]:
    return float(position.alt_rad[k]), float(position.az_rad[k])


def _flux(
    alt_rad: _Floats,
    az_rad: _Floats,
    sun: tuple[float, float],
    moon: tuple[float, float],
    elongation_rad: float,
) -> _Floats:
    """Return the sky's flux in units of mag 0 per arcsec^2, shape ``(6, n)``."""
    airmass = _sky_airmass(alt_rad)
    flux = _dark_flux(airmass)
    if moon[0] > 0:
        moonlight = _moonlight_nanolambert(
            alt_rad, az_rad, airmass, moon, elongation_rad
        )
        flux *= 1 + _MOON_COLOUR[:, np.newaxis] * moonlight / _DARK_V_NANOLAMBERT
    sun_alt_deg = np.degrees(sun[0])
    if sun_alt_deg > -18:
        from_sun_deg = np.degrees(_separation_rad(alt_rad, az_rad, (0.0, sun[1])))
        glow = 1 + 0.5 * np.exp(-from_sun_deg / 40)
        flux *= 10 ** (0.38 * (sun_alt_deg + 18)) * glow
    return flux


def _dark_flux(airmass: _Floats) -> _Floats:
    mags = (
        _DARK_MAG[:, np.newaxis]
        - 2.5 * _AIRGLOW_SLOPE_MAG * np.log10(airmass)
        + _EXTINCTION_MAG[:, np.newaxis] * (airmass - 1)
    )
    return np.asarray(10 ** (-0.4 * mags))


def _sky_airmass(alt_rad: _Floats | float) -> _Floats:
    """Return the airmass of a thin shell, finite at the horizon (K&S eq. 3)."""
    return np.asarray(1 / np.sqrt(1 - 0.96 * np.cos(alt_rad) ** 2))


def _moonlight_nanolambert(
    alt_rad: _Floats,
    az_rad: _Floats,
    airmass: _Floats,
    moon: tuple[float, float],
    elongation_rad: float,
) -> _Floats:
    """Return scattered moonlight in V (K&S eqs. 9, 15, 20 and 21)."""
    phase_deg = 180 - np.degrees(elongation_rad)
    illuminance = 10 ** (-0.4 * (3.84 + 0.026 * phase_deg + 4e-9 * phase_deg**4))
    apart_rad = _separation_rad(alt_rad, az_rad, moon)
    rayleigh = 10**5.36 * (1.06 + np.cos(apart_rad) ** 2)
    mie = 10 ** (6.15 - np.degrees(apart_rad) / 40)
    dimmed = 10 ** (-0.4 * _V_EXTINCTION_MAG * _sky_airmass(moon[0]))
    scattered = 1 - 10 ** (-0.4 * _V_EXTINCTION_MAG * airmass)
    return np.asarray((rayleigh + mie) * illuminance * dimmed * scattered)


def _separation_rad(
    alt_rad: _Floats, az_rad: _Floats, body: tuple[float, float]
) -> _Floats:
    cosine = np.sin(alt_rad) * np.sin(body[0]) + np.cos(alt_rad) * np.cos(
        body[0]
    ) * np.cos(az_rad - body[1])
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))
