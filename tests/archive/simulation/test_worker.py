"""What the process of a simulation tells, without simulating."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from archive_assets.simulation import (
    AnomalousOverhead,
    Progress,
    ScriptFile,
    SimulationRequest,
    Variant,
)
from archive_assets.simulation.jobs import (
    Job,
    read_error,
    read_progress,
    read_report,
    write_progress,
)
from archive_assets.simulation.provenance import (
    environment_json,
    package_versions,
    request_digest,
)

Make = Callable[..., SimulationRequest]


def test_a_job_comes_back_as_it_was(request_of: Make, tmp_path: Path) -> None:
    request = request_of(
        tmp_path,
        scheduler=ScriptFile(path=tmp_path / "config.py"),
        variant=Variant(
            name="x", label="X", anomalous_overhead=AnomalousOverhead(seed=1, seconds=2)
        ),
    )
    job = Job(request=request, script=tmp_path / "config.py")

    job.write(tmp_path)

    assert Job.read(tmp_path) == job


def test_progress_is_replaced_in_one_step(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None

    for n_visits in (1, 2):
        write_progress(tmp_path, Progress(n_visits=n_visits, mjd=61042.5, fraction=0.5))

    told = read_progress(tmp_path)
    assert told is not None
    assert told.line == "2 visits, MJD 61042.5000, 50%"
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_a_worker_without_a_job_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "archive_assets.simulation.worker",
            str(tmp_path), str(os.getpid()),
        ],
        check=False,
        capture_output=True,
    )  # fmt: skip

    error = read_error(tmp_path)
    assert done.returncode == 1
    assert error is not None
    assert "job.json" in error["reason"]
    assert read_report(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 43},
        {"n_nights": 2},
        {"variant": Variant(name="nominal", label="Nominal", delay_minutes=1)},
        {"scheduler": ScriptFile(path=Path("config.py"))},
    ],
    ids=["seed", "nights", "variant", "scheduler"],
)
def test_the_digest_tells_requests_apart(
    request_of: Make, tmp_path: Path, change: dict[str, object]
) -> None:
    first = request_digest(request_of(tmp_path), None)

    assert request_digest(request_of(tmp_path, **change), None) != first
    assert request_digest(request_of(tmp_path / "elsewhere"), None) == first


def test_packages_of_conda_come_first(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta" / "numpy-9.json").write_text(
        '{"name": "numpy", "version": "9.9", "channel": "forge", "depends": []}'
    )
    environ = {"CONDA_PREFIX": str(tmp_path)}

    assert package_versions(environ)["numpy"] == "9.9"
    assert package_versions({})["numpy"] != "9.9"
    assert '{"channel": "forge", "name": "numpy"' in environment_json(environ)
    assert '"channel": "pypi", "name": "rubin-scheduler"' in environment_json(environ)
