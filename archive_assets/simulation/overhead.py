"""Random overheads between the visits of a simulation."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnomalousOverheadFunc", "no_overlap"]


class _Distribution(Protocol):
    """A frozen or free distribution of scipy.stats."""

    def rvs(self, *, random_state: np.random.Generator, **kwargs: float) -> float:
        """Draw a value."""
        ...


class _Telescope(Protocol):
    """A `KinemModel`."""

    overhead: float


class _Observatory(Protocol):
    """A `ModelObservatory`."""

    observatory: _Telescope


class AnomalousOverheadFunc:
    """Random offsets of the overhead between visits, for ``sim_runner``.

    An offset has two parts: the slew time scaled by a normal deviate, never less
    than minus the slew time, and one draw of another distribution.

    Parameters
    ----------
    seed
        Seed of the random numbers.
    slew_scale, slew_loc
        Standard deviation and mean of the scaled part, as fractions of the slew time.
    visit_scale, visit_loc
        The same for the visit time. Only `visit_scale` 0 is implemented.
    min_overhead
        Least total overhead, s: shorter ones are made longer.
    scatter_distribution
        Distribution of the other part, s: the name of a method of
        `numpy.random.Generator`, or a distribution of `scipy.stats`. A half-normal
        one by default, with scale 0.
    scatter_kwargs
        Keyword arguments of the draw.
    """

    def __init__(  # noqa: PLR0917 - the original's signature
        self,
        seed: int,
        slew_scale: float = 0.0,
        visit_scale: float = 0.0,
        slew_loc: float = 0.0,
        visit_loc: float = 0.0,
        min_overhead: float = 0.0,
        scatter_distribution: "str | _Distribution | None" = None,
        scatter_kwargs: Mapping[str, float] | None = None,
    ) -> None:
        if visit_scale > 0:
            raise NotImplementedError("visit_scale above 0 is not implemented")
        self.rng = np.random.default_rng(seed)
        self.slew_scale = slew_scale
        self.slew_loc = slew_loc
        self.visit_scale = visit_scale
        self.visit_loc = visit_loc
        self.min_overhead = min_overhead
        self.scatter_distribution = scatter_distribution
        if scatter_kwargs is None:
            scatter_kwargs = (
                {"scale": 0.0, "loc": 0.0} if scatter_distribution is None else {}
            )
        self.scatter_kwargs = dict(scatter_kwargs)
        if isinstance(scatter_distribution, str):
            getattr(self.rng, scatter_distribution)  # AttributeError at once

    def __call__(
        self,
        visittime: float | None = None,
        slewtime: float | None = None,
        obs: NDArray[np.void] | Mapping[str, Any] | None = None,
    ) -> float:
        """Return the offset of one visit, s.

        Parameters
        ----------
        visittime, slewtime
            Deprecated: give `obs`.
        obs
            The visit, with ``slewtime``, ``visittime`` and ``exptime`` in s.
        """
        if visittime is not None or slewtime is not None:
            warnings.warn(
                "visittime and slewtime are deprecated, give obs",
                DeprecationWarning,
                stacklevel=2,
            )
        slew_s = _value(obs, "slewtime") if slewtime is None else slewtime
        visit_s = _value(obs, "visittime") if visittime is None else visittime
        offset_s = self._slew_offset(slew_s) + self._scatter()
        return self._at_least_the_minimum(
            offset_s, slew_s, visit_s, _value(obs, "exptime")
        )

    def _slew_offset(self, slew_s: float | None) -> float:
        if not (self.slew_scale > 0 or self.slew_loc > 0) or slew_s is None:
            return 0.0
        drawn = slew_s * self.rng.normal(self.slew_loc, self.slew_scale)
        return float(max(drawn, -slew_s))

    def _scatter(self) -> float:
        match self.scatter_distribution:
            case None:
                # scipy.stats.halfnorm: its import alone takes most of a second
                scale = self.scatter_kwargs.get("scale", 1.0)
                loc = self.scatter_kwargs.get("loc", 0.0)
                return float(loc + scale * abs(self.rng.standard_normal()))
            case str() as name:
                return float(getattr(self.rng, name)(**self.scatter_kwargs))
            case distribution:
                drawn = distribution.rvs(random_state=self.rng, **self.scatter_kwargs)
                return float(drawn)

    def _at_least_the_minimum(
        self,
        offset_s: float,
        slew_s: float | None,
        visit_s: float | None,
        exposure_s: float | None,
    ) -> float:
        if slew_s is None or visit_s is None or exposure_s is None:
            if self.min_overhead > 0:
                warnings.warn(
                    "the minimum overhead could not be verified: the visit does not "
                    "have slewtime, visittime and exptime",
                    UserWarning,
                    stacklevel=3,
                )
            return offset_s
        model_s = slew_s + visit_s - exposure_s
        return max(offset_s, self.min_overhead - model_s)


def no_overlap(
    overhead_func: AnomalousOverheadFunc | None, observatory: _Observatory
) -> Callable[..., float] | None:
    """Return a function whose offsets let no visit start before the last one ended.

    ``sim_runner`` adds an offset between a visit and the slew to the next one, whose
    length is not known yet. An offset that takes away more than the shortest slew is
    cut, and the rest is taken from the next offsets: their sum stays.

    Parameters
    ----------
    overhead_func
        Gives the offset of a visit, s; None gives None.
    observatory
        The `ModelObservatory` of the simulation; after a visit it knows the shortest
        time to the start of the next.
    """
    if overhead_func is None:
        return None
    owed_s = 0.0

    def offset(obs: NDArray[np.void] | Mapping[str, Any]) -> float:
        nonlocal owed_s
        wanted_s = overhead_func(obs=obs) + owed_s
        given_s = max(wanted_s, -float(observatory.observatory.overhead))
        owed_s = wanted_s - given_s
        return given_s

    return offset


def _value(obs: NDArray[np.void] | Mapping[str, Any] | None, name: str) -> float | None:
    """Return a field of a visit as a number; None if it is not there."""
    if obs is None:
        return None
    try:
        return float(np.asarray(obs[name]).item())
    except (KeyError, ValueError, IndexError):
        return None
