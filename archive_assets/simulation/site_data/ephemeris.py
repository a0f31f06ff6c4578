"""Where the Sun, the Moon and the planets stand, seen from Cerro Pachón.

Computed with ERFA alone: no downloaded ephemeris, and a thousand times faster than
coordinate objects. Good to about 0.01 deg, far better than the scheduler needs.
UT1-UTC, polar motion and refraction are left out (each below 20 arcsec).
"""

from dataclasses import dataclass

import erfa
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LATITUDE_RAD",
    "PLANETS",
    "HorizonFrame",
    "SkyPosition",
    "horizon_frame",
    "moon_position",
    "planet_radec",
    "sun_position",
]

# rubin_scheduler.utils.Site("LSST"), from LSE-30
LATITUDE_RAD = float(np.radians(-30.244628))
_LONGITUDE_RAD = float(np.radians(-70.74941))
_HEIGHT_M = 2650.0

PLANETS = {"venus": 2, "mars": 4, "jupiter": 5, "saturn": 6}

_MJD_ZERO_JD = 2400000.5
# TAI-UTC has been 37 s since 2017; a later leap second moves the Moon by 0.5 arcsec
_TT_MINUS_UTC_DAYS = (37.0 + 32.184) / 86400.0
_AU_M = 149597870700.0
_LIGHT_AU_PER_DAY = 173.1446326847

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkyPosition:
    """Directions of one body, as seen from the site; all in rad, shape ``(n,)``.

    Right ascension and declination are GCRS, altitude and azimuth (north to east)
    without refraction.
    """

    ra_rad: _Floats
    dec_rad: _Floats
    alt_rad: _Floats
    az_rad: _Floats

    def separation_rad(self, other: "SkyPosition") -> _Floats:
        """Return the angle between two bodies, rad."""
        return np.asarray(
            erfa.seps(self.ra_rad, self.dec_rad, other.ra_rad, other.dec_rad)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonFrame:
    """The local horizon at a series of times.

    Attributes
    ----------
    mjd_utc
        Times, shape ``(n,)``.
    to_horizon
        Rotations from GCRS to (north, east, up) unit vectors, shape ``(n, 3, 3)``.
    observer_au
        Place of the observer in GCRS, au, shape ``(n, 3)``.
    """

    mjd_utc: _Floats
    to_horizon: _Floats
    observer_au: _Floats

    def alt_az_rad(self, k: int, directions: _Floats) -> tuple[_Floats, _Floats]:
        """Return altitude and azimuth of GCRS unit vectors ``(m, 3)`` at time k."""
        north, east, up = self.to_horizon[k] @ directions.T
        return np.arcsin(np.clip(up, -1, 1)), np.arctan2(east, north) % (2 * np.pi)

    def position(self, vectors: _Floats) -> SkyPosition:
        """Return where topocentric GCRS vectors ``(n, 3)``, one a time, point to."""
        length = np.linalg.norm(vectors, axis=-1, keepdims=True)
        unit = vectors / length
        north, east, up = np.einsum("nij,nj->in", self.to_horizon, unit)
        return SkyPosition(
            ra_rad=np.arctan2(unit[:, 1], unit[:, 0]) % (2 * np.pi),
            dec_rad=np.arcsin(np.clip(unit[:, 2], -1, 1)),
            alt_rad=np.arcsin(np.clip(up, -1, 1)),
            az_rad=np.arctan2(east, north) % (2 * np.pi),
        )


def horizon_frame(mjd_utc: _Floats) -> HorizonFrame:
    """Return the horizon of the site at given times (MJD, UTC)."""
    to_date = erfa.pnm00b(_MJD_ZERO_JD, mjd_utc + _TT_MINUS_UTC_DAYS)
    sidereal_rad = erfa.gst00b(_MJD_ZERO_JD, mjd_utc)

    meridian = _rotation_about_pole(sidereal_rad + _LONGITUDE_RAD)
    sin_lat, cos_lat = np.sin(LATITUDE_RAD), np.cos(LATITUDE_RAD)
    tilt = np.array([[-sin_lat, 0, cos_lat], [0, 1, 0], [cos_lat, 0, sin_lat]])

    place_m = erfa.gd2gc(1, _LONGITUDE_RAD, LATITUDE_RAD, _HEIGHT_M)
    turned = np.einsum("nji,j->ni", _rotation_about_pole(sidereal_rad), place_m)
    return HorizonFrame(
        mjd_utc=mjd_utc,
        to_horizon=tilt @ meridian @ to_date,
        observer_au=np.einsum("nji,nj->ni", to_date, turned) / _AU_M,
    )


def sun_position(frame: HorizonFrame) -> SkyPosition:
    """Return the apparent Sun (with annual aberration)."""
    heliocentric, barycentric = _earth(frame.mjd_utc)
    towards = -heliocentric["p"] - frame.observer_au
    unit = towards / np.linalg.norm(towards, axis=-1, keepdims=True)
    return frame.position(unit + barycentric["v"] / _LIGHT_AU_PER_DAY)


def moon_position(frame: HorizonFrame) -> SkyPosition:
    """Return the Moon as seen from the site: its parallax is up to a degree."""
    geocentric = erfa.moon98(_MJD_ZERO_JD, frame.mjd_utc + _TT_MINUS_UTC_DAYS)
    return frame.position(geocentric["p"] - frame.observer_au)


def planet_radec(name: str, mjd_utc: _Floats) -> tuple[_Floats, _Floats]:
    """Return right ascension and declination (rad, GCRS) of one of `PLANETS`.

    Geocentric; light travel time is left out (at most 0.02 deg for Venus).
    """
    heliocentric = erfa.plan94(
        _MJD_ZERO_JD, mjd_utc + _TT_MINUS_UTC_DAYS, PLANETS[name]
    )
    x, y, z = (heliocentric["p"] - _earth(mjd_utc)[0]["p"]).T
    return np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))


def _earth(mjd_utc: _Floats) -> tuple[NDArray[np.void], NDArray[np.void]]:
    heliocentric, barycentric = erfa.epv00(_MJD_ZERO_JD, mjd_utc + _TT_MINUS_UTC_DAYS)
    return heliocentric, barycentric


def _rotation_about_pole(angle_rad: _Floats) -> _Floats:
    """Return matrices that turn the frame by an angle about its third axis."""
    sin, cos = np.sin(angle_rad), np.cos(angle_rad)
    matrix = np.zeros((angle_rad.size, 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = cos
    matrix[:, 0, 1], matrix[:, 1, 0] = sin, -sin
    matrix[:, 2, 2] = 1
    return matrix
