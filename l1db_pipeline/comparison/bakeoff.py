"""Run the same seeded visits through every candidate of a plan, and measure."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.comparison.plan import Candidate, ComparisonPlan, PlanError
from l1db_pipeline.comparison.workload import Workload
from l1db_pipeline.runs.loop import run_visits
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.meter import ServerMeter
from l1db_pipeline.store.open import open_store
from l1db_pipeline.store.timing import StepTiming
from l1db_pipeline.visit.process import VisitSummary

__all__ = ["BakeOff", "CandidateResult", "Costs", "run_bakeoff"]

Floats = NDArray[np.float64]

STEPS = ("Objects-read", "S2O-matching", "Source-read", "L1-store")
_NOT_DATA = ("L1Timings", "L1Settings")
_N_SIZES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What each visit cost; arrays of shape ``(repeat, visit)``, NaN for unknown."""

    wall_s: Floats
    client_s: Floats
    """CPU of this process."""
    server_s: Floats
    """CPU of the server for this connection; 0 where there is no server."""
    log_bytes: Floats
    """Written by the server to its log; of SQLite, to its files."""
    steps_s: Mapping[str, Floats]
    """Wall time of the steps of a visit."""

    @property
    def cpu_s(self) -> Floats:
        """CPU of client and server; NaN where the server's is unknown."""
        return self.client_s + self.server_s


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateResult:
    """What a candidate did with the visits."""

    candidate: Candidate
    config: L1dbConfig
    server: str
    """Where the server's work was done, in words."""
    costs: Costs
    sizes: tuple[tuple[int, int], ...]
    """Visits made, and the bytes of all tables then, in the last repeat."""
    digests: tuple[Mapping[str, str], ...]
    """`L1Store.science_digest` at the end of each repeat."""
    row_counts: Mapping[str, int]
    table_bytes: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        """Bytes of all tables at the end, without what was measured."""
        return _data_bytes(self.table_bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class BakeOff:
    """The results of all candidates, in the plan's order."""

    plan: ComparisonPlan
    workload: Workload
    results: tuple[CandidateResult, ...]
    background_s: float | None = None
    """CPU that servers spent on no measured visit: checkpoints, vacuum."""
    load: float = 0.0
    """Processes that wanted to run at the end, the mean of five minutes."""

    @property
    def differing(self) -> dict[str, list[str]]:
        """Candidates whose science content is not the first one's, and where."""
        first = self.results[0].digests[0]
        found: dict[str, list[str]] = {}
        for result in self.results:
            parts = {
                part
                for digest in result.digests
                for part in {*first, *digest}
                if first.get(part) != digest.get(part)
            }
            if parts:
                found[result.candidate.name] = sorted(parts)
        return found


@dataclass(slots=True)
class _Contender:
    """A candidate that takes part: its store, and what its visits cost so far."""

    candidate: Candidate
    config: L1dbConfig
    wall_s: list[list[float]] = field(default_factory=list)
    client_s: list[list[float]] = field(default_factory=list)
    server_s: list[list[float]] = field(default_factory=list)
    log_bytes: list[list[float]] = field(default_factory=list)
    steps: list[list[Mapping[str, float]]] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    digests: list[Mapping[str, str]] = field(default_factory=list)

    def begin(self) -> None:
        """Make room for another repeat."""
        for every in (self.wall_s, self.client_s, self.server_s, self.log_bytes):
            every.append([])
        self.steps.append([])
        self.sizes.clear()

    def turn(self, meter: ServerMeter, run: Iterator[VisitSummary]) -> None:
        """Make the next visit and note what it cost."""
        # asking for the log makes the server end what it still does for us
        log, server = meter.log_bytes(), meter.cpu_s()
        wall, client = time.perf_counter(), time.process_time()
        summary = next(run)
        self.client_s[-1].append(time.process_time() - client)
        self.wall_s[-1].append(time.perf_counter() - wall)
        self.log_bytes[-1].append(_difference(meter.log_bytes(), log))
        self.server_s[-1].append(_difference(meter.cpu_s(), server))
        self.steps[-1].append(_steps(summary.steps))

    @property
    def costs(self) -> Costs:
        return Costs(
            wall_s=np.array(self.wall_s),
            client_s=np.array(self.client_s),
            server_s=np.array(self.server_s),
            log_bytes=np.array(self.log_bytes),
            steps_s={
                step: np.array([[s.get(step, 0.0) for s in one] for one in self.steps])
                for step in STEPS
            },
        )


def run_bakeoff(
    plan: ComparisonPlan,
    folder: Path,
    *,
    on_turn: Callable[[str, int], object] | None = None,
) -> BakeOff:
    """Run a plan; each candidate's tables are dropped and created.

    Visits are interleaved: each is made by all candidates before the next, in an order
    that changes, so that a load that other programs put on the machine, and warm
    caches, fall on all alike.

    Parameters
    ----------
    plan
        Visits and candidates.
    folder
        Gets an INI file for each candidate, and the databases that are files.
    on_turn
        Called after each visit of a candidate, with its name and the number of visits
        that it has made in this repeat.

    Raises
    ------
    PlanError
        If two candidates have the same tables, or there are no visits.
    L1dbError
        If a database cannot be reached or refuses a visit.
    """
    workload = Workload.of(plan)
    folder.mkdir(parents=True, exist_ok=True)
    configs = [_config(plan, candidate, folder) for candidate in plan.candidates]
    _check_apart(plan, configs)
    contenders = [
        _Contender(candidate, config)
        for candidate, config in zip(plan.candidates, configs, strict=True)
    ]
    results: list[CandidateResult] = []
    background = 0.0
    for repeat in range(plan.repeat):
        with ExitStack() as stack:
            stores = [_fresh_store(stack, config) for config in configs]
            meters = [store.meter() for store in stores]
            whole = [meter.whole_cpu_s() for meter in meters]
            _run_once(
                workload,
                list(zip(contenders, stores, meters, strict=True)),
                repeat=repeat,
                on_turn=on_turn,
            )
            background += _background(contenders, meters, whole)
            results = [
                _result(contender, store)
                for contender, store in zip(contenders, stores, strict=True)
            ]
    return BakeOff(
        plan=plan,
        workload=workload,
        results=tuple(results),
        background_s=background or None,
        load=os.getloadavg()[1],
    )


def _run_once(
    workload: Workload,
    contenders: list[tuple[_Contender, L1Store, ServerMeter]],
    *,
    repeat: int,
    on_turn: Callable[[str, int], object] | None,
) -> None:
    plan, simulate, settings = workload.plan, workload.simulate, workload.settings
    runs = [
        run_visits(
            store,
            workload.visits,
            simulate,
            options=settings.options(contender.config),
            schema=load_schema(
                contender.config.schema_file, column_map=contender.config.column_map
            ),
            daily_every=plan.daily_every if workload.is_counted else None,
            counts_every=sys.maxsize,
        )
        for contender, store, _ in contenders
    ]
    for contender, _, _ in contenders:
        contender.begin()
    n_visits = len(workload.visits)
    to_size = {round(n) for n in np.linspace(1, n_visits, _N_SIZES)}
    everyone = list(zip(contenders, runs, strict=True))
    for n_done, visit in enumerate(workload.visits, start=1):
        simulate(visit)  # before anyone is measured
        shift = (n_done + repeat) % len(everyone)
        for (contender, store, meter), run in (*everyone[shift:], *everyone[:shift]):
            contender.turn(meter, run)
            if n_done in to_size:
                contender.sizes.append((n_done, _data_bytes(store.table_bytes())))
            if on_turn is not None:
                on_turn(contender.candidate.name, n_done)


def _config(plan: ComparisonPlan, candidate: Candidate, folder: Path) -> L1dbConfig:
    """Write the candidate's INI file and read it, so that it can be used later too."""
    url = plan.databases[candidate.database]  # not for str.format: it may hold braces
    url = url.replace("{folder}", str(folder.resolve())).replace(
        "{name}", candidate.name
    )
    options = {"read_sources_months": "12", "read_forced_sources_months": "12"}
    own = "cmp_" + candidate.name.lower().replace("-", "_")
    if url.startswith("postgresql"):
        options["namespace"] = own
    else:
        options["prefix"] = f"{own}_"
    options |= candidate.options
    lines = ["[database]", f"url = {url}", "[l1db]"]
    lines += [f"{name} = {value}" for name, value in options.items()]
    path = folder / f"{candidate.name}.cfg"
    path.touch(mode=0o600)  # a URL may hold a password
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return L1dbConfig.from_ini(path)


def _check_apart(plan: ComparisonPlan, configs: list[L1dbConfig]) -> None:
    places: dict[tuple[str, str, str], str] = {}
    for candidate, config in zip(plan.candidates, configs, strict=True):
        place = config.url, config.namespace, config.prefix
        other = places.setdefault(place, candidate.name)
        if other != candidate.name:
            raise PlanError(
                f"{other} and {candidate.name} have the same tables: give one of them "
                "a database, a namespace or a prefix of its own"
            )


def _fresh_store(stack: ExitStack, config: L1dbConfig) -> L1Store:
    store = open_store(config)
    stack.callback(store.close)
    store.create_schema(drop=True)
    return store


def _result(contender: _Contender, store: L1Store) -> CandidateResult:
    store.merge_nightly()
    contender.digests.append(store.science_digest())
    return CandidateResult(
        candidate=contender.candidate,
        config=contender.config,
        server=store.meter().where,
        costs=contender.costs,
        sizes=tuple(contender.sizes),
        digests=tuple(contender.digests),
        row_counts=store.row_counts(),
        table_bytes=store.table_bytes(),
    )


def _background(
    contenders: list[_Contender],
    meters: list[ServerMeter],
    before: list[float | None],
) -> float:
    """Return the CPU of servers that was spent on none of the measured visits."""
    by_server: dict[str, float] = {}
    for contender, meter, early in zip(contenders, meters, before, strict=True):
        late = meter.whole_cpu_s()
        if late is None or early is None:
            continue
        place = contender.config.url
        by_server.setdefault(place, late - early)
        by_server[place] -= sum(contender.server_s[-1])
    return sum(max(0.0, spent) for spent in by_server.values())


def _steps(timings: tuple[StepTiming, ...]) -> Mapping[str, float]:
    return {timing.step: timing.real_s for timing in timings if timing.step in STEPS}


def _data_bytes(table_bytes: Mapping[str, int]) -> int:
    return sum(size for table, size in table_bytes.items() if table not in _NOT_DATA)


def _difference(late: float | None, early: float | None) -> float:
    return float("nan") if late is None or early is None else late - early
