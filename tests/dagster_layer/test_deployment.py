"""What `docs/deployment.md` offers: instances, executors and values that are valid."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from pipeline_runtime.dagster.executors import executor
from pipeline_runtime.errors import EnvironmentValueError

ROOT = Path(__file__).resolve().parents[2]
DASK_JOB = """
import os, sys, time
from pathlib import Path
import dagster as dg
from pipeline_runtime.dagster.executors import executor
from pipeline_runtime.errors import EnvironmentValueError

FOLDER = Path(os.environ["DASK_TEST_FOLDER"])

def wait_for_the_other(name, other):
    (FOLDER / name).write_text(str(os.getpid()))
    deadline = time.monotonic() + 120
    while not (FOLDER / other).exists():
        assert time.monotonic() < deadline, "the other step does not run"
        time.sleep(0.1)

@dg.op
def one():
    wait_for_the_other("one", "two")

@dg.op
def two():
    wait_for_the_other("two", "one")

@dg.job(executor_def=executor({"DAGSTER_EXECUTOR": "dask"}))
def both():
    one()
    two()
"""


@pytest.mark.parametrize(
    "file", ["dagster.yaml", "deploy/dagster-production.yaml"], ids=str
)
def test_an_instance_file_is_valid_and_holds_no_secret(
    file: str, tmp_path: Path
) -> None:
    content = (ROOT / file).read_text()
    (tmp_path / "dagster.yaml").write_text(content)

    config, _ = dagster_instance_config(str(tmp_path))

    limits = config["concurrency"]["runs"]["tag_concurrency_limits"]
    assert {"key": "l1db/writer", "limit": 1} in limits
    assert config["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
    assert "password: " not in content.replace("password:\n", "")


def test_the_kubernetes_values_run_both_locations_with_secrets_by_name() -> None:
    values = yaml.safe_load((ROOT / "deploy/kubernetes-values.yaml").read_text())
    deployments = values["dagster-user-deployments"]["deployments"]
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]

    assert [d["dagsterApiGrpcArgs"][1] for d in deployments] == [
        place["python_module"]["module_name"] for place in workspace
    ]
    for deployment in deployments:
        assert set(deployment) <= {
            "name", "image", "dagsterApiGrpcArgs", "port", "envSecrets", "resources",
        }  # fmt: skip
        assert set(deployment["image"]) == {"repository", "tag", "pullPolicy"}
        assert all(set(secret) == {"name"} for secret in deployment["envSecrets"])
    launcher = values["runLauncher"]
    assert launcher["type"] == "K8sRunLauncher"
    assert set(launcher["config"]) == {"k8sRunLauncher"}
    coordinator = values["dagsterDaemon"]["runCoordinator"]["config"]
    assert set(coordinator) == {"queuedRunCoordinator"}
    assert "assword" not in str(values["dagster-user-deployments"])


@pytest.mark.parametrize("name", ["multiprocess", "in_process"])
def test_an_executor_is_chosen_by_its_name(name: str) -> None:
    assert isinstance(executor({"DAGSTER_EXECUTOR": name}), dg.ExecutorDefinition)


def test_an_unknown_executor_is_refused_with_the_choices() -> None:
    with pytest.raises(EnvironmentValueError, match="multiprocess, in_process, dask"):
        executor({"DAGSTER_EXECUTOR": "celery"})


@pytest.mark.live
@pytest.mark.slow
def test_dask_runs_two_steps_on_two_worker_processes_at_once(tmp_path: Path) -> None:
    pytest.importorskip("dagster_dask")
    (tmp_path / "both_steps.py").write_text(DASK_JOB)
    (tmp_path / "home").mkdir()
    environ = os.environ | {
        "DASK_TEST_FOLDER": str(tmp_path),
        "DAGSTER_HOME": str(tmp_path / "home"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
    }

    done = subprocess.run(
        [
            sys.executable, "-m", "dagster", "job", "execute",
            "-m", "both_steps", "-j", "both",
            "-c", str(ROOT / "deploy" / "dask-executor.yaml"),
        ],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=280,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
    pids = {(tmp_path / name).read_text() for name in ("one", "two")}
    assert len(pids) == 2
