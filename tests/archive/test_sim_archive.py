import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray

from archive_assets.archiving.sequence import archive_visit_sequence
from archive_assets.objects.datastore import DataStore
from archive_assets.prenightindex import write_prenight_index
from archive_assets.sim_archive import (
    AlmanacRangeError,
    NoMatchingSimulationsFoundError,
    coming_nights,
    fetch_obsloctap_visits,
    fetch_sim_for_nights,
    fetch_sim_stats_for_night,
    find_latest_prenight_sim_for_nights,
)
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from visit_tables.files import hdf5_to_opsim
from visit_tables.hdf5.read import write_visits

pytestmark = pytest.mark.postgresql
Archive = VisitSequenceArchiveMetadata
FIRST = "2026-12-01"
N_VISITS = (3, 4, 5)


@pytest.fixture
def observations() -> pd.DataFrame:
    """Twelve visits on three nights, with opsim's names of columns."""
    mjds = np.concatenate(
        [61375.6 + night + np.linspace(0, 0.3, n) for night, n in enumerate(N_VISITS)]
    )
    n = len(mjds)
    return pd.DataFrame(
        {
            "observationStartMJD": mjds,
            "fieldRA": np.linspace(0, 300, n),
            "fieldDec": -30.0,
            "rotSkyPos": 0.0,
            "band": ["r"] * n,
            "visitExposureTime": 30.0,
            "night": 1,
            "target_name": ["x"] * n,
            "altitude": 60.0,
            "azimuth": 90.0,
        }
    )


