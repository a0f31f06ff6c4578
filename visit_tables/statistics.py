"""Statistics of columns of visits for each night, vectorised, without pandas."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from visit_tables.columns import Batch, UnsupportedColumnError
from visit_tables.day_obs import date_of_mjd, night_mjds

__all__ = ["CIRCULAR_SUFFIX", "STATISTICS", "NightStatistics", "night_statistics"]

CIRCULAR_SUFFIX = "_circular"
STATISTICS = ("count", "mean", "std", "min", "p05", "q1", "median", "q3", "p95", "max")
"""Names of the statistics, in the order of the archive's table."""

_QUANTILES = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


@dataclass(frozen=True, kw_only=True, slots=True)
class NightStatistics:
    """Statistics of one column of visits.

    They are of one night, or of all nights through it if ``accumulated``. The unit
    is the column's. ``std`` is of a sample (N - 1): NaN for one visit; quantiles
    are interpolated linearly. All but ``count`` are NaN where no value is finite.
    """

    day_obs: date
    value_name: str
    accumulated: bool
    count: int
    mean: float
    std: float
    min: float
    p05: float
    q1: float
    median: float
    q3: float
    p95: float
    max: float


def night_statistics(
    visits: Batch,
    columns: Sequence[str] = ("altitude", "azimuth"),
    *,
    accumulated: bool = False,
    circular: Collection[str] = (),
) -> list[NightStatistics]:
    """Compute statistics for each night that has visits.

    Parameters
    ----------
    visits
        Visits with a time or a night, in any order.
    columns
        Numeric columns to describe; missing and infinite values are left out.
    accumulated
        Whether each row describes all nights through its own, not its own alone.
    circular
        Columns of angles in degrees to describe once more, as ``<name>_circular``:
        mean and standard deviation are those of directions, and the quantiles are of
        the angles within 180 degrees of the mean, so they may be below 0 or above 360.

    Returns
    -------
    statistics
        By night, then in the order of `columns`.

    Raises
    ------
    UnsupportedColumnError
        If a column is absent or not numeric, or the night cannot be determined.

    References
    ----------
    Mardia and Jupp (2000), Directional Statistics, sections 2.2 and 2.3.
    """
    nights = night_mjds(visits)
    days, group = np.unique(nights, return_inverse=True)
    tables: list[tuple[str, NDArray[np.float64]]] = []
    for name in [*columns, *(name for name in circular if name not in columns)]:
        values = _numeric(visits, name)
        if name in columns:
            summarize = _accumulated if accumulated else _nightly
            tables.append((name, summarize(values, group, len(days))))
        if name in circular:
            table = _circular(values, group, len(days), is_accumulated=accumulated)
            tables.append((name + CIRCULAR_SUFFIX, table))
    return [
        _statistics(int(day), name, table[row], accumulated=accumulated)
        for row, day in enumerate(days)
        for name, table in tables
    ]


def _numeric(visits: Batch, name: str) -> NDArray[np.float64]:
    if name not in visits:
        raise UnsupportedColumnError(name, "is not among the visits")
    if visits[name].dtype.kind not in "iufb":
        raise UnsupportedColumnError(name, "is not numeric")
    values = visits[name].astype(np.float64)
    values[np.isinf(values)] = np.nan  # log10(0) is -inf
    return values


def _statistics(
    day: int, name: str, row: NDArray[np.float64], *, accumulated: bool
) -> NightStatistics:
    count, *others = row.tolist()
    return NightStatistics(
        day_obs=date_of_mjd(day),
        value_name=name,
        accumulated=accumulated,
        count=int(count),
        **dict(zip(STATISTICS[1:], others, strict=True)),
    )


