"""An opsim file that someone else made, taken as it is."""

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from archive_assets.simulation.base import (
    Progress,
    SimulationRequest,
    SimulationResult,
)
from archive_assets.simulation.errors import SimulationFailedError
from archive_assets.simulation.folders import (
    LOG_FILE,
    OPSIM_FILE,
    REWARDS_FILE,
    publish,
    run_name,
    running_folder,
)
from archive_assets.simulation.provenance import provenance_of_file

__all__ = ["OpsimFileDriver", "count_visits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpsimFileDriver:
    """Copies an opsim file, and perhaps its rewards.

    Attributes
    ----------
    opsim_path
        The file.
    rewards_path
        Its rewards.
    """

    opsim_path: Path
    rewards_path: Path | None = None

    def simulate(
        self,
        request: SimulationRequest,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,  # noqa: ARG002 - protocol
        is_cancelled: Callable[[], bool] = lambda: False,  # noqa: ARG002 - protocol
    ) -> SimulationResult:
        """Copy the file.

        Raises
        ------
        SimulationFailedError
            If it is not an opsim file.
        """
        begin, cpu_begin = time.monotonic(), time.process_time()
        with running_folder(request.work_folder, run_name(request)) as folder:
            opsim = _copied(self.opsim_path, folder / OPSIM_FILE)
            n_visits = count_visits(opsim)
            if self.rewards_path is not None:
                _copied(self.rewards_path, folder / REWARDS_FILE)
            (folder / LOG_FILE).write_text(f"copied {self.opsim_path}\n")
            facts = provenance_of_file(request, self.opsim_path)
            kept = publish(folder, (OPSIM_FILE, REWARDS_FILE, LOG_FILE))
        return SimulationResult(
            folder=kept,
            opsim_path=kept / OPSIM_FILE,
            rewards_path=None if self.rewards_path is None else kept / REWARDS_FILE,
            log_path=kept / LOG_FILE,
            n_visits=n_visits,
            provenance=facts,
            wall_s=time.monotonic() - begin,
            cpu_s=time.process_time() - cpu_begin,
            peak_memory_bytes=0,
        )


def _copied(source: Path, target: Path) -> Path:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise SimulationFailedError(
            f"{source} cannot be copied: {error.strerror}"
        ) from error
    return target


def count_visits(opsim: Path) -> int:
    """Return the number of visits in an opsim file.

    Raises
    ------
    SimulationFailedError
        If it is not one.
    """
    try:
        uri = f"{opsim.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            (n_visits,) = connection.execute(
                "SELECT count(*) FROM observations"
            ).fetchone()
    except sqlite3.Error as error:
        raise SimulationFailedError(
            f"{opsim.name} is not an opsim file: {error}"
        ) from error
    return int(n_visits)
