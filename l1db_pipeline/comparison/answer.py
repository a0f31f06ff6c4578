"""The answer of a bake-off: who holds the same, who costs least, from when on."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.comparison.bakeoff import BakeOff, CandidateResult
from l1db_pipeline.comparison.statistics import (
    Crossing,
    Estimate,
    Growth,
    crossing,
    growth,
    ratio,
)
from l1db_pipeline.store.meter import IN_CLIENT

__all__ = ["YEAR_DEPTH", "Answer", "Row", "Spread"]

Floats = NDArray[np.float64]

YEAR_DEPTH = 140
"""Visits of a field in a year of history, as in the project's depth benchmark."""
_MIN_VISITS = 8
_MIN_LAST = 5
_LAST_SHARE = 4
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean, median and the middle half of what was measured."""

    mean: float
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> "Spread":
        """Return those of an array of any shape."""
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
        return cls(float(values.mean()), float(median), float(low), float(high))


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What is to be said of one candidate; costs are of the last visits."""

    name: str
    server: str
    cost: Spread
    """Seconds of what decides: CPU of client and server, or wall time."""
    client_s: float
    server_s: float
    wall_s: Spread
    log_bytes: float
    """A visit."""
    total_bytes: int
    to_best: Estimate | None
    """Ratio of the cost to that of the best; `None` of the best itself, or if there
    are too few visits for a verdict."""
    verdict: str
    growth: Growth | None
    year_bytes: float
    """All tables after a year of the same fields, if they continue to grow as in the
    second half of the visits."""
    wins_from: Crossing | None = None
    """From when on the best one costs less than this one."""


