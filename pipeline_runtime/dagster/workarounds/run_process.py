"""The process of a run: which one it is, on which machine, and whether it is there.

An executor of this project says where it executes; Dagster's own say only the number
of their process, which means nothing on another machine. No private name is needed:
the module is here for `launcher` and `event_log`, and can go when they go.
"""

import json
import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from typing_extensions import override

__all__ = ["EXECUTES", "RunProcess", "place_metadata", "process_of"]

EXECUTES = "Executing steps"
"""Begins what the worker says that executes a run; one that was ignored never does."""
_CODE_SERVER_TAG = ".dagster/grpc_info"
_STARTED = "Started process for run"
_CLOCK_STEP_S = 60.0  # a clock that was set meanwhile makes no other process of it


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where the number of a process has a meaning."""

    host: str
    boot: str
    """Which start of the machine."""
    pid_namespace: str
    """Which container on it; they may share the name of their machine."""


@cache
def _here() -> _Place:
    """Return the place of this process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:  # not Linux
        boot, namespace = str(int(psutil.boot_time())), ""
    return _Place(host=socket.gethostname(), boot=boot, pid_namespace=namespace)


@dataclass(frozen=True, slots=True)
class RunProcess:
    """The process that executes a run: its number, and when it said so."""

    pid: int
    said_at: float
    """Seconds since 1970."""
    place: _Place

    @override
    def __str__(self) -> str:
        return f"process {self.pid} on {self.place.host}"

    @property
    def is_here(self) -> bool:
        """Whether this process can look at it and end it."""
        return self.place == _here()

    def is_gone(self) -> bool:
        """Tell whether it has surely ended; never of another machine's process."""
        if self.place.host != _here().host:
            return False
        if self.place.boot != _here().boot:
            return True  # the machine was restarted
        return self.is_here and not self._is_running()

    def kill(self) -> None:
        """Kill it and its children: every step is stored whole or not at all."""
        if not self.is_here or (process := self._process()) is None:
            return
        for doomed in (*process.children(recursive=True), process):
            try:
                doomed.kill()
            except psutil.NoSuchProcess:
                continue

    def _is_running(self) -> bool:
        try:
            process = self._process()
            return process is not None and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def _process(self) -> psutil.Process | None:
        """Return it, unless its number belongs to a later process now."""
        try:
            process = psutil.Process(self.pid)
            is_it = process.create_time() < self.said_at + _CLOCK_STEP_S
        except psutil.NoSuchProcess:
            return None
        return process if is_it else None


def place_metadata() -> dict[str, str]:
    """Return what an executor says of itself, for `process_of`."""
    return {"pid": str(os.getpid()), **asdict(_here())}


def process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> RunProcess | None:
    """Return the process that executes a run, None if it cannot be known.

    Of several workers it is the one that executes: another was started while this one
    was slow to say anything, and ended at once. A worker that has said only its number
    is one of this machine if its code server has a socket here.
    """
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    found = [process for entry in events if (process := _said(entry))]
    placed = [said for said in found if "host" in said[1]]
    executing = [said for said in found if said[0].message.startswith(EXECUTES)]
    if placed:
        event, metadata = placed[-1]
        place = _Place(**{name: metadata[name] for name in _Place.__slots__})
    elif found and _has_socket(run):
        event, metadata = (executing or found)[-1]
        place = _here()
    else:
        return None
    return RunProcess(int(metadata["pid"]), event.timestamp, place)


def _said(entry: dg.EventLogEntry) -> tuple[dg.EventLogEntry, dict[str, Any]] | None:
    """Return what an event says of a run's own process, if it does."""
    event = entry.dagster_event
    if not event or not str(event.message).startswith((EXECUTES, _STARTED)):
        return None
    said = event.engine_event_data.metadata
    texts = {n: v.text for n, v in said.items() if isinstance(v, dg.TextMetadataValue)}
    return (entry, texts) if "pid" in texts else None


def _has_socket(run: dg.DagsterRun) -> bool:
    return "socket" in json.loads(run.tags.get(_CODE_SERVER_TAG, "{}"))
