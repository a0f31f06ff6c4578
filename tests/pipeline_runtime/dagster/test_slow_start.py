"""A run whose process starts slowly is neither failed nor started twice."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CALL_S = 4  # the call that starts a run; its process waits until it has timed out
LOCATION = """
import os
from pathlib import Path
import dagster as dg

@dg.op
def work():
    with Path(os.environ["WORK_FOLDER"], "done").open("a") as done:
        done.write("once\\n")

@dg.job(executor_def=dg.in_process_executor)
def working():
    work()

defs = dg.Definitions(jobs=[working])
"""
# read by each Python at its start: the process of a run waits until it may go on
SLOW_START = """
import os, sys, time
go = os.path.join(os.environ["WORK_FOLDER"], "go")
while "--multiprocessing-fork" in sys.orig_argv and not os.path.exists(go):
    time.sleep(0.05)
"""


@dataclass(frozen=True)
class Site:
    """An instance as it is shipped, on files, with a location of one job."""

    folder: Path
    environ: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=self.folder, env=self.environ, stdout=log, stderr=log,
            )  # fmt: skip

    def wait_for(self, what: str, ask: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 200
        while not ask():
            log = (self.folder / "log").read_text()
            assert time.monotonic() < deadline, f"no {what}: {log[-3000:]}"
            time.sleep(0.1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    del settings["storage"], settings["compute_logs"]
    settings["run_queue"] |= {
        "dequeue_interval_seconds": 1,
        "user_code_failure_retry_delay": 1,
    }
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "location.py").write_text(LOCATION)
    (tmp_path / "sitecustomize.py").write_text(SLOW_START)
    server = {"socket": str(tmp_path / "s"), "location_name": "location"}
    (tmp_path / "workspace.yaml").write_text(
        yaml.safe_dump({"load_from": [{"grpc_server": server}]})
    )
    made = Site(
        tmp_path,
        os.environ
        | {
            "DAGSTER_HOME": str(home),
            "DAGSTER_GRPC_TIMEOUT_SECONDS": str(CALL_S),
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "WORK_FOLDER": str(tmp_path),
        },
    )
    code_server = made.start(
        "dagster", "api", "grpc", "-m", "location", "--socket", server["socket"]
    )
    made.wait_for("code server", lambda: Path(server["socket"]).exists())
    daemon = made.start("dagster._daemon", "run", "-w", "workspace.yaml")
    yield made
    for process in (daemon, code_server):
        process.kill()
        process.wait()


@pytest.mark.live
def test_a_run_that_starts_slowly_runs_once_and_succeeds(site: Site) -> None:
    launch = site.start(
        "dagster", "job", "launch", "-w", "workspace.yaml", "-j", "working"
    )
    assert launch.wait() == 0, (site.folder / "log").read_text()

    with dg.DagsterInstance.from_config(str(site.folder / "home")) as instance:
        (run,) = instance.get_runs()

        def said(text: str) -> bool:
            return any(text in (e.message or "") for e in instance.all_logs(run.run_id))

        def is_finished() -> bool:
            return instance.get_run_by_id(run.run_id).is_finished  # type: ignore[union-attr]

        site.wait_for("time-out", lambda: said("the run is still starting"))
        (site.folder / "go").touch()
        site.wait_for("end", is_finished)
        (found,) = instance.get_runs()

        assert found.status is dg.DagsterRunStatus.SUCCESS
        assert not said("re-submitting the run into the queue")
    assert (site.folder / "done").read_text() == "once\n"
