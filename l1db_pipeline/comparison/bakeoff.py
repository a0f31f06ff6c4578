"""Run the same seeded visits through every candidate of a plan, and measure."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.comparison.plan import Candidate, ComparisonPlan, PlanError
from l1db_pipeline.report.runs import Run, read_store
from l1db_pipeline.runs.loop import run_visits
from l1db_pipeline.runs.settings import RunSettings, catalog_digest
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sources.dia import DiaModel, simulate_visit
from l1db_pipeline.sources.generators import rand_cone_xyz, rand_sphere_xyz
from l1db_pipeline.sources.source_file import SourceCatalog
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.open import open_store
from l1db_pipeline.visit.association import Detections, detections_of
from l1db_pipeline.visit.process import Visit
from pipeline_runtime.urls import safe_url

__all__ = ["BakeOff", "CandidateResult", "run_bakeoff"]

_OPEN_ANGLE_DEG = 3.5


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateResult:
    """What a candidate did with the visits."""

    candidate: Candidate
    config: L1dbConfig
    run: Run
    digest: Mapping[str, str]
    """`L1Store.science_digest` at the end."""
    row_counts: Mapping[str, int]
    table_bytes: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class BakeOff:
    """The results of all candidates, in the plan's order."""

    plan: ComparisonPlan
    results: tuple[CandidateResult, ...]

    @property
    def differing(self) -> dict[str, list[str]]:
        """Candidates whose science content is not the first one's, and where."""
        first = self.results[0].digest
        return {
            result.candidate.name: [
                part
                for part in sorted({*first, *result.digest})
                if first.get(part) != result.digest.get(part)
            ]
            for result in self.results[1:]
            if dict(result.digest) != dict(first)
        }


def run_bakeoff(
    plan: ComparisonPlan,
    folder: Path,
    *,
    on_visit: Callable[[int], object] | None = None,
) -> BakeOff:
    """Run a plan; each candidate's tables are dropped and created.

    Visits are interleaved: each goes through all candidates before the next, so that
    a load that other programs put on the machine falls on all alike.

    Parameters
    ----------
    plan
        Visits and candidates.
    folder
        Gets an INI file for each candidate, and the databases that are files.
    on_visit
        Called with the number of visits that all candidates have done.

    Raises
    ------
    PlanError
        If two candidates have the same tables.
    L1dbError
        If a database cannot be reached or refuses a visit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configs = [_config(plan, candidate, folder) for candidate in plan.candidates]
    _check_apart(plan, configs)
    fields = rand_sphere_xyz(plan.fields, -1, plan.seed)
    catalog = _variable_sources(plan, fields)
    settings = RunSettings(
        seed=plan.seed,
        catalog_sha256=catalog_digest(catalog.xyz),
        n_noise=plan.n_transients,
        open_angle_deg=_OPEN_ANGLE_DEG,
        fill=plan.fill,
    )
    simulate = _remembered(catalog, settings.model, plan.seed)
    with ExitStack() as stack:
        stores = [_fresh_store(stack, config) for config in configs]
        runs = [
            run_visits(
                store,
                _visits(plan, fields),
                simulate,
                options=settings.options(config),
                schema=load_schema(config.schema_file, column_map=config.column_map),
                daily_every=plan.daily_every,
                counts_every=max(1, plan.visits // 10),
            )
            for store, config in zip(stores, configs, strict=True)
        ]
        for n_done in range(1, plan.visits + 1):
            # turns change, so that no candidate always has the warmest caches
            shift = n_done % len(runs)
            for run in (*runs[shift:], *runs[:shift]):
                next(run)
            if on_visit is not None:
                on_visit(n_done)
        results = [
            _result(candidate, config, store)
            for candidate, config, store in zip(
                plan.candidates, configs, stores, strict=True
            )
        ]
    return BakeOff(plan=plan, results=tuple(results))


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


def _variable_sources(
    plan: ComparisonPlan, fields: NDArray[np.float64]
) -> SourceCatalog:
    angle = math.radians(_OPEN_ANGLE_DEG)
    cones = [
        rand_cone_xyz(centre, angle, plan.variables_per_field, plan.seed + place)
        for place, centre in enumerate(fields)
    ]
    return SourceCatalog(np.concatenate(cones))


def _visits(plan: ComparisonPlan, fields: NDArray[np.float64]) -> list[Visit]:
    return [
        Visit(
            visit_id=number,
            time=plan.start_time + timedelta(seconds=number * plan.interval_s),
            centre=fields[number % len(fields)],
            open_angle_deg=_OPEN_ANGLE_DEG,
        )
        for number in range(1, plan.visits + 1)
    ]


def _remembered(
    catalog: SourceCatalog, model: DiaModel, seed: int
) -> Callable[[Visit], Detections]:
    """Return a simulation that makes each visit once for all candidates."""
    latest: dict[int, Detections] = {}

    def simulate(visit: Visit) -> Detections:
        if visit.visit_id not in latest:
            latest.clear()
            sources = simulate_visit(
                catalog, visit.centre, seed=seed, visit_id=visit.visit_id, model=model
            )
            latest[visit.visit_id] = detections_of(sources)
        return latest[visit.visit_id]

    return simulate


def _fresh_store(stack: ExitStack, config: L1dbConfig) -> L1Store:
    store = open_store(config)
    stack.callback(store.close)
    store.create_schema(drop=True)
    return store


def _result(
    candidate: Candidate, config: L1dbConfig, store: L1Store
) -> CandidateResult:
    store.merge_nightly()
    return CandidateResult(
        candidate=candidate,
        config=config,
        run=read_store(store, name=candidate.name, source=safe_url(config.url)),
        digest=store.science_digest(),
        row_counts=store.row_counts(),
        table_bytes=store.table_bytes(),
    )
