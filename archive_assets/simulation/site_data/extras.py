"""The files that rubin_scheduler reads whatever the night: dust, fields, camera."""

from itertools import combinations
from pathlib import Path

import healpy as hp
import numpy as np
from numpy.typing import NDArray

from archive_assets.simulation.site_data.sky import dark_sky_maps

__all__ = ["write_extras"]

_DUST_NSIDES = (8, 16, 32, 64)
_DUST_AT_POLE_MAG = 0.035
_FIELD_OF_VIEW_RADIUS_DEG = 1.75
_FIELD_FREQUENCY = 23  # 10 * 23**2 + 2 = 5292 field centres
# IAU 1958 pole of the Galaxy, ICRS
_GALACTIC_POLE_RADEC_DEG = (192.85948, 27.12825)
# stands in for the outline of the Euclid survey: a patch north of the southern sky
_EUCLID_OUTLINE_DEG = ((20, 2), (60, 2), (60, 6), (20, 6), (20, 2))


def write_extras(folder: Path) -> None:
    """Write every file that does not depend on the night into a folder."""
    for name in ("scheduler/dust_maps", "site_models", "skybrightness_pre", "utils"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    np.savez(folder / "skybrightness_pre" / "dark_maps.npz", dark_maps=dark_sky_maps())
    for nside in _DUST_NSIDES:
        np.savez(
            folder / "scheduler" / "dust_maps" / f"dust_nside_{nside}.npz",
            ebvMap=_dust_map(nside),
        )
    np.savetxt(
        folder / "scheduler" / "EWS.SGC.Mainland.ROI.2022.RADEC.txt",
        np.array(_EUCLID_OUTLINE_DEG),
        fmt="%g",
    )
    np.savetxt(
        folder / "site_models" / "icover.3.5292.23.0.txt", field_centres().ravel()
    )
    axis_deg = np.arange(-2.1, 2.1, 0.01)
    inside = np.hypot(*np.meshgrid(axis_deg, axis_deg)) < _FIELD_OF_VIEW_RADIUS_DEG
    np.savez(folder / "utils" / "fov_map.npz", x=axis_deg, image=inside)
    parts = ("scheduler", "site_models", "skybrightness_pre", "utils")
    (folder / "versions.txt").write_text(
        "".join(f"{part},{part}_synthetic\n" for part in parts)
    )


def _dust_map(nside: int) -> NDArray[np.float64]:
    """Return E(B-V), mag, of a plane-parallel layer of dust."""
    directions = np.stack(hp.pix2vec(nside, np.arange(hp.nside2npix(nside))), axis=1)
    sine = np.abs(directions @ hp.ang2vec(*_GALACTIC_POLE_RADEC_DEG, lonlat=True))
    return np.asarray(_DUST_AT_POLE_MAG / np.maximum(sine, np.sin(np.radians(0.6))))


def field_centres(frequency: int = _FIELD_FREQUENCY) -> NDArray[np.float64]:
    """Return unit vectors of a class-I geodesic grid on the icosahedron.

    Parameters
    ----------
    frequency
        Into how many parts each edge is divided.

    Returns
    -------
    vectors
        Shape ``(10 * frequency**2 + 2, 3)``.
    """
    golden = (1 + 5**0.5) / 2
    corners = np.array([(0, a, b * golden) for a in (1, -1) for b in (1, -1)])
    corners = np.concatenate([np.roll(corners, k, axis=1) for k in range(3)])
    corners /= np.hypot(1, golden)
    apart = np.linalg.norm(corners[:, np.newaxis] - corners, axis=-1)
    joined = np.isclose(apart, apart[apart > 0].min())
    steps = [
        (i, j, frequency - i - j)
        for i in range(frequency + 1)
        for j in range(frequency + 1 - i)
    ]
    points = np.concatenate(
        [
            np.array(steps) @ corners[list(face)]
            for face in combinations(range(12), 3)
            if all(joined[pair] for pair in combinations(face, 2))
        ]
    )
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    _, first = np.unique(np.round(points, 8), axis=0, return_index=True)
    return np.asarray(points[first])
