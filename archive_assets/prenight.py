"""Start and end of pre-night simulations, and the random overheads of some of them."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from archive_assets.simulation.errors import SimulationRangeError
from archive_assets.simulation.site_data.errors import SiteDataError
from archive_assets.simulation.site_data.files import (
    ALMANAC_FILE,
    day_obs_mjd,
    site_data_folder,
)

__all__ = [
    "AnomalousOverheadFunc",
    "compute_sim_start_and_end",
    "read_almanac",
    "run_prenight_sim_cli",
    "sim_start_and_duration",
]

_DAY_S = 86400.0


class _Distribution(Protocol):
    """A frozen or free distribution of scipy.stats."""

    def rvs(self, *, random_state: np.random.Generator, **kwargs: float) -> float:
        """Draw a value."""
        ...


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


def _value(obs: NDArray[np.void] | Mapping[str, Any] | None, name: str) -> float | None:
    """Return a field of a visit as a number; None if it is not there."""
    if obs is None:
        return None
    try:
        return float(np.asarray(obs[name]).item())
    except (KeyError, ValueError, IndexError):
        return None


def compute_sim_start_and_end(
    day_obs: int, sim_nights: int, delay: float = 0
) -> tuple[float, float]:
    """Return when a simulation starts and how long it lasts.

    It starts at the nautical twilight (Sun at -12 deg) of the first evening, and ends
    at the sunrise of the last night.

    Parameters
    ----------
    day_obs
        First night, as YYYYMMDD.
    sim_nights
        Number of nights.
    delay
        How much later it starts, minutes.

    Returns
    -------
    start_mjd
        Start, MJD UTC.
    duration
        Length, days.

    Raises
    ------
    SimulationRangeError
        If the almanac of ``$RUBIN_SIM_DATA_DIR`` does not have the nights, or the
        delay leaves fewer nights than asked for.
    """
    try:
        evening = date.fromisoformat(str(day_obs))
    except ValueError as error:
        raise SimulationRangeError(f"day_obs {day_obs} is not YYYYMMDD") from error
    sunsets = read_almanac(site_data_folder())
    return sim_start_and_duration(sunsets, evening, sim_nights, delay)


def read_almanac(site_data: Path) -> NDArray[np.void]:
    """Return the rows of the almanac, one a night.

    Raises
    ------
    SiteDataError
        If there is none that can be read.
    """
    try:
        with np.load(site_data / ALMANAC_FILE) as file:
            sunsets: NDArray[np.void] = file["almanac"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise SiteDataError(
            site_data,
            [f"{ALMANAC_FILE} cannot be read ({error})"],
            "Set RUBIN_SIM_DATA_DIR, or run: prenight site-data synthesize",
        ) from error
    return sunsets


def sim_start_and_duration(
    sunsets: NDArray[np.void], day_obs: date, sim_nights: int, delay_minutes: float = 0
) -> tuple[float, float]:
    """Return start (MJD UTC) and duration (days), from the rows of an almanac.

    See `compute_sim_start_and_end`, which reads the almanac.
    """
    if sim_nights < 1:
        raise SimulationRangeError(f"sim_nights must be at least 1, not {sim_nights}")
    noon = day_obs_mjd(day_obs)
    row = int(np.searchsorted(sunsets["sunset"], noon))
    if row == 0 or row + sim_nights > len(sunsets):
        raise SimulationRangeError(
            f"the almanac does not have the {sim_nights} nights from {day_obs}"
        )
    start_mjd = float(sunsets["sun_n12_setting"][row]) + delay_minutes * 60 / _DAY_S
    duration = float(sunsets["sunrise"][row + sim_nights - 1]) - start_mjd
    if np.ceil(duration) != sim_nights:
        raise SimulationRangeError(
            f"a delay of {delay_minutes:g} minutes leaves no part of one of the "
            f"{sim_nights} nights from {day_obs}"
        )
    return start_mjd, duration


def run_prenight_sim_cli(cli_args: Sequence[str] = ()) -> int:
    """Run the command ``run_prenight_sim`` and return 0.

    Parameters
    ----------
    cli_args
        Its arguments; those of the process if there are none.
    """
    from archive_assets.cli.run_prenight_sim import main  # noqa: PLC0415 - a cycle

    main(args=list(cli_args) or None, standalone_mode=False)
    return 0
