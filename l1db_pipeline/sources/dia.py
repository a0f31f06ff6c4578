"""Difference image analysis, simulated: which sources a visit detects, and where.

The original's model: every variable source of the field, and a Poisson number of new
positions, uniform over the field, that stand for transients and false positives.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import ArrayLike, NDArray

from l1db_pipeline.catalog.ids import MAX_SOURCES_PER_VISIT
from l1db_pipeline.sky.geometry import (
    FOV_OPEN_ANGLE_RAD,
    rotate,
    rotation_matrix,
    unit_vector,
)
from l1db_pipeline.sources.generators import Seed, rand_cone_xyz
from l1db_pipeline.sources.source_file import SourceCatalog

__all__ = [
    "DIA",
    "N_FALSE_POSITIVES",
    "N_TRANSIENTS",
    "DiaModel",
    "SimulatedSources",
    "simulate_visit",
]

N_TRANSIENTS = 100
"""True transients in a visit, on average."""
N_FALSE_POSITIVES = 5050
"""False positives in a visit, on average."""
_ARCSEC_RAD = math.radians(1 / 3600)
_SEEING_SIGMA_ARCSEC = 0.8 / 2.355
_FLUX_ERROR_NMGY = 0.03  # five times that is 24.5 mag
_PIXEL_ARCSEC = 0.2
_CCD_PIXELS = 4000


class DIA:
    """Simulated difference image analysis of one pointing, the original's class.

    Parameters
    ----------
    xyz
        Unit vector of the pointing.
    open_angle
        Full opening angle of the field of view, radians.
    vars
        Unit vectors of all variable sources, shape ``(n, 3)``.
    n_trans
        Transients and false positives in a visit, on average.
    seed
        Same seed, same sources; the original has none.
    """

    def __init__(
        self,
        xyz: ArrayLike,
        open_angle: float,
        vars: NDArray[np.float64],  # noqa: A002 - the original's name
        n_trans: float,
        *,
        seed: Seed = None,
    ) -> None:
        self._pointing = unit_vector(xyz)
        self._open_angle = open_angle
        self._catalog = SourceCatalog(vars)
        self._n_trans = n_trans
        self._rng = np.random.default_rng(seed)

    def makeSources(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:  # noqa: N802
        """Return positions, shape ``(n, 3)``, and rows of ``vars``, -1 for noise."""
        rows, xyz = self._catalog.rows_in_cone(self._pointing, self._open_angle)
        noise = _noise(self._pointing, self._open_angle, self._n_trans, self._rng)
        return _joined(xyz, rows, noise)


@dataclass(frozen=True, kw_only=True, slots=True)
class DiaModel:
    """What a run's visits have in common.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    n_noise: float = N_TRANSIENTS + N_FALSE_POSITIVES
    """Transients and false positives in a visit, on average."""
    open_angle_rad: float = FOV_OPEN_ANGLE_RAD
    """Full opening angle of the field of view."""
    detection_probability: float = 1.0
    """Chance that a variable source is detected in a visit."""
    astrometric_scatter_arcsec: float = 0.0
    """Error of a variable source's position in each direction, a Gaussian's sigma."""
    measure: bool = False
    """Also give fluxes, errors and pixel positions that fit together."""

    def __post_init__(self) -> None:
        if not 0 <= self.n_noise < MAX_SOURCES_PER_VISIT:
            raise ValueError(f"number of noise sources out of range: {self.n_noise}")
        if not 0 < self.open_angle_rad <= 2 * math.pi:
            raise ValueError(
                f"opening angle must be within 0..2 pi rad, not {self.open_angle_rad}"
            )
        if not 0 <= self.detection_probability <= 1:
            raise ValueError(
                f"detection probability must be within 0..1, "
                f"not {self.detection_probability}"
            )
        if not 0 <= self.astrometric_scatter_arcsec < 3600:
            raise ValueError(
                f"astrometric scatter must be within 0..3600 arcsec, "
                f"not {self.astrometric_scatter_arcsec}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedSources:
    """The sources of a visit; a source's place in them numbers it."""

    xyz: NDArray[np.float64]
    """Unit vectors, ICRS, shape ``(n, 3)``."""
    catalog_rows: NDArray[np.int64]
    """Row of each in the catalog of variable sources, -1 for noise; noise is last."""
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    """DiaSource columns, with `DiaModel.measure`."""

    def __len__(self) -> int:
        return len(self.xyz)


def simulate_visit(
    catalog: SourceCatalog,
    pointing: ArrayLike,
    *,
    seed: int,
    visit_id: int,
    model: DiaModel | None = None,
) -> SimulatedSources:
    """Return what a visit detects: the same for the same arguments, anywhere.

    Each kind of random numbers has a stream of its own, so an option that draws more
    (scatter, measurements) leaves the rest of the visit as it was.

    Parameters
    ----------
    catalog
        Variable sources.
    pointing
        Unit vector of the field's centre, ICRS.
    seed
        The run's seed, not negative.
    visit_id
        The visit, not negative.
    model
        The original's by default.

    Raises
    ------
    ValueError
        If an argument is out of range, or the visit has more sources than ids.
    """
    model = model or DiaModel()
    axis = unit_vector(pointing)
    noise_rng, detection_rng, scatter_rng, flux_rng = (
        np.random.default_rng(SeedSequence([seed, visit_id], spawn_key=(stream,)))
        for stream in range(4)
    )
    rows, xyz = catalog.rows_in_cone(axis, model.open_angle_rad)
    if model.detection_probability < 1:
        seen = detection_rng.random(len(rows)) < model.detection_probability
        rows, xyz = rows[seen], xyz[seen]
    if model.astrometric_scatter_arcsec:
        xyz = _scattered(xyz, model.astrometric_scatter_arcsec, scatter_rng)
    noise = _noise(axis, model.open_angle_rad, model.n_noise, noise_rng)
    xyz, rows = _joined(xyz, rows, noise)
    if len(rows) > MAX_SOURCES_PER_VISIT:
        raise ValueError(
            f"visit {visit_id} has {len(rows)} sources, "
            f"there are ids for {MAX_SOURCES_PER_VISIT}"
        )
    columns = _measurements(xyz, rows, axis, model, flux_rng) if model.measure else {}
    return SimulatedSources(xyz=xyz, catalog_rows=rows, columns=columns)


def _noise(
    axis: NDArray[np.float64], open_angle_rad: float, mean: float, rng: Generator
) -> NDArray[np.float64]:
    return rand_cone_xyz(axis, open_angle_rad, int(rng.poisson(mean)), rng)


def _joined(
    xyz: NDArray[np.float64], rows: NDArray[np.int64], noise: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    no_rows = np.full(len(noise), -1, dtype=np.int64)
    return np.concatenate([xyz, noise]), np.concatenate([rows, no_rows])


def _scattered(
    xyz: NDArray[np.float64], sigma_arcsec: float, rng: Generator
) -> NDArray[np.float64]:
    """Displace directions; the part along the direction vanishes on normalising."""
    moved = xyz + sigma_arcsec * _ARCSEC_RAD * rng.standard_normal(xyz.shape)
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True))


