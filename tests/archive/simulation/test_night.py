"""A night of variants that a quick program stands in for, kept in a real archive."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from archive_assets.cli.prenight import main
from archive_assets.errors import ArchiveError
from archive_assets.nights.keeper import ArchiveKeeper
from archive_assets.objects.datastore import DataStore
from archive_assets.prenightindex import prenight_index_path
from archive_assets.simulation import (
    ParentVisits,
    SimulationResult,
    Telescope,
)
from archive_assets.simulation.drivers import ExternalCommandDriver
from archive_assets.simulation.errors import (
    ParentVisitsError,
    SimulationFailedError,
    VariantError,
)
from archive_assets.simulation.night import NightPlan, plan_night, run_night
from archive_assets.simulation.site_data import SiteDataError
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from visit_tables.hdf5.read import write_visits
from visit_tables.opsim.frame import read_opsim

pytestmark = [pytest.mark.postgresql, pytest.mark.scheduler]

STARTED = datetime(2026, 1, 1, 15, 30, tzinfo=UTC)
COPIES = """
import shutil, sqlite3, sys
variant, visits, opsim, _site_data = sys.argv[1:]
if variant == "delay240":
    sys.exit("no delay today")
shutil.copy(visits, opsim)
with sqlite3.connect(opsim) as connection:
    connection.execute("UPDATE observations SET observationStartMJD ="
                       " observationStartMJD + ? * 1e-9", (sum(map(ord, variant)),))
    if variant == "seeing130":
        connection.execute("DELETE FROM observations")
