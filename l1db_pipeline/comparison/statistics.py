"""What measured costs allow to say: ratios, growth, crossings, with intervals.

Intervals are of 95 %, by a bootstrap of blocks of consecutive visits, because the costs
of neighbours are alike. Two candidates are drawn together: what the machine did to a
visit of one it did to that of the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Crossing", "Estimate", "Growth", "crossing", "growth", "ratio"]

Floats = NDArray[np.float64]

_N_DRAWS, _MIN_DRAWS = 2000, 400
_MOST_PLACES = 5_000_000
_SEED = 20180301
_QUANTILES = (0.025, 0.975)
_INDIFFERENT = 0.02
"""Two per cent are nobody's reason to choose a schema, however well measured."""
_MIN_POINTS = 6
_FIRST_RETURN = 2
"""Depth of a field's second visit: the first one finds nothing to read."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its interval of 95 %."""

    value: float
    low: float
    high: float

    @property
    def is_above_one(self) -> bool:
        """Whether a ratio is of two that differ, the first being larger."""
        return self.low > 1 and self.value > 1 + _INDIFFERENT

    @property
    def is_below_one(self) -> bool:
        """Whether a ratio is of two that differ, the first being smaller."""
        return self.high < 1 and self.value < 1 / (1 + _INDIFFERENT)


@dataclass(frozen=True, slots=True)
class Growth:
    """How a cost grows with depth: the better of two curves of two numbers.

    The curves are ``start + slope * depth`` and ``start + slope * log(depth)``.
    """

    is_linear: bool
    start: float
    slope: float
    at_a_year: Estimate
    """Cost at the depth of a year; the interval spans those of both curves, for the
    measured visits do not tell them apart that far out."""

    def at(self, depth: Floats) -> Floats:
        """Return the curve at some depths."""
        x = depth if self.is_linear else np.log(depth)
        return self.start + self.slope * x

    @property
    def formula(self) -> str:
        """The curve in words."""
        x = "depth" if self.is_linear else "log(depth)"
        sign = "+" if self.slope >= 0 else "-"
        return f"{self.start:.3g} {sign} {abs(self.slope):.3g} {x}"


@dataclass(frozen=True, slots=True)
class Crossing:
    """From which depth on the first of two candidates costs less."""

    depth: int
    """First depth from which on it certainly does."""
    is_measured: bool
    """Whether the visits got that deep; else both curves were prolonged."""

    @property
    def is_from_the_first(self) -> bool:
        """Whether it does so at every depth at which a visit reads anything."""
        return self.depth <= _FIRST_RETURN


def ratio(first: Floats, second: Floats) -> Estimate:
    """Return the ratio of the mean costs of two candidates.

    Parameters
    ----------
    first, second
        Of the same visits, shape ``(repeat, visit)``.
    """
    draws = _draws(first.shape)
    rows = np.arange(first.shape[0])[:, None]
    means = [cost[rows, draws].mean(axis=(1, 2)) for cost in (first, second)]
    low, high = np.quantile(means[0] / means[1], _QUANTILES)
    return Estimate(float(first.mean() / second.mean()), float(low), float(high))


def growth(depth: NDArray[np.int64], costs: Floats, *, year: float) -> Growth | None:
    """Fit how a cost grows; `None` if too few visits returned to a field.

    Parameters
    ----------
    depth
        Of each visit.
    costs
        Shape ``(repeat, visit)``.
    year
        Depth to extrapolate to.
    """
    fits = _fits(depth, costs)
    if fits is None:
        return None
    best = min(fits, key=lambda fit: fit.residual)
    ends = [np.quantile(fit.lines_at(year), _QUANTILES) for fit in fits]
    value = best.start + best.slope * float(best.scale(np.float64(year)))
    low = min(value, *(float(low) for low, _ in ends))
    high = max(value, *(float(high) for _, high in ends))
    return Growth(
        is_linear=best.is_linear,
        start=best.start,
        slope=best.slope,
        at_a_year=Estimate(max(0.0, value), max(0.0, low), high),
    )


