"""One variant of a night, simulated into the outbox; a second call finds it there."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from archive_assets.simulation import (
    ParentVisits,
    Progress,
    SimulationRequest,
    Telescope,
    Variant,
    simulate,
)
from archive_assets.simulation.drivers import ExternalCommandDriver, OpsimFileDriver
from archive_assets.simulation.outbox import (
    FinishedSimulation,
    find_finished,
    keep_finished,
)
from archive_assets.simulation.provenance import request_digest
from archive_assets.simulation.site_data import SiteDataError, check_site_data
from visit_tables.day_obs import mjd_of_date
from visit_tables.opsim.frame import check_opsim, read_opsim

__all__ = ["NightlySimulation", "ensure_site_data", "simulate_into_outbox"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class NightlySimulation:
    """What to simulate, and where its parts lie."""

    first_day_obs: date
    n_nights: int
    telescope: Telescope
    variant: Variant
    site_data: Path
    outbox: Path
    seed: int = 42
    parent: ParentVisits | None = None
    """Completed visits from which the scheduler starts; none of an ``opsim_file``."""
    opsim_file: Path | None = None
    """Visits that someone else simulated, instead of a run of the scheduler."""
    command: tuple[str, ...] = ()
    """A program of the site's own instead of the scheduler."""
    again: bool = False
    """Simulate even if the same request is finished already."""
    synthesize: bool = True
    """Make synthetic site data for nights that no file covers."""
    report: Callable[[str], None] = field(default=_log.info)

    def request(self) -> SimulationRequest:
        """Return the request for a driver."""
        return SimulationRequest(
            first_day_obs=self.first_day_obs,
            n_nights=self.n_nights,
            telescope=self.telescope,
            variant=self.variant,
            site_data=self.site_data,
            work_folder=self.outbox / "work",
            seed=self.seed,
            parent=None if self.opsim_file is not None else self.parent,
        )

    def driver(self) -> ExternalCommandDriver | None:
        """Return who simulates, `None` for rubin_scheduler."""
        return ExternalCommandDriver(self.command) if self.command else None


def ensure_site_data(
    folder: Path, first_day_obs: date, n_nights: int, report: Callable[[str], None]
) -> None:
    """Make synthetic site data for the nights unless a folder covers them.

    Raises
    ------
    SiteDataError
        If the folder holds real data that do not cover the nights.
    """
    try:
        check_site_data(folder, first_day_obs, n_nights)
    except SiteDataError as missing:
        # computes for seconds: only when it is needed
        from archive_assets.simulation.site_data.synthesize import (  # noqa: PLC0415
            synthesize_site_data,
        )

        report(f"synthesizing site data: {missing}")
        synthesize_site_data(folder, first_day_obs, n_nights, report=report)


def simulate_into_outbox(work: NightlySimulation) -> tuple[FinishedSimulation, bool]:
    """Simulate a variant of a night unless the outbox has it.

    Returns
    -------
    finished, is_new
        The simulation, and whether it was made now.

    Raises
    ------
    ArchiveError
        With the reason; the outbox is as before.
    """
    request = work.request()
    if work.opsim_file is not None:
        return _from_file(work, request, work.opsim_file), True
    driver = work.driver()
    if work.synthesize and (driver is None or driver.takes_site_data):
        ensure_site_data(work.site_data, work.first_day_obs, work.n_nights, work.report)
    found = find_finished(
        work.outbox, work.telescope.value, work.first_day_obs, work.variant.name
    )
    if found is not None and not work.again and _is_asked_for(found, work, request):
        return found, False
    result = simulate(request, driver, on_progress=_progress_lines(work.report))
    return keep_finished(work.outbox, request, result, work.n_nights), True


def _is_asked_for(
    found: FinishedSimulation, work: NightlySimulation, request: SimulationRequest
) -> bool:
    made_by = found.provenance.get("driver"), found.provenance.get("command", [])
    asked = "command" if work.command else "rubin_scheduler", list(work.command)
    return made_by == asked and found.request_digest == request_digest(request, None)


def _from_file(
    work: NightlySimulation, request: SimulationRequest, path: Path
) -> FinishedSimulation:
    check_opsim(path)
    result = simulate(request, OpsimFileDriver(opsim_path=path))
    n_nights = max(work.n_nights, _n_nights_of(path, work.first_day_obs))
    return keep_finished(work.outbox, request, result, n_nights)


def _n_nights_of(path: Path, first_day_obs: date) -> int:
    """Return how many nights from the first one a file's visits cover."""
    mjd = read_opsim(path, columns=["observationStartMJD"])["observationStartMJD"]
    if mjd.empty:
        return 0
    return math.floor(float(mjd.max()) - 0.5) - mjd_of_date(first_day_obs) + 1


def _progress_lines(report: Callable[[str], None]) -> Callable[[Progress], None]:
    """Report at each tenth of the simulated time, not every second."""
    told = -1

    def on_progress(progress: Progress) -> None:
        nonlocal told
        tenth = int(progress.fraction * 10)
        if tenth > told:
            told = tenth
            report(f"{progress.fraction:4.0%} simulated, {progress.n_visits} visits")

    return on_progress
