"""What each visit of a run cost, and the slowest of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from l1db_pipeline.visit.process import VisitSummary

__all__ = ["SLOWEST_COLUMNS", "VisitCost", "slowest_rows"]

_WHOLE = "Visit"
_PARTS = ("Objects-read", "S2O-matching", "Source-read", "L1-store")
_MOST = 10
SLOWEST_COLUMNS = {
    "visit": "int",
    "seconds": "float",
    "CPU_seconds": "float",
    "rows": "int",
    "longest_step": "string",
    "step_seconds": "float",
}
"""Of `slowest_rows`, with their types."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitCost:
    """Time and rows of a visit that was stored; CPU is the client's."""

    visit_id: int
    wall_s: float
    cpu_s: float
    n_rows: int
    longest_step: str
    longest_s: float

    @classmethod
    def of(cls, summary: VisitSummary) -> Self | None:
        """Return the cost of a visit; `None` if it had been stored before."""
        steps = {timing.step: timing for timing in summary.steps}
        whole = steps.get(_WHOLE)
        if whole is None:
            return None
        seconds = {step: steps[step].real_s for step in _PARTS if step in steps}
        longest = max(seconds, key=seconds.__getitem__, default="")
        return cls(
            visit_id=summary.visit_id,
            wall_s=whole.real_s,
            cpu_s=whole.user_s + whole.sys_s,
            n_rows=2 * summary.n_objects + summary.n_sources,  # forced: as objects
            longest_step=longest,
            longest_s=seconds.get(longest, 0.0),
        )


def slowest_rows(
    costs: Iterable[VisitCost], n: int = _MOST
) -> list[dict[str, str | float]]:
    """Return the slowest visits, the slowest first, as rows of `SLOWEST_COLUMNS`."""
    slowest = sorted(costs, key=lambda cost: -cost.wall_s)[:n]
    return [
        {
            "visit": cost.visit_id,
            "seconds": round(cost.wall_s, 3),
            "CPU_seconds": round(cost.cpu_s, 3),
            "rows": cost.n_rows,
            "longest_step": cost.longest_step,
            "step_seconds": round(cost.longest_s, 3),
        }
        for cost in slowest
    ]
