"""One night: every variant simulated, and kept as soon as it is there."""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from shutil import rmtree
from threading import Event
from typing import Protocol
from uuid import UUID

from archive_assets.errors import EXPECTED_ERRORS
from archive_assets.simulation import simulate
from archive_assets.simulation.base import (
    BuiltinScheduler,
    Limits,
    ParentVisits,
    Progress,
    SchedulerSource,
    SimulationDriver,
    SimulationRequest,
    SimulationResult,
    Telescope,
    Variant,
)
from archive_assets.simulation.checks import check_request
from archive_assets.simulation.errors import VariantError
from archive_assets.simulation.folders import running_folder
from archive_assets.simulation.variants import load_variants

__all__ = ["Keeper", "NightPlan", "VariantOutcome", "plan_night", "run_night"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NightPlan:
    """What is simulated for a night.

    Attributes
    ----------
    variants
        The first one is the nominal one; they are started in this order.
    n_at_once
        How many simulations run at the same time, each on one core.
    """

    first_day_obs: date
    n_nights: int
    telescope: Telescope
    variants: tuple[Variant, ...]
    site_data: Path
    work_folder: Path
    scheduler: SchedulerSource = field(default_factory=BuiltinScheduler)
    parent: ParentVisits | None = None
    seed: int = 42
    limits: Limits = field(default_factory=Limits)
    n_at_once: int = 2

    def requests(self) -> tuple[SimulationRequest, ...]:
        """Return one request a variant."""
        return tuple(
            SimulationRequest(
                first_day_obs=self.first_day_obs,
                n_nights=self.n_nights,
                telescope=self.telescope,
                variant=variant,
                site_data=self.site_data,
                work_folder=self.work_folder,
                scheduler=self.scheduler,
                parent=self.parent,
                seed=self.seed,
                limits=self.limits,
            )
            for variant in self.variants
        )


def plan_night(
    first_day_obs: date,
    telescope: Telescope,
    *,
    site_data: Path,
    work_folder: Path,
    names: tuple[str, ...] = (),
    n_nights: int | None = None,
    variants_path: Path | None = None,
    scheduler: SchedulerSource | None = None,
    parent: ParentVisits | None = None,
    seed: int = 42,
    limits: Limits | None = None,
    n_at_once: int = 2,
) -> NightPlan:
    """Plan a night with the variants of the site's variants file.

    Parameters
    ----------
    first_day_obs, telescope
        The night, and whose.
    names
        Which variants; all by default.
    n_nights
        How many nights; by default as in the file.
    variants_path
        The file; by default that of `variants_file`.

    Raises
    ------
    VariantError
        If the file is wrong, or has no such telescope or variant.
    """
    plans = load_variants(variants_path)
    if telescope not in plans:
        raise VariantError(
            f"the variants file has no telescope {telescope}, only {', '.join(plans)}"
        )
    return NightPlan(
        first_day_obs=first_day_obs,
        n_nights=plans[telescope].nights if n_nights is None else n_nights,
        telescope=telescope,
        variants=plans[telescope].chosen(names),
        site_data=site_data,
        work_folder=work_folder,
        scheduler=scheduler or BuiltinScheduler(),
        parent=parent,
        seed=seed,
        limits=limits or Limits(),
        n_at_once=n_at_once,
    )


class Keeper(Protocol):
    """Who keeps what the simulations of a night made."""

    def keep_parent(self, parent: ParentVisits) -> UUID:
        """Keep the completed visits, so that the start can be recovered."""
        ...

    def keep(self, request: SimulationRequest, result: SimulationResult) -> UUID:
        """Keep a simulation with its provenance; its folder is deleted afterwards."""
        ...

    def refresh_index(self, request: SimulationRequest) -> None:
        """Let people see what is kept, even if other variants still run."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantOutcome:
    """What became of a variant: kept under a UUID, or an error."""

    variant: Variant
    visitseq_uuid: UUID | None = None
    n_visits: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    error: Exception | None = None

    @property
    def line(self) -> str:
        """One line about it: name, UUID, visits and seconds; or name and error."""
        if self.error is not None:
            return f"{self.variant.name}: {self.error}"
        return (
            f"{self.variant.name}\t{self.visitseq_uuid}\t{self.n_visits} visits\t"
            f"{self.wall_s:.1f} s"
        )


def run_night(
    plan: NightPlan,
    keeper: Keeper,
    driver: SimulationDriver | None = None,
    *,
    on_progress: Callable[[Variant, Progress], None] = lambda _variant, _progress: None,
    on_outcome: Callable[[VariantOutcome], None] = lambda _: None,
) -> tuple[VariantOutcome, ...]:
    """Simulate the variants of a night, and keep each as it finishes.

    A variant that fails does not stop the others. If this call is interrupted, the
    running simulations end and leave nothing; what was kept stays.

    Returns
    -------
    outcomes
        In the plan's order.

    Raises
    ------
    ArchiveError
        If nothing can be simulated: site data or parent are wrong for every variant.
    """
    for request in plan.requests()[:1]:
        check_request(request)
    if plan.parent is not None:
        uuid = keeper.keep_parent(plan.parent)
        plan = replace(plan, parent=replace(plan.parent, visitseq_uuid=uuid))
    outcomes: dict[str, VariantOutcome] = {}
    name = f"night-{secrets.token_hex(4)}"
    with (
        # if this process is killed, the next run sweeps the folder with all in it
        running_folder(plan.work_folder, name) as folder,
        _running(replace(plan, work_folder=folder), driver, on_progress) as running,
    ):
        for future in as_completed(running):
            request = running[future]
            outcome = _kept(request, future, keeper)
            outcomes[request.variant.name] = outcome
            on_outcome(outcome)
    return tuple(outcomes[variant.name] for variant in plan.variants)


@contextmanager
def _running(
    plan: NightPlan,
    driver: SimulationDriver | None,
    on_progress: Callable[[Variant, Progress], None],
) -> Iterator[dict[Future[SimulationResult], SimulationRequest]]:
    """Run the simulations in threads that only wait for their processes."""
    stop = Event()

    def run(request: SimulationRequest) -> SimulationResult:
        return simulate(
            request,
            driver,
            on_progress=lambda progress: on_progress(request.variant, progress),
            is_cancelled=stop.is_set,
        )

    with ThreadPoolExecutor(plan.n_at_once, "simulation") as threads:
        try:
            yield {threads.submit(run, request): request for request in plan.requests()}
        finally:
            stop.set()
            threads.shutdown(cancel_futures=True)


def _kept(
    request: SimulationRequest, future: Future[SimulationResult], keeper: Keeper
) -> VariantOutcome:
    try:
        result = future.result()
    except EXPECTED_ERRORS as error:
        return VariantOutcome(variant=request.variant, error=error)
    try:
        uuid = keeper.keep(request, result)
        keeper.refresh_index(request)
    except EXPECTED_ERRORS as error:
        return VariantOutcome(variant=request.variant, error=error)
    finally:
        rmtree(result.folder, ignore_errors=True)
    return VariantOutcome(
        variant=request.variant,
        visitseq_uuid=uuid,
        n_visits=result.n_visits,
        wall_s=result.wall_s,
        cpu_s=result.cpu_s,
    )
