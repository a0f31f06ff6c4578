"""How many rows a run reads and writes: the analytic model of the load.

Visits are spread over a number of fields of view, at random or in turn; each detects
its variable sources and adds noise sources at new places. With the survey's numbers
the totals are those of the published runs to 1 % (DMTN-113 and its timing files).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.sky.geometry import FOV_OPEN_ANGLE_RAD
from l1db_pipeline.sources.dia import N_FALSE_POSITIVES, N_TRANSIENTS

__all__ = ["FIELDS_PER_HEMISPHERE", "LoadModel", "TotalRows", "VisitRows"]

FIELDS_PER_HEMISPHERE = 2 / (FOV_OPEN_ANGLE_RAD / 2) ** 2
"""2,143.9 fields of view of 3.5 deg, their area taken flat."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitRows:
    """Mean numbers of rows of one visit or several."""

    sources: _Floats
    """DIASources stored."""
    objects: _Floats
    """DIAObject versions stored; equally many DIAForcedSources."""
    known_objects: _Floats
    """DIAObjects in the field before the visit."""
    sources_read: _Floats
    forced_sources_read: _Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class TotalRows:
    """Mean numbers of rows in the tables after a number of visits."""

    dia_source: float
    dia_object: float
    dia_forced_source: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadModel:
    """The quantities that a run's load depends on; defaults are the published runs'.

    Raises
    ------
    ValueError
        If a quantity is out of range.
    """

    n_fields: float = FIELDS_PER_HEMISPHERE
    """Fields of view that the visits are spread over."""
    n_variables: float = 10_000
    """Variable sources in a field; 9,935 allows for fields across the equator."""
    n_noise: float = N_TRANSIENTS + N_FALSE_POSITIVES
    """New places detected in each visit."""
    forced_visits: float = 24_000
    """Visits in the 30 days for which an undetected object is measured."""
    history_visits: float = math.inf
    """Visits in the window of the history that is read."""
    area_factor: float = 1.0
    """Area read over the field's: 1.27 for 5x5 tiles, 1.14 for 15x15."""
    detection_probability: float = 1.0
    """Of variable sources; noise is never detected again."""
    in_turn: bool = False
    """Fields are visited in turn, and again exactly; else at random places."""

    def __post_init__(self) -> None:
        if self.in_turn and self.n_fields != round(self.n_fields):
            raise ValueError(f"cannot visit {self.n_fields} fields in turn")
        if self.n_fields <= 0 or self.area_factor < 1:
            raise ValueError(
                f"need a field and a factor of at least 1, "
                f"not {self.n_fields} and {self.area_factor}"
            )
        if min(self.n_variables, self.n_noise, self.forced_visits) < 0:
            raise ValueError("numbers of sources and visits cannot be negative")
        if not 0 <= self.detection_probability <= 1:
            raise ValueError(
                f"detection probability must be within 0..1, "
                f"not {self.detection_probability}"
            )

    @property
    def n_sources(self) -> float:
        """Mean number of sources of a visit."""
        return self.detection_probability * self.n_variables + self.n_noise

    def visits(self, numbers: NDArray[np.integer] | int) -> VisitRows:
        """Return the rows of single visits, the first of a run is number 1.

        Raises
        ------
        ValueError
            If a number is below 1.
        """
        number = np.atleast_1d(np.asarray(numbers, dtype=np.int64))
        if number.size and number.min() < 1:
            raise ValueError(f"visits are numbered from 1, not {number.min()}")
        before = number - 1
        objects = self._objects(before, self.area_factor)
        known = self.n_variables * self._seen(before) + self.n_noise * self._times(
            before
        )
        return VisitRows(
            sources=np.full(len(number), self.n_sources),
            objects=objects,
            known_objects=known,
            sources_read=self.n_sources
            * self._times(np.minimum(before, self.history_visits)),
            forced_sources_read=self._forced_sources_read(before),
        )

    def totals(self, n_visits: int) -> TotalRows:
        """Return the rows in the tables after so many visits.

        Raises
        ------
        ValueError
            If the number is negative.
        """
        if n_visits < 0:
            raise ValueError(f"number of visits cannot be {n_visits}")
        n_objects = float(self._objects(np.arange(n_visits), self.area_factor).sum())
        return TotalRows(
            dia_source=self.n_sources * n_visits,
            dia_object=n_objects,
            dia_forced_source=n_objects,
        )

    def _objects(self, before: NDArray[np.int64], area_factor: float) -> _Floats:
        """Return object versions of a visit: detected ones, then undetected ones."""
        recent = np.minimum(before, self.forced_visits)
        noise = self.n_noise * area_factor * self._times(recent)
        undetected = (1 - self.detection_probability) * self.n_variables
        return np.asarray(self.n_sources + noise + undetected * self._seen(recent))

    def _times(self, visits: NDArray[np.number]) -> _Floats:
        """Return how often so many visits came to a place."""
        times = visits / self.n_fields
        return np.asarray(np.floor(times) if self.in_turn else times, dtype=np.float64)

    def _seen(self, visits: NDArray[np.number]) -> _Floats:
        """Return the share of variable sources that so many visits detected."""
        if not self.in_turn:
            return -np.expm1(-self.detection_probability * self._times(visits))
        return 1 - (1 - self.detection_probability) ** self._times(visits)

    def _forced_sources_read(self, before: NDArray[np.int64]) -> _Floats:
        """Return the forced sources that earlier visits stored at a place."""
        # visits to one place: every n_fields-th, or that share of all
        step = round(self.n_fields) if self.in_turn else 1
        share = 1.0 if self.in_turn else 1 / self.n_fields
        last = int(before.max(initial=0))
        sums = np.zeros(last + step)  # over the earlier visits to the same place
        for start in range(step):
            stored = self._objects(np.arange(start, last, step), area_factor=1.0)
            sums[start + step :: step][: len(stored)] = np.cumsum(stored)
        window = np.minimum(before, self.history_visits).astype(np.int64)
        first = before - window // step * step
        return np.asarray((sums[before] - sums[first]) * share)
