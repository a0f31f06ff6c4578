"""Runs on this machine end when they should, and are missed when they are gone.

Dagster's default launcher learns of a dead run from the code server that started it.
If that server goes with it (the machine, or ``make ui`` ended by Ctrl-C), the run would
stay "started" and hold its place in the queue. And a run that is cancelled, or over its
deadline, is only asked to end: what hangs would hang on.
"""

import json
import threading
import time
from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
import psutil
from dagster._core.launcher import (
    CheckRunHealthResult,
    DefaultRunLauncher,
    WorkerStatus,
)
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import ConfigurableClassData
from typing_extensions import override

__all__ = ["WatchedRunLauncher"]

_CLOCK_STEP_S = 60.0  # a clock that was set meanwhile makes no other process of it
_POLL_S = 0.5


class WatchedRunLauncher(DefaultRunLauncher):
    """The default launcher, with an eye on the processes of its runs.

    Run monitoring fails a run whose process is gone; its retry takes what is stored
    as done. Runs of code servers on other machines are left to them.

    Parameters
    ----------
    patience_seconds
        How long a process must be gone: its code server, which the retry needs, may
        be coming back. And how long a cancelled one may take to end by itself.
    """

    def __init__(
        self,
        inst_data: ConfigurableClassData | None = None,
        patience_seconds: float = 60.0,
    ) -> None:
        super().__init__(inst_data)
        self._patience_s = patience_seconds
        self._gone_since: dict[str, float] = {}

    @classmethod
    @override
    def config_type(cls) -> dict[str, dg.Field]:
        """Return what ``dagster.yaml`` may say."""
        return {"patience_seconds": dg.Field(float, default_value=60.0)}

    @classmethod
    @override
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> Self:
        """Return the launcher that ``dagster.yaml`` describes."""
        return cls(inst_data, **config_value)

    @property
    @override
    def supports_check_run_worker_health(self) -> bool:
        """Whether run monitoring may ask."""
        return True

    @override
    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Look for the process that reported itself as the run's."""
        worker = self._worker(run)
        if worker is None or worker.is_running():
            self._gone_since.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        since = self._gone_since.setdefault(run.run_id, time.monotonic())
        if time.monotonic() - since < self._patience_s:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its process is gone")
        del self._gone_since[run.run_id]
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"{worker} is gone")

    @override
    def terminate(self, run_id: str) -> bool:
        """Ask a run to end; end its process if that takes too long."""
        run = self._instance.get_run_by_id(run_id)
        worker = self._worker(run) if run else None
        is_asked = bool(super().terminate(run_id))  # type: ignore[no-untyped-call]  # Dagster's has no annotations
        if worker is not None:
            threading.Thread(
                target=self._see_it_end, args=(run_id, worker), daemon=True
            ).start()
        return is_asked

    def _see_it_end(self, run_id: str, worker: "_Worker") -> None:
        deadline = time.monotonic() + self._patience_s
        while worker.is_running():
            if time.monotonic() > deadline:
                run = self._instance.get_run_by_id(run_id)
                if run and not run.is_finished:  # a killed one would be run again
                    self._instance.report_run_canceled(run)
                worker.kill()
                return
            time.sleep(_POLL_S)

    def _worker(self, run: dg.DagsterRun) -> "_Worker | None":
        """Return the process of a run of this machine that has said which it is."""
        if "socket" not in json.loads(run.tags.get(GRPC_INFO_TAG, "{}")):
            return None
        events = self._instance.all_logs(
            run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT
        )
        for entry in events:
            event = entry.dagster_event
            pid = event.engine_event_data.metadata.get("pid") if event else None
            if isinstance(pid, dg.TextMetadataValue) and pid.text:
                return _Worker(int(pid.text), entry.timestamp)
        return None


class _Worker:
    """The process of a run: its number, and when it said so, s since 1970."""

    def __init__(self, pid: int, said_at: float) -> None:
        self.pid = pid
        self.said_at = said_at

    @override
    def __str__(self) -> str:
        return f"process {self.pid}"

    def is_running(self) -> bool:
        """Tell whether it is there: began before it said so, and has not ended."""
        try:
            process = self._process()
            return process is not None and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def kill(self) -> None:
        """Kill it and its children: every step is stored whole or not at all."""
        if (process := self._process()) is None:
            return
        for doomed in (*process.children(recursive=True), process):
            try:
                doomed.kill()
            except psutil.NoSuchProcess:
                continue

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            is_it = process.create_time() < self.said_at + _CLOCK_STEP_S
        except psutil.NoSuchProcess:
            return None
        return process if is_it else None