@dataclass(frozen=True)
class Answer:
    """What a bake-off says, in words and numbers."""

    bakeoff: BakeOff

    @cached_property
    def is_same(self) -> bool:
        """Whether all candidates hold the same science content."""
        return not self.bakeoff.differing

    @cached_property
    def is_cpu(self) -> bool:
        """Whether CPU decides: the server's must be known of every candidate."""
        costs = [result.costs.cpu_s for result in self.bakeoff.results]
        return not any(np.isnan(cost).any() for cost in costs)

    @property
    def unit(self) -> str:
        """What decides."""
        return "CPU" if self.is_cpu else "wall time"

    @property
    def depth(self) -> NDArray[np.int64]:
        """Depth of each visit."""
        return self.bakeoff.workload.depth

    @property
    def n_last(self) -> int:
        """How many visits at the end decide."""
        n = len(self.bakeoff.workload.visits)
        return min(n, max(_MIN_LAST, n // _LAST_SHARE))

    @property
    def is_decided(self) -> bool:
        """Whether there is a verdict on costs."""
        return self.is_same and len(self.bakeoff.workload.visits) >= _MIN_VISITS

    def costs(self, result: CandidateResult) -> Floats:
        """Return what decides, shape ``(repeat, visit)``, seconds."""
        return result.costs.cpu_s if self.is_cpu else result.costs.wall_s

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The candidates, the cheapest first."""
        last = slice(-self.n_last, None)
        order = sorted(
            self.bakeoff.results, key=lambda r: float(self.costs(r)[:, last].mean())
        )
        return tuple(self._row(result, order[0]) for result in order)

    def _row(self, result: CandidateResult, best: CandidateResult) -> Row:
        last = slice(-self.n_last, None)
        own, least = self.costs(result), self.costs(best)
        to_best = None
        if self.is_decided and result is not best:
            to_best = ratio(own[:, last], least[:, last])
        costs = result.costs
        return Row(
            name=result.candidate.name,
            server=result.server,
            cost=Spread.of(own[:, last]),
            client_s=float(costs.client_s[:, last].mean()),
            server_s=float(costs.server_s[:, last].mean()),
            wall_s=Spread.of(costs.wall_s[:, last]),
            log_bytes=float(costs.log_bytes[:, last].mean()),
            total_bytes=result.total_bytes,
            to_best=to_best,
            verdict=_verdict(to_best, is_decided=self.is_decided),
            growth=growth(self.depth, own, year=YEAR_DEPTH),
            year_bytes=self._year_bytes(result),
            wins_from=(
                crossing(self.depth, least, own, year=YEAR_DEPTH)
                if to_best is not None and to_best.is_above_one
                else None
            ),
        )

    def _year_bytes(self, result: CandidateResult) -> float:
        visits, sizes = np.array(result.sizes, dtype=np.float64).T
        half = len(visits) // 2
        n_year = YEAR_DEPTH * self.bakeoff.workload.n_fields
        if len(visits) - half < 2 or visits[-1] >= n_year:
            return float(sizes[-1])
        slope = np.polyfit(visits[half:], sizes[half:], 1)[0]
        return float(sizes[-1] + slope * (n_year - visits[-1]))

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        best = self.rows[0]
        if not self.is_same:
            return "No verdict: the configurations do not hold the same content"
        if not self.is_decided:
            return (
                f"Same content; {len(self.bakeoff.workload.visits)} visits are too few "
                f"for a verdict on costs: make at least {_MIN_VISITS}"
            )
        equal = [row.name for row in self.rows[1:] if row.verdict == _SAME]
        if not equal:
            return f"{best.name} costs least: {_ms(best.cost.mean, self.unit)} a visit"
        if len(equal) == len(self.rows) - 1:
            return "No configuration costs measurably less than the others"
        names = " and ".join([best.name, *equal])
        return f"{names} cost least, and are not distinguishable"

    def points(self) -> Iterator[str]:
        """Yield the sentences below the headline."""
        yield self._content()
        if self.is_decided:
            yield from self._costs()
            yield from self._crossings()
            yield from self._year()
        yield from self._space()
        yield self._counted()
        yield from self._disturbed()

    def _content(self) -> str:
        plan, load = self.bakeoff.plan, self.bakeoff.workload
        repeats = "" if plan.repeat == 1 else f", {plan.repeat} times"
        work = (
            f"{len(load.visits)} visits{repeats}, to {load.n_fields} fields up to "
            f"{int(self.depth.max())} times each, with about "
            f"{plan.variables_per_field} variable and {plan.n_transients} other sources"
        )
        if self.is_same:
            return (
                f"Proved first: all {len(self.rows)} hold the same objects, sources "
                f"and forced sources (SHA-256 of what each returns) after {work}."
            )
        parts = "; ".join(
            f"{name} ({', '.join(where)})"
            for name, where in self.bakeoff.differing.items()
        )
        first = self.bakeoff.results[0].candidate.name
        return (
            f"Science content differs from that of {first}: {parts}, after {work}. The "
            "costs below are not of the same work."
        )

    def _costs(self) -> Iterator[str]:
        best = self.rows[0]
        others = [row for row in self.rows[1:] if row.to_best and row.verdict != _SAME]
        low, high = self.depth[-self.n_last :].min(), self.depth[-self.n_last :].max()
        where = f"in the last {self.n_last} visits (visit {low} to {high} of a field)"
        for row in others[:_SHOWN]:
            if row.to_best is not None:
                yield (
                    f"{row.name} takes {row.to_best.value:.2f} times the {self.unit} "
                    f"of {best.name}, interval {_between(row.to_best)}, {where}."
                )
        if len(others) > _SHOWN:
            last = others[-1].to_best
            yield (
                f"{len(others) - _SHOWN} more take up to "
                f"{last.value if last else 0:.1f} times as much."
            )

    def _crossings(self) -> Iterator[str]:
        best = self.rows[0].name
        always = [
            row.name
            for row in self.rows
            if row.wins_from is not None and row.wins_from.is_from_the_first
        ]
        if always:
            yield (
                f"{best} wins over {', '.join(always)} at every depth, from the second "
                "visit of a field on."
            )
        for row in self.rows:
            if row.name in always or row.wins_from is None:
                continue
            if row.wins_from.is_measured:
                yield (
                    f"{best} wins over {row.name} from visit {row.wins_from.depth} of "
                    "a field on."
                )
            else:
                yield (
                    f"{best} would win over {row.name} for certain from visit "
                    f"{row.wins_from.depth} of a field on, if both continue as fitted; "
                    "that depth was not measured."
                )

    def _year(self) -> Iterator[str]:
        best = self.rows[0]
        if best.growth is not None:
            year = best.growth.at_a_year
            yield (
                f"A year deep (visit {YEAR_DEPTH} of a field) a visit with {best.name} "
                f"would take {_ms(year.value, self.unit)}, "
                f"{1000 * year.low:.0f} to {1000 * year.high:.0f} (95 %): see the fit."
            )

    def _disturbed(self) -> Iterator[str]:
        load, cores = self.bakeoff.load, os.cpu_count() or 1
        if load > cores:
            yield (
                f"The machine was busy (load {load:.0f} on {cores} cores): intervals "
                "are wide, and wall times are mostly waiting. Repeat it on a quiet one."
            )

    def _space(self) -> Iterator[str]:
        order = sorted(self.rows, key=lambda row: row.total_bytes)
        small, large = order[0], order[-1]
        if small.total_bytes and small is not large:
            yield (
                f"On disk {small.name} is smallest with {small.total_bytes / 1e6:.0f} "
                f"MB, {large.name} largest with {large.total_bytes / 1e6:.0f} MB."
            )

    def _counted(self) -> str:
        inside = [row.name for row in self.rows if row.server == IN_CLIENT]
        hidden = [row.name for row in self.rows if np.isnan(row.server_s)]
        if hidden:
            return (
                f"Wall time decides: the CPU of the server of {', '.join(hidden)} "
                "cannot be seen from here."
            )
        said = "CPU is that of the client and of the server's process for it together"
        if inside:
            said += f"; SQLite works inside the client ({', '.join(inside)})"
        spent = self.bakeoff.background_s
        if spent is not None:
            total = sum(float(self.costs(r).sum()) for r in self.bakeoff.results)
            said += (
                f"; the servers' other processes (vacuum, checkpoints) and the "
                f"measuring between visits took {spent:.1f} CPU s, {spent / total:.0%} "
                "of that, which is attributed to no configuration"
            )
        return f"{said}."


_SAME = "not distinguishable"


def _verdict(to_best: Estimate | None, *, is_decided: bool) -> str:
    if not is_decided:
        return "no verdict"
    if to_best is None:
        return "best"
    return f"{to_best.value:.2f} x" if to_best.is_above_one else _SAME


def _between(estimate: Estimate) -> str:
    return f"{estimate.low:.2f} to {estimate.high:.2f} (95 %)"


def _ms(seconds: float, unit: str) -> str:
    return f"{1000 * seconds:.0f} ms of {unit}"
