"""The almanac of nights, and the tables of Sun, Moon and planets."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from archive_assets.simulation.site_data.ephemeris import (
    PLANETS,
    SkyPosition,
    horizon_frame,
    moon_position,
    planet_radec,
    sun_position,
)
from archive_assets.simulation.site_data.files import (
    ALMANAC_FILE,
    PLANETS_FILE,
    SUN_MOON_FILE,
    day_obs_mjd,
)

__all__ = ["Almanac", "compute_almanac"]

_GRID_MINUTES = 30
_PLANET_STEP_DAYS = 0.25
_KEEP_SUN_BELOW_RAD = np.radians(10)  # as the real tables do

# column, altitude of the Sun in deg, does it rise; the real almanac has no refraction
_SUN_EVENTS = (
    ("sunset", 0.0, False),
    ("sun_n12_setting", -12.0, False),
    ("sun_n18_setting", -18.0, False),
    ("sun_n18_rising", -18.0, True),
    ("sun_n12_rising", -12.0, True),
    ("sunrise", 0.0, True),
)
_COLUMNS = [name for name, _, _ in _SUN_EVENTS] + ["moonrise", "moonset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Almanac:
    """The three tables, as structured arrays with rubin_scheduler's own columns.

    Attributes
    ----------
    nights
        One row a night; times are MJD (UTC).
    sun_moon
        Sun and Moon every half hour while the Sun is low; angles in rad, `moon_phase`
        is the elongation as a percentage of 180 deg.
    planets
        Right ascension and declination in rad, every 6 hours.
    """

    nights: NDArray[np.void]
    sun_moon: NDArray[np.void]
    planets: NDArray[np.void]

    def night(self, day_obs: date) -> np.void:
        """Return the row of a night."""
        noon = day_obs_mjd(day_obs)
        row = np.searchsorted(self.nights["sunset"], noon)
        found: np.void = self.nights[row]
        return found

    def write(self, folder: Path) -> None:
        """Write the files that rubin_scheduler reads."""
        (folder / ALMANAC_FILE).parent.mkdir(parents=True, exist_ok=True)
        np.savez(folder / ALMANAC_FILE, almanac=self.nights)
        np.savez(folder / SUN_MOON_FILE, sun_moon_info=self.sun_moon)
        np.savez(folder / PLANETS_FILE, planet_loc=self.planets)


def compute_almanac(first: date, last: date) -> Almanac:
    """Compute the tables for the nights from first through last.

    Times lie on a fixed grid, so that a longer almanac agrees with a shorter one.
    """
    grid_per_day = 24 * 60 // _GRID_MINUTES
    begin, end = day_obs_mjd(first) - 2, day_obs_mjd(last) + 3
    mjd = np.arange(int(begin * grid_per_day), int(end * grid_per_day)) / grid_per_day
    frame = horizon_frame(mjd)
    sun, moon = sun_position(frame), moon_position(frame)
    n_nights = (last - first).days + 1
    noons = day_obs_mjd(first) + np.arange(n_nights, dtype=np.float64)
    return Almanac(
        nights=_nights(noons, mjd, sun, moon),
        sun_moon=_sun_moon(mjd, sun, moon),
        planets=_planets(begin, end),
    )


def _crossings(
    mjd: NDArray[np.float64],
    alt_rad: NDArray[np.float64],
    level_deg: float,
    *,
    rising: bool,
) -> NDArray[np.float64]:
    spline = CubicSpline(mjd, alt_rad - np.radians(level_deg))
    times = np.asarray(spline.roots(extrapolate=False), dtype=float)
    return np.asarray(times[(spline(times, 1) > 0) == rising])


def _nights(
    noons: NDArray[np.float64],
    mjd: NDArray[np.float64],
    sun: SkyPosition,
    moon: SkyPosition,
) -> NDArray[np.void]:
    nights = np.zeros(
        noons.size, dtype=[("night", np.int64), *((name, float) for name in _COLUMNS)]
    )
    nights["night"] = np.arange(noons.size)
    for name, level_deg, rising in _SUN_EVENTS:
        times = _crossings(mjd, sun.alt_rad, level_deg, rising=rising)
        nights[name] = times[np.searchsorted(times, noons)]
    for name, rising in (("moonrise", True), ("moonset", False)):
        times = _crossings(mjd, moon.alt_rad, 0.0, rising=rising)
        after = np.searchsorted(times, nights["sunset"])
        nights[name] = times[np.minimum(after, times.size - 1)]
    return nights


def _sun_moon(
    mjd: NDArray[np.float64], sun: SkyPosition, moon: SkyPosition
) -> NDArray[np.void]:
    columns = {
        "mjd": mjd,
        "sun_RA": sun.ra_rad,
        "sun_dec": sun.dec_rad,
        "sun_alt": sun.alt_rad,
        "sun_az": sun.az_rad,
        "moon_RA": moon.ra_rad,
        "moon_dec": moon.dec_rad,
        "moon_alt": moon.alt_rad,
        "moon_az": moon.az_rad,
        "moon_phase": sun.separation_rad(moon) / np.pi * 100,
    }
    low = sun.alt_rad < _KEEP_SUN_BELOW_RAD
    table = np.zeros(int(low.sum()), dtype=[(name, float) for name in columns])
    for name, values in columns.items():
        table[name] = values[low]
    return table


def _planets(begin: float, end: float) -> NDArray[np.void]:
    mjd = np.arange(np.floor(begin), np.ceil(end), _PLANET_STEP_DAYS)
    dtype = [("mjd", float)]
    for name in PLANETS:
        dtype += [(f"{name}_RA", float), (f"{name}_dec", float)]
    table = np.zeros(mjd.size, dtype=dtype)
    table["mjd"] = mjd
    for name in PLANETS:
        table[f"{name}_RA"], table[f"{name}_dec"] = planet_radec(name, mjd)
    return table
