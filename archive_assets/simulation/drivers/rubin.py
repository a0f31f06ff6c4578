"""rubin_scheduler, in a process of its own."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from archive_assets.simulation.base import (
    BuiltinScheduler,
    Progress,
    SimulationRequest,
    SimulationResult,
)
from archive_assets.simulation.checks import check_request
from archive_assets.simulation.config_script import ConfigPlaces, checked_out_script
from archive_assets.simulation.errors import (
    ParentVisitsError,
    SchedulerConfigError,
    SimulationCancelledError,
    SimulationFailedError,
    SimulationMemoryError,
    SimulationRangeError,
)
from archive_assets.simulation.folders import (
    LOG_FILE,
    OPSIM_FILE,
    REWARDS_FILE,
    publish,
    run_name,
    running_folder,
)
from archive_assets.simulation.jobs import (
    Job,
    read_error,
    read_progress,
    read_report,
)
from archive_assets.simulation.process import ProgramEnd, log_tail, run_program
from archive_assets.simulation.provenance import provenance

__all__ = ["RubinSchedulerDriver"]


_WORKER = (sys.executable, "-m", "archive_assets.simulation.worker")

# errors of the worker that are raised here as what they are
_KINDS = {
    kind.__name__: kind
    for kind in (ParentVisitsError, SchedulerConfigError, SimulationRangeError)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RubinSchedulerDriver:
    """Simulates with rubin_scheduler; the default driver.

    Attributes
    ----------
    places
        From where configuration scripts may come.
    """

    places: ConfigPlaces = field(default_factory=ConfigPlaces)

    def simulate(
        self,
        request: SimulationRequest,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> SimulationResult:
        """Simulate in a child process, or raise and leave nothing.

        Raises
        ------
        SiteDataError
            If the site data do not cover the nights.
        SimulationRangeError, ParentVisitsError, SchedulerConfigError
            If a part of the request cannot be used.
        SimulationFailedError
            If the process failed: killed, too long, out of memory, an exception.
        SimulationCancelledError
            If `is_cancelled` said True.
        """
        request = replace(
            request,
            site_data=request.site_data.resolve(),
            work_folder=request.work_folder.resolve(),
        )
        check_request(request)
        with (
            checked_out_script(request.scheduler, self.places) as config,
            running_folder(request.work_folder, run_name(request)) as folder,
        ):
            Job(request=request, script=config.script).write(folder)
            end = run_program(
                [*_WORKER, str(folder), str(os.getpid())],
                folder=folder,
                log_path=folder / LOG_FILE,
                environ=_environment(request),
                limits=request.limits,
                on_poll=_progress_reader(folder, on_progress),
                is_cancelled=is_cancelled,
            )
            if end.is_cancelled:
                raise SimulationCancelledError(folder)
            report = _report(folder, end)
            facts = provenance(
                request,
                driver="rubin_scheduler",
                config_url=config.url,
                report=report,
            )
            kept = publish(folder, (OPSIM_FILE, REWARDS_FILE, LOG_FILE))
        return SimulationResult(
            folder=kept,
            opsim_path=kept / OPSIM_FILE,
            rewards_path=kept / REWARDS_FILE if report["has_rewards"] else None,
            log_path=kept / LOG_FILE,
            n_visits=report["n_visits"],
            provenance={
                **facts,
                "builtin_scheduler": isinstance(request.scheduler, BuiltinScheduler),
                "wall_s": round(end.wall_s, 3),
                "cpu_s": round(report["cpu_s"], 3),
            },
            wall_s=end.wall_s,
            cpu_s=report["cpu_s"],
            peak_memory_bytes=report["peak_memory_bytes"],
        )


def _environment(request: SimulationRequest) -> dict[str, str]:
    package_root = str(Path(__file__).resolve().parents[3])
    inherited = os.environ.get("PYTHONPATH", "")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (package_root, inherited))),
        "PYTHONHASHSEED": "0",
        "RUBIN_SIM_DATA_DIR": str(request.site_data),
        # one core for a simulation: two of them fill two cores
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NUMEXPR_MAX_THREADS": "1",
        "MPLBACKEND": "Agg",
    }


def _progress_reader(
    folder: Path, on_progress: Callable[[Progress], None]
) -> Callable[[], None]:
    last: Progress | None = None

    def read() -> None:
        nonlocal last
        progress = read_progress(folder)
        if progress is not None and progress != last:
            last = progress
            on_progress(progress)

    return read


def _report(folder: Path, end: ProgramEnd) -> dict[str, Any]:
    """Return the report of a finished job, or raise what it failed of."""
    if end.exit_code == 0 and (report := read_report(folder)) is not None:
        return report
    error = read_error(folder)
    tail = log_tail(folder / LOG_FILE)
    if error is None:
        raise SimulationFailedError(f"its process ended with {end.exit_code}", tail)
    reason = str(error["reason"])
    if error["kind"] == "memory":
        raise SimulationMemoryError(reason, tail)
    if error["kind"] in _KINDS:
        raise _KINDS[error["kind"]](reason)
    raise SimulationFailedError(reason, tail)
