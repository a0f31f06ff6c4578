"""What makes the rows of a run: kept in its database, so that a resumed run agrees."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.errors import L1dbError
from l1db_pipeline.runs.kept_settings import keep_setting
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.sources.dia import N_FALSE_POSITIVES, N_TRANSIENTS, DiaModel
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.visit.process import MatchMode, VisitOptions

__all__ = [
    "NOISE_SETTING",
    "SETTING_NAMES",
    "RunSettings",
    "SettingsConflictError",
    "catalog_digest",
    "settle",
]

_PREFIX = "run."
_TOLD_AS = {
    "catalog_sha256": "sources of SHA-256",
    "match_radius_arcsec": "match radius",
    "astrometric_scatter_arcsec": "astrometric scatter",
    "n_noise": "transients",
}


class SettingsConflictError(L1dbError):
    """A run was to continue in another way than it began."""

    def __init__(self, name: str, stored: str, asked: str) -> None:
        super().__init__(name, stored, asked)
        self.name = name
        self.stored = stored
        self.asked = asked

    @override
    def __str__(self) -> str:
        name = _TOLD_AS.get(self.name, self.name.replace("_", " "))
        return (
            f"this database was created with {name}={self.stored}, but {self.asked} "
            f"was requested; omit the option to continue with {self.stored}, or use "
            "another database"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """Everything besides pointings and times that a run's rows depend on."""

    seed: int
    catalog_sha256: str
    """`catalog_digest` of the variable sources."""
    match: MatchMode = MatchMode.ID
    match_radius_arcsec: float = 1.0
    detection_probability: float = 1.0
    """Of a variable source in the field of view, in each visit."""
    astrometric_scatter_arcsec: float = 0.0
    """Standard deviation of a detected position in each direction."""
    n_noise: int = N_TRANSIENTS + N_FALSE_POSITIVES
    """Mean number of transients and false detections in a visit."""
    open_angle_deg: float = 3.5
    fill: bool = False
    """Measure fluxes and errors, and fill every column with plausible values."""

    @property
    def model(self) -> DiaModel:
        """What difference imaging is to simulate."""
        return DiaModel(
            n_noise=self.n_noise,
            open_angle_rad=math.radians(self.open_angle_deg),
            detection_probability=self.detection_probability,
            astrometric_scatter_arcsec=self.astrometric_scatter_arcsec,
            measure=self.fill,
        )

    def options(self, config: L1dbConfig, *, update: bool = True) -> VisitOptions:
        """Return what each visit is to do with a database of a configuration."""
        return VisitOptions(
            match=self.match,
            match_radius_arcsec=self.match_radius_arcsec,
            position_sigma_deg=self.astrometric_scatter_arcsec / 3600,
            fill=self.fill,
            read_sources_months=config.read_sources_months,
            read_forced_sources_months=config.read_forced_sources_months,
            update=update,
        )


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "seed": int,
    "catalog_sha256": str,
    "match": MatchMode,
    "match_radius_arcsec": float,
    "detection_probability": float,
    "astrometric_scatter_arcsec": float,
    "n_noise": int,
    "open_angle_deg": float,
    "fill": lambda text: text == "1",
}
NOISE_SETTING = _PREFIX + "n_noise"
SETTING_NAMES = tuple(_PREFIX + name for name in _PARSERS)
"""Names of the settings in the database."""


def settle(
    store: L1Store, asked: Mapping[str, object], *, keep: bool = True
) -> RunSettings:
    """Return the settings of a run, and keep them in its database.

    A setting is what was asked for, else what the database keeps, else the default.

    Parameters
    ----------
    store
        Database of the run.
    asked
        Fields of `RunSettings` to values; `None` where nothing was asked for. A
        first run needs ``seed`` and ``catalog_sha256``.
    keep
        False leaves the database as it is.

    Raises
    ------
    SettingsConflictError
        If another value is kept than is asked for.
    """
    defaults = {field.name: field.default for field in fields(RunSettings)}
    values: dict[str, Any] = {}
    for name, parse in _PARSERS.items():
        stored = store.get_setting(_PREFIX + name)
        value = asked.get(name)
        if value is None:
            value = defaults[name] if stored is None else parse(stored)
        elif stored is not None and stored != _as_text(value):
            raise SettingsConflictError(name, stored, _as_text(value))
        values[name] = value
    settings = RunSettings(**values)
    if not keep:
        return settings
    for name, value in values.items():
        kept = keep_setting(store, _PREFIX + name, _as_text(value))
        if kept != _as_text(value):  # another process began the run meanwhile
            raise SettingsConflictError(name, kept, _as_text(value))
    return settings


def catalog_digest(xyz: NDArray[np.float64]) -> str:
    """Return the SHA-256 of a catalog of unit vectors, in hexadecimal."""
    contiguous = np.ascontiguousarray(xyz, dtype="<f8")
    digest = hashlib.sha256(str(contiguous.shape).encode())
    digest.update(contiguous.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _as_text(value: object) -> str:
    if isinstance(value, MatchMode):
        return value.value
    return str(int(value)) if isinstance(value, bool) else str(value)