def _nightly(
    values: NDArray[np.float64], group: NDArray[np.intp], n_groups: int
) -> NDArray[np.float64]:
    """Return one row of `STATISTICS` for each group."""
    finite = ~np.isnan(values)
    values, group = values[finite], group[finite]
    counts = np.bincount(group, minlength=n_groups)
    filled = np.flatnonzero(counts)
    ordered = values[np.lexsort((values, group))]
    starts = (np.cumsum(counts) - counts)[filled]
    table = np.full((n_groups, len(STATISTICS)), np.nan)
    table[:, 0] = counts
    if not len(filled):
        return table
    n = counts[filled]
    means = np.add.reduceat(ordered, starts) / n
    table[filled, 1] = means
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = np.add.reduceat((ordered - np.repeat(means, n)) ** 2, starts)
        table[filled, 2] = np.where(n > 1, np.sqrt(squares / (n - 1)), np.nan)
    table[filled, 3] = ordered[starts]
    table[filled, 4:9] = _quantiles(ordered, starts, n)
    table[filled, 9] = ordered[starts + n - 1]
    return table


def _quantiles(
    ordered: NDArray[np.float64], starts: NDArray[np.intp], n: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return quantiles of runs of a sorted array, interpolated as numpy does."""
    position = _QUANTILES * (n[:, None] - 1)
    below = np.floor(position).astype(np.intp)
    above = np.minimum(below + 1, n[:, None] - 1)
    weight = position - below
    low = ordered[starts[:, None] + below]
    high = ordered[starts[:, None] + above]
    step = high - low
    found: NDArray[np.float64] = np.where(
        weight < 0.5, low + step * weight, high - step * (1 - weight)
    )
    return found


def _accumulated(
    values: NDArray[np.float64], group: NDArray[np.intp], n_groups: int
) -> NDArray[np.float64]:
    """Return one row of `STATISTICS` for all groups through each one."""
    table = np.full((n_groups, len(STATISTICS)), np.nan)
    ordered = np.empty(0)
    count, mean, squares = 0, 0.0, 0.0
    for row, new in enumerate(_runs(values, group, n_groups)):
        if len(new):
            # merging nights keeps the precision that sums of squares would lose
            total = count + len(new)
            shift = new.mean() - mean
            squares += ((new - new.mean()) ** 2).sum()
            squares += shift**2 * count * len(new) / total
            mean += shift * len(new) / total
            count = total
            ordered = np.insert(ordered, np.searchsorted(ordered, new), new)
        table[row, 0] = count
        if count:
            table[row, 1] = mean
            table[row, 2] = np.sqrt(squares / (count - 1)) if count > 1 else np.nan
            table[row, 3] = ordered[0]
            table[row, 4:9] = _quantiles(ordered, np.array([0]), np.array([count]))[0]
            table[row, 9] = ordered[-1]
    return table


def _runs(
    values: NDArray[np.float64], group: NDArray[np.intp], n_groups: int
) -> Iterator[NDArray[np.float64]]:
    """Yield the sorted finite values of each group."""
    finite = ~np.isnan(values)
    values, group = values[finite], group[finite]
    ordered = values[np.lexsort((values, group))]
    ends = np.cumsum(np.bincount(group, minlength=n_groups))
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        yield ordered[start:end]


def _circular(
    degrees: NDArray[np.float64],
    group: NDArray[np.intp],
    n_groups: int,
    *,
    is_accumulated: bool,
) -> NDArray[np.float64]:
    """Return rows of `STATISTICS` of directions."""
    rows = []
    for row in range(n_groups):
        chosen = degrees[group <= row if is_accumulated else group == row]
        radians = np.radians(chosen[~np.isnan(chosen)])
        if not len(radians):
            rows.append(np.array([0.0] + [np.nan] * (len(STATISTICS) - 1)))
            continue
        vector = np.exp(1j * radians).mean()
        mean = np.degrees(np.angle(vector)) % 360 % 360  # -1e-15 % 360 is 360
        near = mean + (np.degrees(radians) - mean + 180) % 360 - 180
        summary = _nightly(near, np.zeros(len(near), dtype=np.intp), 1)[0]
        length = min(np.abs(vector), 1.0)
        spread = np.degrees(np.sqrt(-2 * np.log(length))) if length else np.inf
        summary[1:3] = mean, spread if len(near) > 1 else np.nan
        rows.append(summary)
    return np.array(rows).reshape(n_groups, len(STATISTICS))