@pytest.fixture
def archived(
    vsarch: Archive,
    archive_environment: None,
    observations: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A nominal simulation in an archive that the environment leads to; its URL."""
    del archive_environment
    monkeypatch.setenv("PRENIGHT_INDEX_URL", (tmp_path / "index").as_uri())
    write_visits(tmp_path / "visits.h5", {"observations": observations})
    return archive_visit_sequence(
        vsarch=vsarch,
        store=DataStore(tmp_path / "store"),
        visits=tmp_path / "visits.h5",
        label="nominal",
        tags=("prenight", "ideal", "nominal"),
    ).url


def test_the_latest_simulation_of_some_nights_is_found(archived: str) -> None:
    found = find_latest_prenight_sim_for_nights(FIRST, "2026-12-03")

    assert found["visitseq_url"] == archived
    assert found["visitseq_label"] == "nominal"
    assert found["stats"]["altitude"]["count"] == 3


@pytest.mark.usefixtures("archived")
@pytest.mark.parametrize(
    "arguments",
    [
        {"first_day_obs": "2026-12-04"},
        {"first_day_obs": FIRST, "last_day_obs": "2026-12-04"},
        {"first_day_obs": FIRST, "tags": ("delay_60",)},
        {"first_day_obs": FIRST, "telescope": "auxtel"},
        {"first_day_obs": FIRST, "max_simulation_age": -1},
        {},
    ],
)
def test_no_match_is_not_a_value_error_which_obsloctap_takes_for_an_empty_night(
    arguments: dict[str, Any],
) -> None:
    with pytest.raises(NoMatchingSimulationsFoundError, match="No simulations match"):
        find_latest_prenight_sim_for_nights(**arguments)
    assert not issubclass(NoMatchingSimulationsFoundError, ValueError)
    assert issubclass(NoMatchingSimulationsFoundError, LookupError)


def test_the_visits_of_the_nights_are_fetched(
    archived: str, observations: pd.DataFrame
) -> None:
    one = fetch_sim_for_nights("2026-12-02")
    two = fetch_sim_for_nights(FIRST, 20261202, {"tags": ("ideal",)})
    by_url = fetch_sim_for_nights(FIRST, "2026-12-31", archived)

    assert len(one) == 4
    assert len(two) == 7
    pd.testing.assert_frame_equal(by_url, observations)


@pytest.mark.parametrize("suffix", ["h5", "db"])
def test_a_constraint_and_columns_choose_visits(archived: str, suffix: str) -> None:
    h5 = Path(archived.removeprefix("file://"))
    path = h5.with_suffix(f".{suffix}")
    if suffix == "db":
        hdf5_to_opsim(h5, path)
    options = {"sqlconstraint": "fieldRA > 100", "dbcols": ["band", "altitude"]}

    found = fetch_sim_for_nights(
        FIRST, "2026-12-02", str(path), get_sim_data_kwargs=options
    )

    assert found.shape == (3, 2)
    with pytest.raises(ValueError, match="no such column: x"):
        fetch_sim_for_nights(
            FIRST, None, str(path), get_sim_data_kwargs={"sqlconstraint": "x > 1"}
        )
    with pytest.raises(ValueError, match="has no column 'x'"):
        fetch_sim_for_nights(
            FIRST, None, str(path), get_sim_data_kwargs=options | {"dbcols": ["x"]}
        )


class HourAngle:
    """A stacker as MAF has them."""

    def run(self, sim_data: NDArray[np.void]) -> NDArray[np.void]:
        frame = pd.DataFrame(sim_data).assign(twice=lambda f: 2 * f["altitude"])
        return frame.to_records(index=False)


def test_stackers_add_columns_and_are_left_alone(archived: str) -> None:
    stackers = (HourAngle(),)

    found = fetch_sim_for_nights(FIRST, which_sim=archived, stackers=stackers)

    assert list(found["twice"]) == [120.0] * 3
    assert "index" not in found


def test_visits_come_from_the_index_when_the_database_is_away(
    archived: str, vsarch: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prenight_index(vsarch, FIRST, "simonyi")
    monkeypatch.setenv("VSARCHIVE_PGHOST", "127.0.0.1")
    monkeypatch.setenv("VSARCHIVE_PGPORT", "1")

    found = find_latest_prenight_sim_for_nights(FIRST)

    assert found["visitseq_url"] == archived
    assert fetch_sim_stats_for_night(FIRST)["nominal_visits"] == 3


@pytest.mark.usefixtures("archived")
def test_statistics_of_a_night_are_recorded_ones(vsarch: Archive) -> None:
    recorded = fetch_sim_stats_for_night("2026-12-02")
    vsarch.query("DELETE FROM nightly_stats", commit=True, return_result=False)
    computed = fetch_sim_stats_for_night(20261202)

    assert recorded["nominal_visits"] == computed["nominal_visits"] == 4
    assert set(recorded) == {"altitude", "azimuth", "nominal_visits"}
    assert computed["altitude"]["mean"] == recorded["altitude"]["mean"] == 60.0
    assert "fieldRA" in computed


@pytest.fixture
def almanac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.void]:
    """Nights from a week ago to a month ahead: sunset 22:00, sunrise 10:00 UTC."""
    today = (datetime.now(UTC) - datetime(1858, 11, 17, tzinfo=UTC)).days
    days = np.arange(min(today, 61375) - 7, max(today, 61375) + 40)
    names = ["night", "sunset", "sun_n12_setting", "sunrise"]
    rows = np.zeros(len(days), dtype=[(name, float) for name in names])
    rows["night"] = np.arange(len(days))
    rows["sunset"] = days + 22 / 24
    rows["sunrise"] = days + 34 / 24
    folder = tmp_path / "data" / "site_models"
    folder.mkdir(parents=True)
    np.savez(folder / "sunsets.npz", almanac=rows)
    monkeypatch.setenv("RUBIN_SIM_DATA_DIR", str(tmp_path / "data"))
    return rows


@pytest.mark.usefixtures("archived", "almanac")
def test_obsloctap_gets_the_nights_after_the_next_sunset() -> None:
    visits = fetch_obsloctap_visits(FIRST, nights=2, max_simulation_age=1)

    assert len(visits) == 7
    assert list(visits.columns) == [
        "observationStartMJD", "fieldRA", "fieldDec", "rotSkyPos", "band",
        "visitExposureTime", "night", "target_name",
    ]  # fmt: skip


@pytest.mark.usefixtures("archived", "almanac")
def test_obsloctap_is_told_when_no_simulation_covers_the_nights() -> None:
    today = datetime.now(UTC)
    far = (today + timedelta(days=20)).date().isoformat()

    with pytest.raises(NoMatchingSimulationsFoundError, match="No simulations match"):
        fetch_obsloctap_visits(far, telescope="auxtel", max_simulation_age=9)
    with pytest.raises(AlmanacRangeError, match="the almanac has no 2000 nights"):
        fetch_obsloctap_visits(FIRST, nights=2000)


def test_nights_before_the_first_of_the_almanac_are_refused(
    almanac: NDArray[np.void],
) -> None:
    sunset = float(almanac["sunset"][0])

    assert coming_nights(sunset - 0.9, 1) == coming_nights(sunset - 0.001, 1)
    for early_mjd in (sunset - 1.01, sunset - 200, 0.0):
        with pytest.raises(AlmanacRangeError, match="the almanac begins with"):
            coming_nights(early_mjd, 1)


@pytest.mark.scheduler
@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of rubin_scheduler 4.6
def test_results_are_written_to_a_folder_with_a_yaml(tmp_path: Path) -> None:
    from rubin_scheduler.scheduler.utils import ObservationArray  # noqa: PLC0415

    from archive_assets.simulation.sim_data import make_sim_data_dir  # noqa: PLC0415

    observations = ObservationArray(n=4)
    observations["mjd"] = 61375.6 + np.arange(4) / 10
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    folder = tmp_path / "results"
    folder.mkdir()

    made = make_sim_data_dir(
        observations, in_files={"notes": notes}, label="by hand", tags=["ideal"],
        sim_runner_kwargs={"sim_start_mjd": np.float64(61375.6), "sim_duration": 2},
        data_path=folder,
    )  # fmt: skip

    metadata = yaml.safe_load((folder / "sim_metadata.yaml").read_text())
    assert made == folder
    assert metadata["simulated_dates"] == {"first": FIRST, "last": "2026-12-02"}
    assert set(metadata["files"]) == {"observations", "statistics", "notes"}
    with pytest.raises(FileExistsError, match="visits are not added to others"):
        make_sim_data_dir(observations, data_path=folder)
    with pytest.raises(TypeError, match="Tags must be strings"):
        make_sim_data_dir(observations, tags=[1])  # type: ignore[list-item]


def test_errors_survive_a_process_boundary() -> None:
    error = NoMatchingSimulationsFoundError("none")

    assert str(pickle.loads(pickle.dumps(error))) == "none"
