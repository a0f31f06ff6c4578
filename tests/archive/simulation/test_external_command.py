import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from archive_assets.simulation import (
    Limits,
    ParentVisits,
    SimulationRequest,
    SimulationResult,
    Telescope,
    simulate,
)
from archive_assets.simulation.drivers import ExternalCommandDriver, OpsimFileDriver
from archive_assets.simulation.errors import (
    ParentVisitsError,
    SimulationCancelledError,
    SimulationFailedError,
    SimulationKilledError,
    SimulationMemoryError,
    SimulationRangeError,
    SimulationTimeoutError,
    WorkFolderError,
)
from archive_assets.simulation.folders import running_folder

Make = Callable[..., SimulationRequest]

LEAVES_A_FILE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("CREATE TABLE observations (observationStartMJD REAL)")
connection.executemany("INSERT INTO observations VALUES (?)", [(61042.1,), (61042.2,)])
connection.commit()
print("simulated", *sys.argv[2:])
"""


def program(text: str, *arguments: str) -> ExternalCommandDriver:
    return ExternalCommandDriver((sys.executable, "-c", text, *arguments))


def test_an_external_command_leaves_an_opsim_file(
    request_of: Make, tmp_path: Path
) -> None:
    driver = program(LEAVES_A_FILE, "{opsim}", "{day_obs}", "{n_nights}", "{variant}")

    result = simulate(request_of(tmp_path), driver)

    assert result.n_visits == 2
    assert result.log_path.read_text() == "simulated 20260101 1 nominal\n"
    assert result.provenance["command"][0] == sys.executable
    assert [path.name for path in tmp_path.iterdir()] == [result.folder.name]


def test_arguments_do_not_go_through_a_shell(request_of: Make, tmp_path: Path) -> None:
    driver = program(LEAVES_A_FILE, "{opsim}", "; touch owned", "$(touch owned)")

    result = simulate(request_of(tmp_path), driver)

    assert result.log_path.read_text() == "simulated ; touch owned $(touch owned)\n"
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.parametrize(
    ("text", "limits", "error", "match"),
    [
        ("import sys; sys.exit('no sky')", {}, SimulationFailedError, "no sky"),
        ("pass", {}, SimulationFailedError, r"left no opsim\.db"),
        (
            "import os; os.kill(os.getpid(), 9)",
            {},
            SimulationKilledError,
            r"killed by SIGKILL \(out of memory\?\)",
        ),
        (
            "import time; time.sleep(60)",
            {"wall_s": 0.3},
            SimulationTimeoutError,
            r"longer than its limit of 0\.3 s",
        ),
        (
            "import time; x = b'x' * 200_000_000; time.sleep(60)",
            {"memory_bytes": 100_000_000},
            SimulationMemoryError,
            "its limit is 100 MB",
        ),
        (
            "import sys; open(sys.argv[1], 'w').write('x' * 100)",
            {},
            SimulationFailedError,
            "is not an opsim file",
        ),
    ],
    ids=["exit", "nothing", "killed", "time", "memory", "garbage"],
)
def test_a_failed_command_leaves_nothing(
    request_of: Make,
    tmp_path: Path,
    text: str,
    limits: dict[str, Any],
    error: type[Exception],
    match: str,
) -> None:
    request = request_of(tmp_path, limits=Limits(**limits))

    with pytest.raises(error, match=match):
        simulate(request, program(text, "{opsim}"))

    assert list(tmp_path.iterdir()) == []


def test_what_a_command_started_ends_with_it(request_of: Make, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    text = (
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '99'])\n"
        "pathlib.Path('pid').write_text(str(child.pid))\n"
        f"os.rename('pid', {str(pid_file)!r})\n"
        "time.sleep(99)"
    )
    request = request_of(tmp_path / "work", limits=Limits(wall_s=20))

    with pytest.raises(SimulationCancelledError, match="nothing is left"):
        simulate(request, program(text), is_cancelled=pid_file.exists)

    with suppress(psutil.NoSuchProcess):
        child = psutil.Process(int(pid_file.read_text()))
        psutil.wait_procs([child], timeout=10)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_program_that_is_not_there_is_told(request_of: Make, tmp_path: Path) -> None:
    with pytest.raises(
        SimulationFailedError, match="there is no program no-such-program"
    ):
        simulate(request_of(tmp_path), ExternalCommandDriver(("no-such-program",)))


@pytest.mark.parametrize("argument", ["{night}", "{0}", "{", "{opsim.parent.x}"])
def test_unknown_placeholders_are_refused(argument: str) -> None:
    with pytest.raises(SimulationRangeError, match="a placeholder that is not one of"):
        ExternalCommandDriver(("run_lsst_sim", argument))


def test_leftovers_of_a_killed_run_are_swept_not_added_to(
    request_of: Make, tmp_path: Path
) -> None:
    leftover = tmp_path / ".running-20260101-simonyi-nominal-00000000"
    leftover.mkdir()
    (leftover / ".lock").touch()
    (leftover / "opsim.db").write_bytes(b"half")

    result = simulate(request_of(tmp_path), program(LEAVES_A_FILE, "{opsim}"))

    assert [path.name for path in tmp_path.iterdir()] == [result.folder.name]
    assert result.n_visits == 2


def test_two_runs_of_a_variant_do_not_share_a_folder(
    request_of: Make, tmp_path: Path
) -> None:
    driver = program(LEAVES_A_FILE, "{opsim}")

    folders = {simulate(request_of(tmp_path), driver).folder for _ in range(2)}

    assert len(folders) == 2


def test_a_work_folder_that_is_a_file_is_told(request_of: Make, tmp_path: Path) -> None:
    (tmp_path / "work").touch()

    with pytest.raises(WorkFolderError, match="cannot write to the work folder"):
        simulate(request_of(tmp_path / "work"), program(LEAVES_A_FILE, "{opsim}"))


def test_an_opsim_file_is_taken_as_it_is(request_of: Make, tmp_path: Path) -> None:
    opsim = tmp_path / "theirs.db"
    with closing(sqlite3.connect(opsim)) as connection, connection:
        connection.execute("CREATE TABLE observations (observationStartMJD REAL)")

    result: SimulationResult = simulate(
        request_of(tmp_path / "work"), OpsimFileDriver(opsim_path=opsim)
    )

    assert result.is_empty
    assert result.opsim_path.read_bytes() == opsim.read_bytes()
    assert result.provenance["opsim_file"] == str(opsim)


def test_nothing_is_said_of_how_a_file_was_made(
    request_of: Make, tmp_path: Path
) -> None:
    opsim = tmp_path / "theirs.db"
    with closing(sqlite3.connect(opsim)) as connection:
        connection.execute("CREATE TABLE observations (observationStartMJD REAL)")
    request = request_of(tmp_path / "work")

    facts = dict(simulate(request, OpsimFileDriver(opsim_path=opsim)).provenance)
    with closing(sqlite3.connect(opsim)) as connection:
        connection.execute("CREATE TABLE other (a)")
    other = simulate(request, OpsimFileDriver(opsim_path=opsim)).provenance

    unknown = {"scheduler_version", "site_data", "config_url", "seed", "packages"}
    assert not unknown & facts.keys()
    assert other["request_digest"] != facts["request_digest"]


def test_an_opsim_file_without_visits_table_is_refused(
    request_of: Make, tmp_path: Path
) -> None:
    (tmp_path / "theirs.db").write_bytes(b"")

    with pytest.raises(SimulationFailedError, match="no such table: observations"):
        simulate(
            request_of(tmp_path / "work"),
            OpsimFileDriver(opsim_path=tmp_path / "theirs.db"),
        )

    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_nights": 0}, "number of nights must be 1 to 400, not 0"),
        ({"first_day_obs": "2024-05-05"}, "before the start of the survey"),
    ],
)
def test_impossible_nights_are_refused_at_once(
    request_of: Make, tmp_path: Path, night: Any, changes: dict[str, Any], match: str
) -> None:
    if "first_day_obs" in changes:
        changes = {"first_day_obs": type(night).fromisoformat(changes["first_day_obs"])}

    with pytest.raises(SimulationRangeError, match=match):
        simulate(request_of(tmp_path, **changes))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("telescope", "last", "match"),
    [
        (Telescope.AUXTEL, -1, "are of auxtel, the simulation is of simonyi"),
        (Telescope.SIMONYI, 0, "go through 2026-01-01: they must end before"),
        (Telescope.SIMONYI, -1, "there are no completed visits at"),
    ],
    ids=["telescope", "late", "missing"],
)
def test_a_parent_that_does_not_fit_is_refused_at_once(
    request_of: Make,
    tmp_path: Path,
    night: Any,
    telescope: Telescope,
    last: int,
    match: str,
) -> None:
    parent = ParentVisits(
        path=tmp_path / "completed.db",
        telescope=telescope,
        last_day_obs=type(night).fromordinal(night.toordinal() + last),
    )

    with pytest.raises(ParentVisitsError, match=match):
        simulate(request_of(tmp_path, parent=parent))


def test_runs_that_begin_together_do_not_sweep_each_other(tmp_path: Path) -> None:
    def run(k: int) -> bool:
        with running_folder(tmp_path, f"run-{k}") as folder:
            (folder / "opsim.db").touch()
            return (folder / ".lock").exists()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(run, range(200)))

    assert list(tmp_path.iterdir()) == []
