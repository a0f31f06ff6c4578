"""Whether a run is as it should be: rows as the load model says, visits in time."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.report.load_model import LoadModel, TotalRows

__all__ = ["GrowthRange", "growth_ranges", "rows_outside", "slow_visits"]

_TOLERANCE = 0.1
_N_SIGMA = 6.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GrowthRange:
    """Rows of a table that a number of visits may leave."""

    table: str
    low: float
    high: float

    def holds(self, n_rows: int) -> bool:
        """Tell whether a number of rows is within the range."""
        return self.low <= n_rows <= self.high


def growth_ranges(
    n_visits: int, *, n_variables: float, n_noise: float
) -> list[GrowthRange]:
    """Return the rows that visits may leave, whatever fields they look at.

    Parameters
    ----------
    n_visits
        Visits stored.
    n_variables, n_noise
        Mean variable sources in a field, and noise sources in a visit.

    Notes
    -----
    Fewest rows come from visits that never return to a field, most from visits to
    one field alone; `_TOLERANCE` and six standard deviations of a Poisson number
    are added on both sides.
    """
    apart = LoadModel(n_fields=1e9, n_variables=n_variables, n_noise=n_noise)
    same = LoadModel(n_fields=1, n_variables=n_variables, n_noise=n_noise, in_turn=True)
    fewest, most = apart.totals(n_visits), same.totals(n_visits)
    return [
        _range(table, _of(fewest, table), _of(most, table))
        for table in ("DiaSource", "DiaObject", "DiaForcedSource")
    ]


def _of(totals: TotalRows, table: str) -> float:
    return {
        "DiaSource": totals.dia_source,
        "DiaObject": totals.dia_object,
        "DiaForcedSource": totals.dia_forced_source,
    }[table]


def _range(table: str, low: float, high: float) -> GrowthRange:
    return GrowthRange(
        table=table,
        low=low * (1 - _TOLERANCE) - _N_SIGMA * float(np.sqrt(low)),
        high=high * (1 + _TOLERANCE) + _N_SIGMA * float(np.sqrt(high)),
    )


def rows_outside(ranges: list[GrowthRange], n_rows: Mapping[str, int]) -> list[str]:
    """Return what lies outside its range, for people."""
    return [
        f"{found.table} has {n_rows[found.table]:,} rows, expected "
        f"{max(found.low, 0):,.0f} to {found.high:,.0f}"
        for found in ranges
        if not found.holds(n_rows[found.table])
    ]


def slow_visits(seconds: NDArray[np.float64], most_seconds: float) -> list[str]:
    """Return what is said if more than a tenth of visits takes too long."""
    if not len(seconds):
        return []
    slowest_tenth = float(np.nanquantile(seconds, 0.9))
    if slowest_tenth <= most_seconds:
        return []
    return [
        f"one visit in ten takes {slowest_tenth:.1f} s or more, over {most_seconds:g} s"
    ]
