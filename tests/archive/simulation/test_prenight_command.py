"""``prenight run`` as people run it, with a quick program in the scheduler's place."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from opsim_night import write_opsim

from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

pytestmark = [pytest.mark.postgresql, pytest.mark.live]

Run = Callable[..., "subprocess.Popen[str]"]

# says that it runs, then waits for a file before it leaves the visits
WAITS = """
import pathlib, shutil, sys, time
visits, opsim, go = map(pathlib.Path, sys.argv[1:])
pathlib.Path("half.db").write_bytes(b"half")
while not go.exists():
    time.sleep(0.02)
shutil.copy(visits, opsim)
"""


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "go"


@pytest.fixture
def run(
    archive_connect: dict[str, str],
    vsarch: VisitSequenceArchiveMetadata,
    site_data: Path,
    tmp_path: Path,
    go: Path,
) -> Run:
    environ = {
        **os.environ,
        "VSARCHIVE_PGHOST": archive_connect["host"],
        "VSARCHIVE_PGPORT": archive_connect.get("port", "5432"),
        "VSARCHIVE_PGUSER": archive_connect["user"],
        "VSARCHIVE_PGDATABASE": archive_connect["dbname"],
        "VSARCHIVE_PGSCHEMA": vsarch.metadata_db_schema,
        "RUBIN_SIM_DATA_DIR": str(site_data),
        "PRENIGHT_WORK": str(tmp_path / "work"),
        "ARCHIVE_URL": (tmp_path / "archive").as_uri(),
        "PRENIGHT_INDEX_URL": (tmp_path / "index").as_uri(),
    }
    visits = write_opsim(tmp_path / "visits.db", night="2026-01-01")
    program = [sys.executable, "-c", WAITS, str(visits), "{opsim}", str(go)]

    def start(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [
                sys.executable, "-m", "archive_assets.cli.prenight", "run",
                "--day-obs", "20260101", "--nights", "1",
                "--variant", "nominal", "--variant", "seeing044",
                "--command", shlex.join(program), *arguments,
            ],
            env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def visible(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if not p.name.startswith(".")]


def wait_for_programs(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    while len(found := psutil.Process(process.pid).children(recursive=True)) < 4:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return found


def end(programs: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(programs, timeout=10)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def test_an_interrupted_run_ends_its_programs_and_leaves_nothing(
    run: Run, tmp_path: Path
) -> None:
    process = run()
    programs = wait_for_programs(process)

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=200)

    assert process.returncode != 0
    end(programs)
    assert list((tmp_path / "work").iterdir()) == []
    assert not (tmp_path / "index").exists()


def test_a_killed_run_leaves_nothing_visible_and_a_second_one_completes(
    run: Run, go: Path, tmp_path: Path, vsarch: VisitSequenceArchiveMetadata
) -> None:
    first = run()
    programs = wait_for_programs(first)
    first.kill()
    first.communicate()
    assert visible(tmp_path / "work") == []
    end(programs)
    go.touch()

    second = run("--progress")
    told, errors = second.communicate(timeout=200)

    assert second.returncode == 0
    assert errors == "2 variants archived; next: prenight report --day-obs 2026-01-01\n"
    rows = [line.split("\t") for line in told.splitlines()]
    assert sorted(row[0] for row in rows) == ["nominal", "seeing044"]
    assert all(row[2].endswith(" visits") for row in rows)
    for row in rows:
        assert vsarch.get_visitseq_url(UUID(row[1])) is not None
    assert list((tmp_path / "work").iterdir()) == []