def _measurements(
    xyz: NDArray[np.float64],
    rows: NDArray[np.int64],
    axis: NDArray[np.float64],
    model: DiaModel,
    rng: Generator,
) -> dict[str, NDArray[Any]]:
    """Draw a signal-to-noise ratio of 5 or more, from which the errors follow.

    Fluxes of differences have either sign; ratios are those of their sizes.
    """
    n = len(xyz)
    is_variable = rows >= 0
    snr = 5 + rng.exponential(np.where(is_variable, 20.0, 2.0))
    flux_error = _FLUX_ERROR_NMGY * np.exp(0.1 * rng.standard_normal((2, n)))
    sign = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    scatter = model.astrometric_scatter_arcsec
    sigma_arcsec = _SEEING_SIGMA_ARCSEC / snr
    if scatter:
        sigma_arcsec = np.full(n, scatter)
    pixels = _plane(xyz, axis) / (_ARCSEC_RAD * _PIXEL_ARCSEC) % _CCD_PIXELS
    correlation = rng.uniform(-0.3, 0.3, n)
    pixel_sigma = sigma_arcsec / _PIXEL_ARCSEC
    ps_flux = sign * snr * flux_error[1] * (1 + 0.02 * rng.standard_normal(n))
    doubles = {
        "raSigma": sigma_arcsec / 3600,
        "declSigma": sigma_arcsec / 3600,
        "ra_decl_Cov": correlation * (sigma_arcsec / 3600) ** 2,
        "x": pixels[0],
        "xSigma": pixel_sigma,
        "y": pixels[1],
        "ySigma": pixel_sigma,
        "x_y_Cov": correlation * pixel_sigma**2,
        "apFlux": sign * snr * flux_error[0],
        "apFluxErr": flux_error[0],
        "snr": snr,
        "psFlux": ps_flux,
        "psFluxSigma": flux_error[1],
        "spuriousness": np.where(is_variable, 0.0, rng.random(n)),
    }
    return {name: values.astype(np.float32) for name, values in doubles.items()}


def _plane(xyz: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coordinates, shape ``(2, n)``, on the plane that touches the field."""
    x, y, z = rotate(xyz, rotation_matrix([0.0, 0.0, 1.0], axis).T).T
    return np.asarray(np.stack([x, y]) / np.maximum(np.abs(z), 1e-3))
