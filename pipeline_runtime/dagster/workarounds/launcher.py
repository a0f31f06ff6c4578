"""Runs end when they should, are missed when they are gone, and may start slowly.

Dagster's default launcher learns of a dead run from the code server that started it.
If that server ends with it (the machine, or ``make ui`` ended by Ctrl-C), the run would
stay "started" and hold its place in the queue. A run that is cancelled, or over its
deadline, is only asked to end: what hangs would hang on. And a run whose process takes
longer to import everything than the call that starts it may last is put back into the
queue while that process continues: it fails although it is well, or works twice.

Dagster issues 13155 (cancelled runs that hang) and 15325 (runs given up while they
start) are open. The stories of ``tests/live/test_processes.py`` and
``test_slow_start.py`` tell when this can go: they pass with the default launcher.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import (
    CheckRunHealthResult,
    DefaultRunLauncher,
    LaunchRunContext,
    WorkerStatus,
)
from typing_extensions import override

from pipeline_runtime.dagster.workarounds.run_process import RunProcess, process_of

__all__ = ["WatchedRunLauncher"]

_POLL_S = 0.5


class WatchedRunLauncher(DefaultRunLauncher):
    """The default launcher, with an eye on the processes of its runs.

    Run monitoring fails a run whose process is gone; its retry takes what is stored
    as done. Runs on other machines are left to those.

    Parameters
    ----------
    patience_seconds
        How long a process must be gone: its code server, which the retry needs, may
        be coming back. And how long a cancelled one may take to end by itself.
    """

    def __init__(
        self,
        inst_data: Any = None,  # Any: Dagster keeps the name private
        patience_seconds: float = 60.0,
    ) -> None:
        super().__init__(inst_data)
        self._patience_s = patience_seconds
        self._gone_since: dict[tuple[str, int], float] = {}

    @classmethod
    @override
    def config_type(cls) -> dict[str, dg.Field]:
        """Return what ``dagster.yaml`` may say."""
        return {"patience_seconds": dg.Field(float, default_value=60.0)}

    @classmethod
    @override
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """Return the launcher that ``dagster.yaml`` describes."""
        return cls(inst_data, **config_value)

    @override
    def launch_run(self, context: LaunchRunContext) -> None:
        """Start a run; a code server that is slow to answer has started it, too.

        Whether the run starts at all is then for run monitoring to see. A code server
        that cannot be reached raises, and Dagster queues the run again.
        """
        try:
            super().launch_run(context)
        except DagsterUserCodeUnreachableError as error:
            if not _timed_out(error):
                raise
            self._instance.report_engine_event(
                "The code server has not answered yet: the run is still starting.",
                context.dagster_run,
                cls=self.__class__,
            )

    @property
    @override
    def supports_check_run_worker_health(self) -> bool:
        """Whether run monitoring may ask."""
        return True

    @override
    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Look for the process that executes the run."""
        process = process_of(self._instance, run)
        if process is None or not process.is_gone():
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        seen = run.run_id, process.pid
        since = self._gone_since.setdefault(seen, time.monotonic())
        if time.monotonic() - since < self._patience_s:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its process is gone")
        del self._gone_since[seen]
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"{process} is gone")

    @override
    def terminate(self, run_id: str) -> bool:
        """Ask a run to end; end its process if that takes too long."""
        run = self._instance.get_run_by_id(run_id)
        process = process_of(self._instance, run) if run else None
        is_asked = bool(super().terminate(run_id))  # type: ignore[no-untyped-call]  # Dagster's has no annotations
        if process is not None and process.is_here:
            threading.Thread(
                target=self._see_it_end, args=(run_id, process), daemon=True
            ).start()
        return is_asked

    def _see_it_end(self, run_id: str, process: RunProcess) -> None:
        deadline = time.monotonic() + self._patience_s
        while not process.is_gone():
            if time.monotonic() > deadline:
                run = self._instance.get_run_by_id(run_id)
                if run and not run.is_finished:  # a killed one would be run again
                    self._instance.report_run_canceled(run)
                process.kill()
                return
            time.sleep(_POLL_S)


def _timed_out(error: DagsterUserCodeUnreachableError) -> bool:
    """Tell a call that took too long from one that never arrived."""
    code = getattr(error.__cause__, "code", None)  # of a gRPC error
    return code is not None and code().name == "DEADLINE_EXCEEDED"
