"""A program of the site's own that leaves an opsim file, such as ``run_lsst_sim``."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_assets.simulation import supervised
from archive_assets.simulation.base import (
    Progress,
    SimulationRequest,
    SimulationResult,
)
from archive_assets.simulation.checks import check_request
from archive_assets.simulation.drivers.opsim_file import count_visits
from archive_assets.simulation.errors import (
    SimulationCancelledError,
    SimulationFailedError,
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
from archive_assets.simulation.process import log_tail, run_program
from archive_assets.simulation.provenance import provenance

__all__ = ["PLACEHOLDERS", "ExternalCommandDriver"]


# ends the program if this process dies without a chance to
_SUPERVISOR = (sys.executable, "-I", "-S", supervised.__file__)

PLACEHOLDERS = (
    "day_obs",
    "n_nights",
    "telescope",
    "variant",
    "label",
    "delay_minutes",
    "seeing_arcsec",
    "seed",
    "parent",
    "site_data",
    "folder",
    "opsim",
    "rewards",
)


@dataclass(frozen=True, slots=True)
class ExternalCommandDriver:
    """Runs a program, without a shell, in a folder of its own.

    Attributes
    ----------
    command
        Program and arguments. Words in braces are replaced by values of the request,
        see `PLACEHOLDERS`: ``{day_obs}`` is YYYYMMDD, ``{opsim}`` the file that the
        program must leave.
    """

    command: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError("the command is empty")
        self._filled(dict.fromkeys(PLACEHOLDERS, ""))

    @property
    def takes_site_data(self) -> bool:
        """Whether the command names the site data; else it brings its own."""
        return any("{site_data}" in argument for argument in self.command)

    def simulate(
        self,
        request: SimulationRequest,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,  # noqa: ARG002 - protocol
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> SimulationResult:
        """Run the program.

        Raises
        ------
        SimulationFailedError
            If it fails, or leaves no opsim file.
        SimulationCancelledError
            If `is_cancelled` said True.
        """
        check_request(request, with_site_data=self.takes_site_data)
        with running_folder(request.work_folder.resolve(), run_name(request)) as folder:
            command = self._filled(_values(request, folder))
            if shutil.which(command[0], path=os.environ.get("PATH")) is None:
                raise SimulationFailedError(f"there is no program {command[0]}")
            end = run_program(
                [*_SUPERVISOR, str(os.getpid()), *command],
                folder=folder,
                log_path=folder / LOG_FILE,
                environ={**os.environ, "RUBIN_SIM_DATA_DIR": str(request.site_data)},
                limits=request.limits,
                on_poll=lambda: None,
                is_cancelled=is_cancelled,
            )
            if end.is_cancelled:
                raise SimulationCancelledError(folder)
            _check_end(end.exit_code, folder, self.command[0])
            n_visits = count_visits(folder / OPSIM_FILE)
            has_rewards = (folder / REWARDS_FILE).is_file()
            facts = provenance(request, driver="command", config_url=None, report={})
            del facts["packages"]  # the program may have an environment of its own
            kept = publish(folder, (OPSIM_FILE, REWARDS_FILE, LOG_FILE))
        return SimulationResult(
            folder=kept,
            opsim_path=kept / OPSIM_FILE,
            rewards_path=kept / REWARDS_FILE if has_rewards else None,
            log_path=kept / LOG_FILE,
            n_visits=n_visits,
            provenance={**facts, **self._own_facts()},
            wall_s=end.wall_s,
            cpu_s=end.cpu_s,
            peak_memory_bytes=end.peak_memory_bytes,
        )

    def _own_facts(self) -> dict[str, Any]:
        own: dict[str, Any] = {"command": list(self.command), "scheduler_version": None}
        if not self.takes_site_data:
            own["site_data"] = "of the command"
        return own

    def _filled(self, values: dict[str, str]) -> Sequence[str]:
        try:
            return [argument.format(**values) for argument in self.command]
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise SimulationRangeError(
                f"the command {' '.join(self.command)} has a placeholder that is not "
                f"one of {', '.join(PLACEHOLDERS)} ({error!r})"
            ) from error


def _check_end(exit_code: int, folder: Path, program: str) -> None:
    tail = log_tail(folder / LOG_FILE)
    if exit_code:
        raise SimulationFailedError(f"{program} ended with {exit_code}", tail)
    if not (folder / OPSIM_FILE).is_file():
        raise SimulationFailedError(f"{program} left no {OPSIM_FILE}", tail)


def _values(request: SimulationRequest, folder: Path) -> dict[str, str]:
    seeing = request.variant.observatory.seeing_arcsec
    return {
        "day_obs": f"{request.first_day_obs:%Y%m%d}",
        "n_nights": str(request.n_nights),
        "telescope": str(request.telescope),
        "variant": request.variant.name,
        "label": request.variant.label,
        "delay_minutes": f"{request.variant.delay_minutes:g}",
        "seeing_arcsec": "" if seeing is None else f"{seeing:g}",
        "seed": str(request.seed),
        "parent": "" if request.parent is None else str(request.parent.path.resolve()),
        "site_data": str(request.site_data),
        "folder": str(folder),
        "opsim": str(folder / OPSIM_FILE),
        "rewards": str(folder / REWARDS_FILE),
    }
