from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archive_assets.simulation import SimulationResult
from archive_assets.simulation.errors import ParentVisitsError, SchedulerConfigError
from archive_assets.simulation.preload import (
    preloaded_observations,
    read_completed_visits,
    read_parent_visits,
)
from archive_assets.simulation.scheduler import scheduler_from_script
from visit_tables.files import opsim_to_hdf5
from visit_tables.hdf5.read import write_visits

pytestmark = pytest.mark.scheduler

CONSDB = pd.DataFrame(
    {
        "visit_id": [2025122900012, 2025122900013],
        "obs_start_mjd": [61038.2, 61038.3],
        "s_ra": [10.0, 350.5],
        "s_dec": [-30.0, -45.25],
        "band": ["r", "i"],
        "sky_rotation": [12.5, 350.0],
        "exp_time": [30.0, 30.0],
        "science_program": ["BLOCK-407", "BLOCK-407"],
    }
)


@pytest.mark.parametrize("form", ["opsim", "hdf5"])
def test_opsim_like_visits_keep_what_the_scheduler_asks(
    nominal: SimulationResult, tmp_path: Path, form: str
) -> None:
    path = nominal.opsim_path
    if form == "hdf5":
        path = tmp_path / "visits.h5"
        opsim_to_hdf5(nominal.opsim_path, path)

    visits = read_completed_visits(path)
    observations = preloaded_observations(visits)

    assert len(observations) == nominal.n_visits
    assert np.degrees(observations["RA"]) == pytest.approx(visits["fieldRA"])
    assert (observations["mjd"] == visits["observationStartMJD"]).all()
    assert set(observations["band"]) == set(visits["band"])


def test_consdb_like_visits_are_renamed_and_completed(tmp_path: Path) -> None:
    write_visits(tmp_path / "visits.h5", {"observations": CONSDB})

    observations = preloaded_observations(read_completed_visits(tmp_path / "visits.h5"))

    assert np.degrees(observations["dec"]) == pytest.approx([-30.0, -45.25])
    assert list(observations["exptime"]) == [30.0, 30.0]
    assert list(observations["science_program"]) == ["BLOCK-407"] * 2
    assert list(observations["target_name"]) == ["", ""]
    assert np.isnan(observations["airmass"]).all()


def test_visits_after_the_night_are_refused(
    nominal: SimulationResult, night: object
) -> None:
    with pytest.raises(
        ParentVisitsError, match=r"visits of 2026-01-01 or later .* on 2026-01-01"
    ):
        read_parent_visits(nominal.opsim_path, night)  # type: ignore[arg-type] # a date


def test_visits_without_a_place_are_refused(tmp_path: Path) -> None:
    write_visits(tmp_path / "v.h5", {"observations": CONSDB.drop(columns="s_ra")})

    with pytest.raises(ParentVisitsError, match="lacks the columns fieldRA"):
        read_completed_visits(tmp_path / "v.h5")


def test_a_file_without_visits_is_told(tmp_path: Path) -> None:
    (tmp_path / "v.h5").write_bytes(b"text")

    with pytest.raises(ParentVisitsError, match=r"v\.h5 cannot be read"):
        read_completed_visits(tmp_path / "v.h5")


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "config_night.py").write_text(text)
        return tmp_path / "config_night.py"

    return write


SCHEDULER = (
    "from rubin_scheduler.scheduler.schedulers import BaseQueueManager, CoreScheduler\n"
    "from rubin_scheduler.scheduler.surveys import BaseSurvey\n"
    "queue = BaseQueueManager(detailers=[])\n"
    "made = CoreScheduler([[BaseSurvey([])]], nside=32, queue_manager=queue)\n"
)


@pytest.mark.parametrize(
    "end",
    [
        "nside, scheduler = 32, made",
        "scheduler = made",
        "def get_scheduler(): return 32, made",
        "if __name__ == 'config': nside, scheduler = 32, made",
    ],
)
def test_a_script_gives_its_scheduler(script: Callable[[str], Path], end: str) -> None:
    nside, scheduler = scheduler_from_script(script(SCHEDULER + end))

    assert nside == 32
    assert scheduler.nside == 32


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("def f(:", "raised SyntaxError"),
        ("import no_such_module", "raised ModuleNotFoundError"),
        ("raise SystemExit(3)", "raised SystemExit: 3"),
        ("nside = 32", "has no scheduler: it must set scheduler"),
        ("scheduler = 5; nside = 32", "gave a int as scheduler"),
    ],
)
def test_a_script_without_a_scheduler_is_told(
    script: Callable[[str], Path], text: str, match: str
) -> None:
    with pytest.raises(SchedulerConfigError, match=match):
        scheduler_from_script(script(text))
