"""Run a program with limits on time and memory, to its end or until told to stop."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from archive_assets.simulation.base import Limits
from archive_assets.simulation.errors import (
    SimulationFailedError,
    SimulationKilledError,
    SimulationMemoryError,
    SimulationTimeoutError,
)

__all__ = ["ProgramEnd", "run_program"]

_POLL_S = 0.1
_LOG_TAIL_BYTES = 2000
_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramEnd:
    """How a program ended, and what it took.

    Attributes
    ----------
    is_cancelled
        Whether it was stopped because the caller asked for it.
    """

    exit_code: int
    is_cancelled: bool
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int


def run_program(
    command: Sequence[str],
    *,
    folder: Path,
    log_path: Path,
    environ: Mapping[str, str],
    limits: Limits,
    on_poll: Callable[[], None],
    is_cancelled: Callable[[], bool],
) -> ProgramEnd:
    """Run a program, its output into a log file; nothing of it outlives the call.

    Parameters
    ----------
    command
        Program and arguments; no shell is involved.
    folder
        Where it runs.
    limits
        Wall time, and memory of the program and all that it starts.
    on_poll
        Called a few times a second.
    is_cancelled
        Asked a few times a second; True stops the program.

    Raises
    ------
    SimulationFailedError
        If the program cannot be started.
    SimulationTimeoutError, SimulationMemoryError
        If it went over a limit and was stopped.
    SimulationKilledError
        If a signal of someone else ended it.
    """
    begin = time.monotonic()
    with log_path.open("wb") as log:
        try:
            process = subprocess.Popen(  # noqa: S603 - the caller's own list, no shell
                list(command),
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise SimulationFailedError(
                f"{command[0]} could not be started: {error.strerror}"
            ) from error
    watched = _Watched(process, limits, begin)
    try:
        cancelled = watched.wait(on_poll, is_cancelled)
    except (SimulationTimeoutError, SimulationMemoryError) as error:
        raise type(error)(error.reason, log_tail(log_path)) from None
    finally:
        watched.stop()
    if process.returncode < 0 and not cancelled:
        name = signal.Signals(-process.returncode).name
        raise SimulationKilledError(
            f"its process was killed by {name}"
            + (" (out of memory?)" if name == "SIGKILL" else ""),
            log_tail(log_path),
        )
    return ProgramEnd(
        exit_code=process.returncode,
        is_cancelled=cancelled,
        wall_s=time.monotonic() - begin,
        cpu_s=watched.cpu_s,
        peak_memory_bytes=watched.peak_bytes,
    )


def log_tail(path: Path) -> str:
    """Return the end of a log."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
        return file.read().decode(errors="replace").strip()


class _Watched:
    """A process with all that it started."""

    def __init__(
        self, process: subprocess.Popen[bytes], limits: Limits, begin: float
    ) -> None:
        self._process = process
        self._limits = limits
        self._deadline = begin + limits.wall_s
        self.cpu_s = 0.0
        self.peak_bytes = 0

    def wait(
        self, on_poll: Callable[[], None], is_cancelled: Callable[[], bool]
    ) -> bool:
        """Return whether it was cancelled, once the process has ended."""
        while True:
            try:
                self._process.wait(timeout=_POLL_S)
            except subprocess.TimeoutExpired:
                pass
            else:
                on_poll()
                return False
            on_poll()
            if is_cancelled():
                return True
            self._measure()
            if self.peak_bytes > self._limits.memory_bytes:
                raise SimulationMemoryError(
                    f"it used {self.peak_bytes / 1e6:.0f} MB of memory, its limit is "
                    f"{self._limits.memory_bytes / 1e6:.0f} MB"
                )
            if time.monotonic() > self._deadline:
                raise SimulationTimeoutError(
                    f"it took longer than its limit of {self._limits.wall_s:g} s"
                )

    def _measure(self) -> None:
        used_bytes, cpu_s = 0, 0.0
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    used_bytes += process.memory_info().rss
                    times = process.cpu_times()
                    cpu_s += times.user + times.system
        self.peak_bytes = max(self.peak_bytes, used_bytes)
        self.cpu_s = max(self.cpu_s, cpu_s)

    def stop(self) -> None:
        """Kill what is left of the process group, and reap the process."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