def crossing(
    depth: NDArray[np.int64], first: Floats, second: Floats, *, year: float
) -> Crossing | None:
    """Return from which depth on the first candidate costs less than the second.

    Parameters
    ----------
    depth, year
        As in `growth`.
    first, second
        Costs of the same visits, shape ``(repeat, visit)``.

    Returns
    -------
    crossing
        `None` if it does not, or would not within a year.
    """
    fits = _fits(depth, first - second)
    if fits is None:
        return None
    best = min(fits, key=lambda fit: fit.residual)
    deepest = int(depth.max())
    every = np.arange(_FIRST_RETURN, max(deepest, int(year)) + 1)
    highest = np.array(
        [
            max(
                np.quantile(fit.lines_at(at), _QUANTILES[1])
                for fit in fits
                if fit is best or at > deepest
            )
            for at in every.tolist()
        ]
    )
    is_measured = bool(highest[deepest - _FIRST_RETURN] < 0)
    if not is_measured and highest[-1] >= 0:
        return None
    until = deepest - _FIRST_RETURN + 1 if is_measured else len(every)
    not_less = np.flatnonzero(highest[:until] >= 0)
    start = int(not_less[-1]) + 1 if len(not_less) else 0
    return Crossing(int(every[start]), is_measured=is_measured)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A curve, and those of the bootstrap."""

    is_linear: bool
    scale: Callable[..., Floats]
    start: float
    slope: float
    residual: float
    starts: Floats
    slopes: Floats

    def lines_at(self, depth: float) -> Floats:
        return self.starts + self.slopes * self.scale(np.float64(depth))


def _fits(depth: NDArray[np.int64], costs: Floats) -> list[_Fit] | None:
    again = depth >= _FIRST_RETURN
    x, y = depth[again].astype(np.float64), costs[:, again]
    if len(x) < _MIN_POINTS or len(np.unique(x)) < _MIN_POINTS // 2:
        return None
    draws = _draws(y.shape)
    rows = np.arange(y.shape[0])[:, None]
    drawn = y[rows, draws].reshape(len(draws), -1)
    fits = []
    for is_linear, scale in ((True, np.asarray), (False, np.log)):
        scaled = np.broadcast_to(scale(x), y.shape)
        starts, slopes = _lines(scaled[rows, draws].reshape(len(draws), -1), drawn)
        start, slope = _lines(scaled.reshape(1, -1), y.reshape(1, -1))
        residual = float(((y - start - slope * scaled) ** 2).sum())
        fits.append(
            _Fit(
                is_linear=is_linear,
                scale=scale,
                start=float(start[0]),
                slope=float(slope[0]),
                residual=residual,
                starts=starts,
                slopes=slopes,
            )
        )
    return fits


def _lines(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return starts and slopes of least-squares lines, one a row."""
    x_mean, y_mean = x.mean(axis=1), y.mean(axis=1)
    off = x - x_mean[:, None]
    spread = (off**2).sum(axis=1)
    slopes = np.divide(
        (off * y).sum(axis=1), spread, out=np.zeros_like(spread), where=spread > 0
    )
    return y_mean - slopes * x_mean, slopes


def _draws(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return places of visits, drawn as blocks: shape ``(draw, repeat, visit)``."""
    n_repeats, n = shape
    length = max(1, round(n**0.5))
    n_blocks = -(-n // length)
    n_draws = min(_N_DRAWS, max(_MIN_DRAWS, _MOST_PLACES // (n_repeats * n)))
    rng = np.random.default_rng(_SEED)
    starts = rng.integers(n, size=(n_draws, n_repeats, n_blocks))
    places = starts[..., None] + np.arange(length)
    return (places.reshape(n_draws, n_repeats, -1) % n)[..., :n]
