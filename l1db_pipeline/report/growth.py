"""How a quantity grows with the visits: bins, straight lines, shares."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Bin", "Line", "bins", "fit_line", "share_over", "without_row_counts"]

_STEPS = (1, 2, 5)
_MIN_VISITS_TO_DROP = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line, ``intercept + slope_per_1000 * visit / 1000``."""

    intercept: float
    slope_per_1000: float

    def at(self, visit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the line's values at visit numbers."""
        return self.intercept + self.slope_per_1000 * visit / 1000


@dataclass(frozen=True, slots=True)
class Bin:
    """Visits of a range and what was measured in them."""

    first: float
    last: float
    measured: NDArray[np.float64]

    @property
    def centre(self) -> float:
        """Middle of the range."""
        return (self.first + self.last) / 2


def bins(
    visit: "pd.Series[float]", values: "pd.Series[float]", *, n_most: int = 20
) -> list[Bin]:
    """Cut visits into at most ``n_most`` bins of a round width, empty ones left out.

    Values that are NaN do not count.
    """
    good = values.notna().to_numpy()
    x, y = visit.to_numpy(float)[good], values.to_numpy(float)[good]
    if not len(x):
        return []
    width = _round_width((x.max() - x.min() + 1) / n_most)
    number = np.floor((x - x.min()) / width).astype(np.int64)
    starts = x.min() + width * np.arange(number.max() + 1)
    return [
        Bin(starts[i], starts[i] + width - 1, y[number == i])
        for i in range(number.max() + 1)
        if (number == i).any()
    ]


def fit_line(visit: "pd.Series[float]", values: "pd.Series[float]") -> Line | None:
    """Fit a straight line by least squares; `None` for fewer than three points."""
    good = values.notna().to_numpy()
    x, y = visit.to_numpy(float)[good], values.to_numpy(float)[good]
    if len(x) < 3 or np.ptp(x) == 0:
        return None
    slope, intercept = np.polyfit(x / 1000, y, 1)
    return Line(float(intercept), float(slope))


def share_over(
    visit: "pd.Series[float]", values: "pd.Series[float]", threshold: float
) -> list[tuple[float, float]]:
    """Return, for each bin, its centre and the share of visits over a threshold."""
    return [
        (found.centre, float(np.mean(found.measured > threshold)))
        for found in bins(visit, values)
    ]


def without_row_counts(visits: pd.DataFrame) -> pd.DataFrame:
    """Return the visits that did no COUNT(*), which is slow and not the visit's own.

    Short runs, and runs that count in every visit, are returned whole.
    """
    kept = visits[visits["src_count"].isna()]
    return kept if len(kept) >= _MIN_VISITS_TO_DROP else visits


def _round_width(width: float) -> float:
    if width <= 1:
        return 1
    power = 10 ** np.floor(np.log10(width))
    return float(next(s * power for s in (*_STEPS, 10) if s * power >= width))
