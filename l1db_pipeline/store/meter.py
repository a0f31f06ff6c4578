"""What a server spends on one connection: CPU of its thread, bytes of its log."""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["IN_CLIENT", "UNKNOWN", "ServerMeter", "meter_of_thread"]

IN_CLIENT = "in the client"
_PROC = Path("/proc")
_NS_PER_S = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerMeter:
    """Counters of one connection's server; only differences mean something."""

    where: str
    """Where the server's work is done, in words."""
    cpu_s: Callable[[], float | None]
    """CPU seconds that the server has spent on this connection; `None` if unknown."""
    log_bytes: Callable[[], int | None]
    """Bytes that the server has written to its log; `None` if unknown."""
    whole_cpu_s: Callable[[], float | None] = lambda: None
    """CPU seconds of the whole server, of every connection and in the background."""


UNKNOWN = ServerMeter(
    where="its CPU is not counted", cpu_s=lambda: None, log_bytes=lambda: None
)


def meter_of_thread(
    thread: int | None,
    *,
    programs: Collection[str],
    is_near: bool,
    log_bytes: Callable[[], int | None],
) -> ServerMeter:
    """Return the meter of a connection that one thread of a server serves.

    Parameters
    ----------
    thread
        Number of the thread, or of the process if that has one thread only, as the
        server knows it.
    programs
        Names of the server's program. A thread of another program is not the
        server's: it runs in a container with process numbers of its own.
    is_near
        Whether the connection stays on this machine.
    log_bytes
        Of `ServerMeter`.
    """
    server = _process_of(thread, programs) if thread and is_near else None
    if server is None:
        return ServerMeter(
            where="on another machine or in a container: its CPU is not visible",
            cpu_s=lambda: None,
            log_bytes=log_bytes,
        )
    folder = _PROC / str(thread)
    return ServerMeter(
        where=f"on this machine, thread {thread}",
        cpu_s=lambda: _thread_cpu_s(folder),
        log_bytes=log_bytes,
        whole_cpu_s=lambda: _whole_cpu_s(server),
    )


def _process_of(thread: int, programs: Collection[str]) -> psutil.Process | None:
    """Return the process that has all of a server's others, or its one process."""
    try:
        status = (_PROC / str(thread) / "status").read_text()
        pid = int(status.partition("Tgid:")[2].split(maxsplit=1)[0])
        process = psutil.Process(pid)
        if process.name() not in programs:
            return None
        parent = process.parent()
        return parent if parent and parent.name() in programs else process
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _thread_cpu_s(folder: Path) -> float | None:
    try:
        text = (folder / "task" / folder.name / "schedstat").read_text()
        return int(text.split()[0]) / _NS_PER_S
    except (OSError, ValueError, IndexError):
        return _ticks_s(folder)


def _ticks_s(folder: Path) -> float | None:
    """Return the same in steps of 10 ms: some kernels have no ``schedstat``."""
    try:
        stat = (folder / "task" / folder.name / "stat").read_text().rpartition(")")[2]
    except OSError:
        return None
    return sum(map(int, stat.split()[11:13])) / os.sysconf("SC_CLK_TCK")


def _whole_cpu_s(server: psutil.Process) -> float | None:
    """Return the CPU seconds of a server, its children and those that have ended."""
    try:
        own = server.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in server.children():
            try:
                times = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
    except psutil.Error:
        return None
    return float(total)