"""


@pytest.fixture
def driver(nominal: SimulationResult) -> ExternalCommandDriver:
    return ExternalCommandDriver(
        (
            sys.executable,
            "-c",
            COPIES,
            "{variant}",
            str(nominal.opsim_path),
            "{opsim}",
            "{site_data}",
        )
    )


@pytest.fixture
def keeper(vsarch: VisitSequenceArchiveMetadata, tmp_path: Path) -> ArchiveKeeper:
    return ArchiveKeeper(
        vsarch=vsarch,
        store=DataStore((tmp_path / "archive").as_uri()),
        started=STARTED,
        index_url=(tmp_path / "index").as_uri(),
    )


@pytest.fixture
def plan(site_data: Path, night: date, tmp_path: Path) -> Callable[..., NightPlan]:
    def make(*names: str, telescope: Telescope = Telescope.SIMONYI) -> NightPlan:
        return plan_night(
            night,
            telescope,
            names=names,
            n_nights=1,
            site_data=site_data,
            work_folder=tmp_path / "work",
        )

    return make


def index_of(keeper: ArchiveKeeper, night: date) -> dict[str, dict[str, object]]:
    path = prenight_index_path(night, "simonyi", keeper.index_url)
    found: dict[str, dict[str, object]] = json.loads(path.read())
    return found


def test_each_variant_is_archived_indexed_and_described(
    plan: Callable[..., NightPlan],
    keeper: ArchiveKeeper,
    driver: ExternalCommandDriver,
    night: date,
) -> None:
    outcomes = run_night(plan("nominal_noreward", "seeing044"), keeper, driver)

    index = index_of(keeper, night)
    assert set(index) == {str(o.visitseq_uuid) for o in outcomes}
    row = index[str(outcomes[1].visitseq_uuid)]
    assert row["visitseq_label"] == (
        "Nominal start and overhead, seeing=0.44, synthetic site data, "
        "run at 2026-01-01T15:30:00+00:00"
    )
    assert row["tags"] == [
        "nominal", "prenight", "rewards", "seeing044", "synthetic_site_data",
    ]  # fmt: skip
    assert row["first_day_obs"] == row["last_day_obs"] == "2026-01-01"
    kwargs = row["sim_runner_kwargs"]
    assert isinstance(kwargs, dict)
    assert kwargs["provenance"]["seed"] == 42
    assert kwargs["provenance"]["site_data"] == "synthetic"
    assert kwargs["variant"]["observatory"]["seeing_arcsec"] == 0.44
    files = row["files"]
    assert isinstance(files, dict)
    assert set(files) == {"log", "metadata"}
    stats = row["stats"]
    assert isinstance(stats, dict)
    assert set(stats) == {"altitude", "azimuth"}
    assert index[str(outcomes[0].visitseq_uuid)]["stats"] is None


def test_the_index_is_published_before_the_night_is_over(
    plan: Callable[..., NightPlan],
    keeper: ArchiveKeeper,
    driver: ExternalCommandDriver,
    night: date,
) -> None:
    known: list[int] = []

    run_night(
        replace(plan("nominal_noreward", "nominal", "seeing044"), n_at_once=1),
        keeper,
        driver,
        on_outcome=lambda _: known.append(len(index_of(keeper, night))),
    )

    assert known == [1, 2, 3]


def test_a_variant_that_fails_does_not_stop_the_others(
    plan: Callable[..., NightPlan],
    keeper: ArchiveKeeper,
    driver: ExternalCommandDriver,
    night: date,
) -> None:
    outcomes = run_night(plan("nominal", "delay240", "seeing044"), keeper, driver)

    assert [o.error is None for o in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, SimulationFailedError)
    assert "delay240: the simulation failed" in outcomes[1].line
    assert "no delay today" in outcomes[1].line
    assert len(index_of(keeper, night)) == 2
    assert list(plan().work_folder.iterdir()) == []


def test_an_empty_night_is_archived_and_says_so(
    plan: Callable[..., NightPlan],
    keeper: ArchiveKeeper,
    driver: ExternalCommandDriver,
    night: date,
) -> None:
    (outcome,) = run_night(plan("seeing130"), keeper, driver)

    assert outcome.error is None
    assert outcome.n_visits == 0
    row = index_of(keeper, night)[str(outcome.visitseq_uuid)]
    assert "no visits possible" in str(row["visitseq_label"])
    assert "empty on purpose" in str(row["comments"])
    assert row["visitseq_url"] is not None


def test_running_a_night_again_adds_nothing(
    plan: Callable[..., NightPlan],
    keeper: ArchiveKeeper,
    driver: ExternalCommandDriver,
    night: date,
) -> None:
    first = run_night(plan("nominal", "seeing044"), keeper, driver)

    again = run_night(
        plan("nominal", "seeing044"),
        replace(keeper, started=datetime(2026, 1, 2, tzinfo=UTC)),
        driver,
    )

    assert [o.visitseq_uuid for o in again] == [o.visitseq_uuid for o in first]
    assert len(index_of(keeper, night)) == 2


def test_the_completed_visits_are_archived_as_the_parent(
    plan: Callable[..., NightPlan],
    keeper: ArchiveKeeper,
    driver: ExternalCommandDriver,
    nominal: SimulationResult,
    tmp_path: Path,
) -> None:
    earlier = read_opsim(nominal.opsim_path).head(20)
    earlier["observationStartMJD"] -= 1
    del earlier["observationStartLST"]  # that of a day later
    write_visits(tmp_path / "completed.h5", {"observations": earlier})
    parent = ParentVisits(
        path=tmp_path / "completed.h5",
        telescope=Telescope.SIMONYI,
        last_day_obs=date(2025, 12, 31),
    )

    (outcome,) = run_night(replace(plan("nominal"), parent=parent), keeper, driver)

    assert outcome.visitseq_uuid is not None
    row = keeper.vsarch.get_visitseq_metadata(outcome.visitseq_uuid, "simulations")
    completed = keeper.vsarch.get_visitseq_metadata(
        row["parent_visitseq_uuid"], "completed"
    )
    assert row["parent_last_day_obs"] == date(2025, 12, 31)
    assert completed["visitseq_label"] == "Completed visits through 2025-12-31"
    assert completed["visitseq_url"].endswith("visits.h5")


def test_completed_visits_that_go_on_into_the_night_are_refused(
    plan: Callable[..., NightPlan], keeper: ArchiveKeeper, nominal: SimulationResult
) -> None:
    parent = ParentVisits(
        path=nominal.opsim_path,
        telescope=Telescope.SIMONYI,
        last_day_obs=date(2025, 12, 31),
    )

    with pytest.raises(ParentVisitsError, match="visits of 2026-01-01 or later"):
        run_night(replace(plan("nominal"), parent=parent), keeper)


def test_missing_site_data_are_told_before_anything_runs(
    plan: Callable[..., NightPlan], keeper: ArchiveKeeper, tmp_path: Path
) -> None:
    with pytest.raises(SiteDataError, match="is missing"):
        run_night(replace(plan(), site_data=tmp_path), keeper)

    assert not (tmp_path / "work").exists()


def test_an_interrupted_night_leaves_what_it_had_archived(
    plan: Callable[..., NightPlan],
    keeper: ArchiveKeeper,
    driver: ExternalCommandDriver,
    night: date,
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_night(plan(), keeper, driver, on_outcome=interrupt)

    assert len(index_of(keeper, night)) == 1
    assert list(plan().work_folder.iterdir()) == []


def test_an_archive_that_refuses_is_told_with_the_variant(
    plan: Callable[..., NightPlan],
    keeper: ArchiveKeeper,
    driver: ExternalCommandDriver,
    tmp_path: Path,
) -> None:
    (tmp_path / "archive").write_text("a file, not a folder")

    (outcome,) = run_night(plan("nominal"), keeper, driver)

    assert isinstance(outcome.error, ArchiveError)
    with suppress(FileNotFoundError):
        assert list(plan().work_folder.iterdir()) == []


def test_an_unknown_variant_or_telescope_is_told(
    plan: Callable[..., NightPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VariantError, match="there is no variant 'cloudy'"):
        plan("cloudy")
    file = tmp_path / "variants.yaml"
    file.write_text(
        "version: 1\ntelescopes:\n  auxtel:\n    nights: 1\n    variants:\n"
        "      - {name: nominal, label: Nominal, tags: [nominal]}\n"
    )
    monkeypatch.setenv("PRENIGHT_VARIANTS", str(file))

    with pytest.raises(VariantError, match="no telescope simonyi, only auxtel"):
        plan()


@pytest.mark.usefixtures("archive_environment")
def test_the_command_draws_the_archived_night(
    plan: Callable[..., NightPlan],
    keeper: ArchiveKeeper,
    driver: ExternalCommandDriver,
    tmp_path: Path,
) -> None:
    run_night(plan("nominal", "seeing044", "seeing130"), keeper, driver)
    words = ["report", "--day-obs", "2026-01-01", "--output", str(tmp_path / "png")]
    done = CliRunner().invoke(main, words)

    assert done.exit_code == 0, done.output
    assert done.stderr == f"4 pictures in {tmp_path / 'png'}\n"
    pictures = [Path(line) for line in done.stdout.splitlines()]
    assert [path.name for path in pictures] == [
        "20260101_altitude.png",
        "20260101_sky.png",
        "20260101_programmes.png",
        "20260101_comparison.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


@pytest.mark.usefixtures("archive_environment")
def test_a_night_without_archive_is_refused_before_it_is_simulated(
    site_data: Path, tmp_path: Path
) -> None:
    environ = {
        "RUBIN_SIM_DATA_DIR": str(site_data),
        "VSARCHIVE_PGSCHEMA": "never_made",
    }
    words = (
        f"run --day-obs 2026-01-01 --variant nominal_noreward --work {tmp_path}/work"
    )
    place = f"--archive-base {tmp_path}/archive --command false"

    done = CliRunner().invoke(main, f"{words} {place}", env=environ)

    assert done.exit_code == 1
    assert "`vseqarchive schema create`" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_lists_the_variants() -> None:
    done = CliRunner().invoke(main, ["variants"])

    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    assert len(rows) == 8
    assert rows[0][:2] == ["simonyi", "nominal_noreward"]


@pytest.mark.parametrize(
    ("arguments", "code", "match"),
    [
        (("site-data", "check", "--first", "2026-13-01"), 2, "does not match"),
        (("site-data", "check", "--first", "2031-01-01"), 1, "Error: site data in"),
        (("run", "--day-obs", "2026-01-01"), 2, "--archive-base"),
        (
            ("report", "--day-obs", "20260101", "--output", "x", "nominal"),
            2,
            "NAME=FILE",
        ),
        (("run", "--telescope", "keck", "--archive-base", "x"), 2, "'keck' is not one"),
        (("run", "--variant", "x", "--archive-base", "x"), 2, "no variant 'x'"),
    ],
)
def test_a_wrong_command_line_is_told(
    site_data: Path, arguments: tuple[str, ...], code: int, match: str
) -> None:
    environ = {"RUBIN_SIM_DATA_DIR": str(site_data)}

    done = CliRunner().invoke(main, arguments, env=environ)

    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == code
    assert match in done.stderr
