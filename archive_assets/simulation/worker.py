"""The process of one simulation: ``python -m archive_assets.simulation.worker``.

Its arguments are a folder and the process that waits for it. It reads the job in the
folder, works in it, and leaves a report or an error there.
"""

import os
import resource
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

from archive_assets.errors import EXPECTED_ERRORS
from archive_assets.simulation.jobs import (
    Job,
    write_error,
    write_progress,
    write_report,
)

__all__ = ["main"]

_EXIT_ORPHANED = 70
_KIB = 1024


def main() -> int:
    """Run the job of the folder in the arguments; return the exit code."""
    name, parent = sys.argv[1:]
    folder = Path(name)
    _end_with(int(parent))
    try:
        job = Job.read(folder)
        _run(job, folder)
    except MemoryError:
        traceback.print_exc()
        write_error(folder, "memory", "no memory was left")
        return 1
    except EXPECTED_ERRORS as error:
        traceback.print_exc()
        write_error(folder, type(error).__name__, str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - the border of a process
        traceback.print_exc()
        write_error(folder, "error", f"{type(error).__name__}: {error}")
        return 1
    return 0


def _run(job: Job, folder: Path) -> None:
    from astropy.utils import iers  # noqa: PLC0415 - errors above must be told first

    iers.conf.auto_download = False  # the wheel astropy-iers-data is near enough
    iers.conf.iers_degraded_accuracy = "warn"
    iers.conf.auto_max_age = None

    from archive_assets.simulation.engine import (  # noqa: PLC0415 - takes 3 CPU s
        run_request,
    )

    outcome = run_request(
        job.request,
        job.script,
        folder,
        lambda progress: write_progress(folder, progress),
    )
    usage = resource.getrusage(resource.RUSAGE_SELF)
    write_report(
        folder,
        {
            "n_visits": outcome.n_visits,
            "has_rewards": outcome.has_rewards,
            "sim_runner_kwargs": outcome.sim_runner_kwargs,
            "nside": outcome.nside,
            "n_parent_visits": outcome.n_parent_visits,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_memory_bytes": _peak_memory_bytes(),
        },
    )


def _peak_memory_bytes() -> int:
    # Linux counts in ru_maxrss the process from which this one was started
    with suppress(FileNotFoundError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * _KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, however it went."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(_EXIT_ORPHANED)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
