import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import psutil
import pytest
from opsim_night import write_opsim

from archive_assets.simulation import (
    AnomalousOverhead,
    ParentVisits,
    Progress,
    ScriptFile,
    SimulationRequest,
    SimulationResult,
    Telescope,
    Variant,
    simulate,
)
from archive_assets.simulation.errors import (
    SimulationKilledError,
    SimulationTimeoutError,
)
from archive_assets.simulation.folders import sweep_leftovers
from visit_tables.hdf5.read import write_visits
from visit_tables.opsim.frame import read_opsim

pytestmark = pytest.mark.scheduler

Make = Callable[..., SimulationRequest]


def visits(result: SimulationResult) -> pd.DataFrame:
    return read_opsim(result.opsim_path)


def test_the_end_of_a_night_has_hundreds_of_visits(nominal: SimulationResult) -> None:
    table = visits(nominal)

    assert 100 < len(table) == nominal.n_visits < 400
    assert table["observationStartMJD"].is_monotonic_increasing
    assert table["observationStartMJD"].between(61041.5, 61042.5).all()
    assert table["fiveSigmaDepth"].between(18, 26).all()
    assert table["altitude"].between(20, 87).all()
    assert set(table["band"]) <= set("ugrizy")


def test_a_result_says_how_it_came_about(nominal: SimulationResult) -> None:
    facts = nominal.provenance

    assert facts["site_data"] == "synthetic"
    assert facts["scheduler_version"] == facts["packages"]["rubin-scheduler"]
    assert facts["variant"]["observatory"]["seeing_arcsec"] == 0.6
    assert facts["sim_runner_kwargs"]["sim_duration"] == pytest.approx(0.126, abs=1e-3)
    assert facts["cpu_s"] > 1
    assert 100e6 < nominal.peak_memory_bytes < 2e9


def test_the_work_folder_holds_only_finished_runs(
    request_of: Make, tmp_path: Path, nominal: SimulationResult
) -> None:
    request = request_of(tmp_path)
    bad = replace(request, limits=replace(request.limits, wall_s=0.5))

    with pytest.raises(SimulationTimeoutError, match=r"its limit of 0\.5 s"):
        simulate(bad)

    assert list(tmp_path.iterdir()) == []
    assert sorted(path.name for path in nominal.folder.iterdir()) == [
        "opsim.db",
        "simulation.log",
    ]


def test_a_simulation_ends_when_its_caller_dies(
    request_of: Make, site_data: Path, tmp_path: Path
) -> None:
    request = request_of(tmp_path)
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(site_data), str(tmp_path)],
        stdout=subprocess.PIPE,
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == b"running\n"
    (worker,) = psutil.Process(caller.pid).children()

    caller.kill()
    caller.wait()
    caller.stdout.close()

    _, alive = psutil.wait_procs([worker], timeout=10)
    assert [w for w in alive if w.status() != psutil.STATUS_ZOMBIE] == []
    assert [path.name[:9] for path in tmp_path.iterdir()] == [".running-"]
    assert sweep_leftovers(request.work_folder) != []
    assert list(tmp_path.iterdir()) == []


CALLER = """
import sys
from datetime import date
from pathlib import Path
from archive_assets.simulation import *

simulate(
    SimulationRequest(
        first_day_obs=date(2026, 1, 1), n_nights=1, telescope=Telescope.SIMONYI,
        variant=Variant(name="nominal", label="Nominal"),
        site_data=Path(sys.argv[1]), work_folder=Path(sys.argv[2]),
    ),
    is_cancelled=lambda: print("running", flush=True),
)
"""


@pytest.fixture
def script_request(
    request_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SimulationRequest:
    """A site's script that starts from completed visits, and records rewards."""
    monkeypatch.setenv("PRENIGHT_CONFIG_PLACES", str(tmp_path))
    (tmp_path / "fbs_config.py").write_text(SCRIPT)
    earlier = read_opsim(write_opsim(tmp_path / "earlier.db", 48, night="2025-12-30"))
    write_visits(tmp_path / "completed.h5", {"observations": earlier})
    parent = ParentVisits(
        path=tmp_path / "completed.h5",
        telescope=Telescope.SIMONYI,
        last_day_obs=date(2025, 12, 31),
    )
    return request_of(
        tmp_path / "work",
        scheduler=ScriptFile(path=tmp_path / "fbs_config.py"),
        parent=parent,
        variant=Variant(
            name="rewards",
            label="With rewards",
            rewards=True,
            delay_minutes=360,
            anomalous_overhead=AnomalousOverhead(seed=101, seconds=600.0),
        ),
    )


@pytest.mark.live
def test_a_killed_run_leaves_nothing_and_the_next_completes_from_the_site_s_script(
    script_request: SimulationRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = tmp_path / "held"
    held.touch()
    monkeypatch.setenv("HELD_WHILE", str(held))
    # Other tests of this process may have left helpers of theirs running.
    others = set(psutil.Process().children())

    def kill(progress: Progress) -> None:
        assert 0 < progress.fraction < 1
        assert progress.n_visits > 0
        (worker,) = set(psutil.Process().children()) - others
        worker.kill()

    with pytest.raises(SimulationKilledError, match="killed by SIGKILL"):
        simulate(script_request, on_progress=kill)
    assert list(script_request.work_folder.iterdir()) == []
    held.unlink()

    result = simulate(script_request)

    assert 5 < result.n_visits < 60
    assert set(visits(result)["band"]) == {"z"}
    assert result.provenance["config_url"] == (tmp_path / "fbs_config.py").as_uri()
    assert result.provenance["n_parent_visits"] == 50
    assert result.rewards_path is not None
    rewards = pd.read_hdf(result.rewards_path, "reward_df")
    assert rewards.index.names == ["list_index", "survey_index"]
    assert {"queue_start_mjd", "survey_reward"} <= set(rewards.columns)
    filled = pd.read_hdf(result.rewards_path, "obs_rewards")
    assert (filled.index == visits(result)["observationStartMJD"]).all()


SCRIPT = """
import os, time
from rubin_scheduler.scheduler.example import simple_greedy_survey
from rubin_scheduler.scheduler.schedulers import CoreScheduler

class HeldScheduler(CoreScheduler):
    n_visits = 0

    def add_observation(self, observation):
        super().add_observation(observation)
        self.n_visits += 1
        while self.n_visits == 3 and os.path.exists(os.environ["HELD_WHILE"]):
            time.sleep(0.02)

def get_scheduler():
    survey = simple_greedy_survey(nside=32, bandname="z", survey_start=60846.5)
    return 32, HeldScheduler([[survey]], nside=32)
"""
