"""The original's commands, one after the other, with the real scheduler."""

import lzma
import pickle
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from archive_assets.make_snapshot import (
    get_scheduler,
    make_ideal_model_observatory_cli,
    make_scheduler_snapshot_cli,
)
from archive_assets.prenight import compute_sim_start_and_end, run_prenight_sim_cli
from archive_assets.prototype_archive.layout import check_files
from archive_assets.sim_archive import drive_sim
from archive_assets.simulation.errors import (
    SchedulerConfigError,
    SimulationRangeError,
    SnapshotError,
    VariantError,
    WorkFolderError,
)
from archive_assets.simulation.snapshot_run import SnapshotRun, run_from_snapshots
from archive_assets.simulation.snapshots import load_snapshot
from visit_tables.opsim.frame import read_opsim

pytestmark = pytest.mark.scheduler


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prenight-work")


@pytest.fixture(autouse=True)
def environment(work: Path, site_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRENIGHT_WORK", str(work))
    monkeypatch.setenv("PRENIGHT_CONFIG_PLACES", str(work))
    monkeypatch.setenv("RUBIN_SIM_DATA_DIR", str(site_data))


@pytest.fixture
def snapshots(work: Path) -> tuple[Path, Path]:
    """A scheduler and an observatory, pickled once for the module."""
    scheduler, observatory = work / "scheduler.p.xz", work / "observatory.p"
    if not observatory.exists():
        (work / "greedy.py").write_text(SCRIPT)
        made = make_scheduler_snapshot_cli(
            ["--scheduler_fname", str(scheduler), "--script", str(work / "greedy.py")]
        )
        assert made == 0
        made = make_ideal_model_observatory_cli([str(scheduler), str(observatory)])
        assert made == 0
    return scheduler, observatory


SCRIPT = """
from rubin_scheduler.scheduler.detailers import RotspUpdateDetailer
from rubin_scheduler.scheduler.example import simple_greedy_survey
from rubin_scheduler.scheduler.schedulers import BaseQueueManager, CoreScheduler

def get_scheduler():
    queue = BaseQueueManager(detailers=[RotspUpdateDetailer()])
    survey = simple_greedy_survey(nside=32, bandname="z", survey_start=60846.5)
    return 32, CoreScheduler([[survey]], nside=32, queue_manager=queue)
"""


def test_a_night_is_simulated_from_snapshots(
    snapshots: tuple[Path, Path], tmp_path: Path
) -> None:
    results = tmp_path / "results"

    code = run_prenight_sim_cli(
        [
            *map(str, snapshots), "20260101", "1", "--delay", "440",
            "--anom_overhead_scatter", "60", "--anom_overhead_seed", "101",
            "--label", "Late", "--tags", "ideal", "nominal", "--keep_rewards",
            "--results", str(results),
        ]
    )  # fmt: skip

    visits = read_opsim(results / "opsim.db")
    described = yaml.safe_load((results / "sim_metadata.yaml").read_text())
    assert code == 0
    assert 2 < len(visits) < 60
    assert visits["observationStartMJD"].min() > 61042.034 + 440 / 1440
    assert described["label"] == "Late"
    assert described["tags"] == ["ideal", "nominal"]
    assert described["telescope"] == "simonyi"
    assert set(described["files"]) >= {"observations", "rewards", "scheduler"}


@pytest.mark.parametrize("has_rewards", [True, False])
def test_a_simulation_is_driven_by_hand(
    snapshots: tuple[Path, Path], tmp_path: Path, has_rewards: bool
) -> None:
    scheduler, observatory = map(load_snapshot, snapshots)
    start_mjd, _ = compute_sim_start_and_end(20260101, 1, delay=420)
    observatory.mjd = start_mjd
    scheduler.keep_rewards = True
    notebook = tmp_path / "by_hand.ipynb"
    notebook.write_text("{}")

    *results, folder = drive_sim(
        observatory, scheduler, label="By hand", tags=["test"], notebook=str(notebook),
        opsim_metadata={"telescope": "simonyi"}, record_rewards=has_rewards,
        sim_start_mjd=start_mjd, sim_duration=0.006, verbose=False,
        start_result_size=100,
    )  # fmt: skip

    visits = read_opsim(folder.join("opsim.db").ospath)
    described = yaml.safe_load(folder.join("sim_metadata.yaml").read())
    assert len(results) == (5 if has_rewards else 3)
    assert len(visits) == len(results[2]) > 2
    assert described["label"] == "By hand"
    assert described["tags"] == ["test"]
    assert described["simulated_dates"]["first"] == "2026-01-01"
    assert ("rewards" in described["files"]) is has_rewards
    assert set(check_files(folder).values()) == {True}
    before = folder.join(described["files"]["scheduler"]["name"])
    with lzma.open(before.ospath) as stream:
        assert type(pickle.load(stream)).__name__ == "CoreScheduler"
    shutil.rmtree(folder.ospath)


def test_results_are_not_added_to_other_files(
    snapshots: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "opsim.db").write_bytes(b"older")
    run = SnapshotRun(
        scheduler=snapshots[0],
        observatory=snapshots[1],
        day_obs=20260101,
        sim_nights=1,
        results=tmp_path,
    )

    with pytest.raises(WorkFolderError, match="is not empty: results are never added"):
        run_from_snapshots(run)

    assert (tmp_path / "opsim.db").read_bytes() == b"older"


def test_a_snapshot_from_elsewhere_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "scheduler.p").write_bytes(b"")
    run = SnapshotRun(
        scheduler=tmp_path / "scheduler.p",
        observatory=tmp_path / "scheduler.p",
        day_obs=20260101,
        sim_nights=1,
    )

    with pytest.raises(SnapshotError, match="is outside the work folder"):
        run_from_snapshots(run)


def test_a_scale_in_seconds_is_not_taken_for_a_fraction() -> None:
    with pytest.raises(
        SimulationRangeError, match="at most 1, not 10: for seconds use"
    ):
        SnapshotRun(
            scheduler=Path("s"),
            observatory=Path("o"),
            day_obs=20260101,
            sim_nights=1,
            anom_overhead_scale=10.0,
        )


def test_an_unknown_telescope_is_told() -> None:
    with pytest.raises(VariantError, match="no telescope 'keck': choose from simonyi"):
        SnapshotRun(
            scheduler=Path("s"),
            observatory=Path("o"),
            day_obs=20260101,
            sim_nights=1,
            telescope="keck",
        )


def test_a_repository_needs_a_script() -> None:
    with pytest.raises(ValueError, match="a config_repo needs a config_script"):
        get_scheduler(config_repo="https://github.com/lsst-ts/ts_config_scheduler")


def test_a_repository_that_is_not_allowed_is_told() -> None:
    with pytest.raises(SchedulerConfigError, match="is not an allowed place"):
        get_scheduler("https://example.org/config", "config.py")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run_prenight_sim", ("SCHEDULER OBSERVATORY DAY_OBS SIM_NIGHTS", "--results")),
        ("scheduler_snapshot", ("--scheduler_fname", "--repo", "--visits")),
        ("ideal_model_observatory", ("SCHEDULER MODEL_OBSERVATORY", "work folder")),
        ("prenight", ("run", "report", "site-data", "variants")),
    ],
)
def test_every_command_has_help(name: str, words: tuple[str, ...]) -> None:
    module = __import__(f"archive_assets.cli.{name}", fromlist=["main"])

    told = CliRunner().invoke(module.main, ["--help"]).output

    assert all(word in " ".join(told.split()) for word in words)
