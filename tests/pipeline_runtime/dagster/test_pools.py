"""Pools: given back by a run that was killed, waited for by a run that can be ended."""

import os
import signal
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
JOBS = """
import os, time
from pathlib import Path
import dagster as dg
from pipeline_runtime.dagster.executors import ONE_PROCESS, executor

FOLDER = Path(os.environ["WORK_FOLDER"])

def hold():
    (FOLDER / "held").touch()
    while not (FOLDER / "go").exists():
        time.sleep(0.05)

@dg.op(pool="l1db")
def holds():
    hold()

@dg.op(retry_policy=dg.RetryPolicy(max_retries=1, delay=100_000))
def tries():
    raise OSError("no route to host")

@dg.job(executor_def=ONE_PROCESS)
def one_process():
    holds()

@dg.job(executor_def=executor({}))
def processes():
    holds()

@dg.job(executor_def=ONE_PROCESS)
def retrying():
    tries()

defs = dg.Definitions(jobs=[one_process, processes, retrying])
"""


@dataclass
class Commands:
    """Runs ``dagster job execute`` on an instance without a daemon."""

    folder: Path
    environ: dict[str, str]
    started: list[subprocess.Popen[bytes]]

    def execute(self, job: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{job}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dagster", "job", "execute",
                 "-f", "jobs.py", "-j", job],
                cwd=self.folder, env=self.environ, stdout=log, stderr=log,
            )  # fmt: skip
        self.started.append(process)
        return process

    def log(self, job: str) -> str:
        return (self.folder / f"{job}.log").read_text()

    def wait_for(self, what: str, ask: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not ask():
            assert time.monotonic() < deadline, f"no {what}"
            ended = [p for p in self.started if p.poll()]
            assert not ended, [path.read_text() for path in self.folder.glob("*.log")]
            time.sleep(0.05)

    def let_go(self) -> None:
        (self.folder / "go").touch()


@pytest.fixture
def commands(tmp_path: Path, dagster_url: str) -> Iterator[Commands]:
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    del settings["compute_logs"]
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "jobs.py").write_text(JOBS)
    made = Commands(
        tmp_path,
        os.environ
        | {
            "DAGSTER_HOME": str(home),
            "DAGSTER_POSTGRES_URL": dagster_url,
            "PYTHONPATH": str(ROOT),
            "WORK_FOLDER": str(tmp_path),
        },
        [],
    )
    yield made
    for process in made.started:
        process.kill()
        process.wait()


def _held(commands: Commands) -> bool:
    return (commands.folder / "held").exists()


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.parametrize("waiting", ["one_process", "processes"])
def test_a_killed_run_gives_its_pool_to_the_next_one(
    waiting: str, commands: Commands
) -> None:
    killed = commands.execute("one_process")
    commands.wait_for("held pool", lambda: _held(commands))
    killed.kill()
    killed.wait()
    commands.let_go()

    done = commands.execute(waiting).wait(timeout=120)

    assert done == 0, commands.log(waiting)
    assert f"Freed pool l1db: process {killed.pid} on" in commands.log(waiting)


@pytest.mark.live
@pytest.mark.slow
def test_a_run_says_who_holds_its_pool_and_ends_while_it_waits(
    commands: Commands,
) -> None:
    holder = commands.execute("processes")
    commands.wait_for("held pool", lambda: _held(commands))
    waiting = commands.execute("one_process")
    held = f"Waiting for pool l1db: process {holder.pid} on"
    commands.wait_for("name", lambda: held in commands.log("one_process"))

    waiting.send_signal(signal.SIGTERM)
    ended = waiting.wait(timeout=120)
    commands.let_go()

    assert ended != 0
    assert holder.wait(timeout=120) == 0


@pytest.mark.live
@pytest.mark.slow
def test_a_run_ends_while_it_waits_for_its_next_try(commands: Commands) -> None:
    retrying = commands.execute("retrying")
    retry = "STEP_UP_FOR_RETRY"
    commands.wait_for("retry", lambda: retry in commands.log("retrying"))

    retrying.send_signal(signal.SIGTERM)

    assert retrying.wait(timeout=120) != 0


def test_dagster_still_waits_without_sleeping(instance: dg.DagsterInstance) -> None:
    # once it does sleep, `_Claims` of workarounds/executors.py has one task less
    from dagster._core.execution.plan.instance_concurrency_context import (  # noqa: PLC0415 - private: what the test is about
        InstanceConcurrencyContext,
    )

    claims = InstanceConcurrencyContext(instance, dg.DagsterRun(job_name="job"))
    claims._pending_claims.add("step")
    claims._pending_timeouts["step"] = time.time() + 10

    assert claims.interval_to_next_pending_claim_check() == 0
