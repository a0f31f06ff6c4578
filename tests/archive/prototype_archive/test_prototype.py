"""The prototype archive: its folders, YAML and compiled metadata are only read."""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from archive_assets import prototype
from archive_assets.cli import retired
from archive_assets.objects.datastore import UnsafeNameError
from archive_assets.prototype import RetiredError
from archive_assets.sim_archive import (
    NoMatchingSimulationsFoundError,
    make_sim_data_dir,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:the prototype simulation archive is deprecated:DeprecationWarning"
)
TODAY = datetime.now(UTC).date()
NIGHT = date(2026, 1, 1)


@pytest.fixture
def opsim(tmp_path: Path) -> Path:
    visits = pd.DataFrame(
        {
            "observationId": [0, 1, 2],
            "observationStartMJD": [61041.1, 61041.2, 61042.1],
            "fieldRA": [1.0, 2.0, 3.0],
            "fieldDec": [-1.0, -2.0, -3.0],
            "band": ["r", "i", "r"],
        }
    )
    path = tmp_path / "in" / "opsim.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        visits.to_sql("observations", connection, index=False)
    return path


@pytest.fixture
def folder(tmp_path: Path, opsim: Path) -> Path:
    """What the original puts into one folder of its archive."""
    target = tmp_path / "folder"
    target.mkdir()
    shutil.copyfile(opsim, target / "opsim.db")
    digest = hashlib.md5(opsim.read_bytes(), usedforsecurity=False).hexdigest()
    metadata = {
        "files": {"observations": {"name": "opsim.db", "md5": digest}},
        "label": "nominal",
        "telescope": "simonyi",
        "tags": ["ideal", "nominal"],
        "simulated_dates": {"first": "2025-12-31", "last": "2026-01-01"},
    }
    (target / "sim_metadata.yaml").write_text(yaml.safe_dump(metadata))
    return target


@pytest.fixture
def base(tmp_path: Path) -> str:
    return (tmp_path / "proto").as_uri() + "/"


@pytest.fixture
def cache(base: str) -> str:
    return base + "compiled_metadata_cache.h5"


def put_yaml(base: str, day: date, index: int, text: str) -> Path:
    place = Path(base.removeprefix("file://")) / day.isoformat() / str(index)
    place.mkdir(parents=True)
    (place / "sim_metadata.yaml").write_text(text)
    return place


def put_folder(folder: Path, base: str, day: date, index: int) -> str:
    """Put a simulation where the original would, and return its URI."""
    place = Path(base.removeprefix("file://")) / day.isoformat() / str(index)
    shutil.copytree(folder, place)
    return f"{base}{day}/{index}/"


class TestFolders:
    """What lies in the folder of a simulation."""

    def test_hashes_are_checked(self, folder: Path, base: str) -> None:
        uri = put_folder(folder, base, TODAY, 1)
        assert prototype.check_opsim_archive_resource(uri) == {"opsim.db": True}

        (Path(uri.removeprefix("file://")) / "opsim.db").write_bytes(b"other")

        assert prototype.check_opsim_archive_resource(uri) == {"opsim.db": False}

    def test_a_yaml_cannot_name_files_elsewhere(self, folder: Path, base: str) -> None:
        metadata = {"files": {"x": {"name": "../in/opsim.db", "md5": "0"}}}
        (folder / "sim_metadata.yaml").write_text(yaml.safe_dump(metadata))
        uri = put_folder(folder, base, TODAY, 1)

        with pytest.raises(UnsafeNameError, match="holds '/'"):
            prototype.check_opsim_archive_resource(uri)


class TestReading:
    """Metadata from many YAML files."""

    def test_metadata_come_by_uri_with_their_labels(
        self, folder: Path, base: str
    ) -> None:
        put_folder(folder, base, TODAY, 1)

        found = prototype.read_archived_sim_metadata(base)

        (metadata,) = found.values()
        assert list(found) == [f"{base}{TODAY}/1/"]
        assert metadata["label"] == f"{TODAY}/1 nominal"
        assert metadata["simulated_dates"] == {
            "first": "2025-12-31",
            "last": "2026-01-01",
        }

    @pytest.mark.parametrize(
        "dates",
        [
            "simulated_dates: {first: 2025-01-01, last: 2025-01-02}",
            "simulated_dates: {start: '2025-01-01', end: '2025-01-02'}",
            "simulation_dates: {first: '2025-01-01', last: 2025-01-02}",
        ],
    )
    def test_all_spellings_of_dates_are_read(self, base: str, dates: str) -> None:
        put_yaml(base, TODAY, 1, dates)

        (metadata,) = prototype.read_archived_sim_metadata(base).values()

        assert metadata["simulated_dates"] == {
            "first": "2025-01-01",
            "last": "2025-01-02",
        }
        assert metadata["label"] == f"{TODAY}/1 of 2025-01-01 through 2025-01-02"

    @pytest.mark.parametrize(
        "text",
        ["!!python/object/apply:os.mkdir ['{trace}']", "- a list", "{{", "files: 3"],
    )
    def test_unusable_yaml_is_skipped_and_runs_nothing(
        self,
        base: str,
        tmp_path: Path,
        text: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        trace = tmp_path / "it ran"
        put_yaml(base, TODAY, 1, text.replace("{trace}", str(trace)))
        put_yaml(base, TODAY, 2, "label: good")

        found = prototype.read_archived_sim_metadata(base)

        assert [m["label"] for m in found.values()] == [f"{TODAY}/2 good"]
        assert "Skipped a simulation" in caplog.text
        assert not trace.exists()

    def test_only_the_window_is_read(self, base: str) -> None:
        for age in (0, 4, 5):
            put_yaml(base, TODAY - timedelta(days=age), 1, f"label: {age}")

        found = prototype.read_archived_sim_metadata(base)
        older = prototype.read_archived_sim_metadata(
            base, latest=(TODAY - timedelta(days=5)).isoformat(), num_nights=1
        )

        assert len(found) == 2
        assert len(older) == 1

    def test_an_empty_archive_has_no_simulations(self, base: str) -> None:
        assert prototype.read_archived_sim_metadata(base) == {}


def original_tables() -> dict[str, pd.DataFrame]:
    """Two simulations as the original compiles them."""
    uris = [f"file:///proto/2025-01-03/{index}/" for index in (1, 2)]
    tables: dict[str, Any] = {
        "simulations": {
            "sim_uri": uris,
            "label": ["2025-01-03/1 old", float("nan")],
            "host": ["é", float("nan")],
            "first_simulated_date": ["2025-01-01", float("nan")],
            "last_simulated_date": ["2025-01-02", float("nan")],
        },
        "files": {
            "sim_uri": uris[:1],
            "file_type": ["observations"],
            "name": ["opsim.db"],
            "md5": ["0" * 32],
        },
        "kwargs": {"sim_uri": uris, "a": [1.0, 2.5], "b": ["x", float("nan")]},
        "tags": {"sim_uri": [uris[0]] * 2, "tag": ["one", "two"]},
    }
    return {key: pd.DataFrame(t).set_index("sim_uri") for key, t in tables.items()}


class TestCache:
    """Compiled metadata, written by pandas as the original has it."""

    @pytest.fixture(autouse=True)
    def archive(self, base: str, cache: str) -> None:
        Path(base.removeprefix("file://")).mkdir()
        for key, table in original_tables().items():
            table.to_hdf(cache.removeprefix("file://"), key=key, format="table")

    def test_it_is_read_back_into_nested_metadata(self, cache: str) -> None:
        first, second = prototype.read_sim_metadata_from_hdf(cache).values()

        assert first == {
            "label": "2025-01-03/1 old",
            "host": "é",
            "simulated_dates": {"first": "2025-01-01", "last": "2025-01-02"},
            "files": {"observations": {"name": "opsim.db", "md5": "0" * 32}},
            "sim_runner_kwargs": {"a": 1.0, "b": "x"},
            "tags": ["one", "two"],
        }
        assert second == {"sim_runner_kwargs": {"a": 2.5}}

    def test_it_stands_for_dates_before_its_newest(self, base: str, cache: str) -> None:
        put_yaml(base, date(2025, 1, 2), 1, "label: late")
        put_yaml(base, date(2025, 1, 4), 1, "label: new")
        place = cache
        window = (base, "2025-01-04", 100)

        cached = prototype.read_archived_sim_metadata(*window, place)
        verified = prototype.read_archived_sim_metadata(*window, place, True)

        labels = [
            [metadata.get("label") for metadata in found.values()]
            for found in (cached, verified)
        ]
        assert labels == [
            ["2025-01-04/1 new"],
            ["2025-01-02/1 late", "2025-01-04/1 new"],
        ]

    def test_without_a_cache_all_is_read(self, base: str, cache: str) -> None:
        Path(cache.removeprefix("file://")).unlink()
        put_yaml(base, TODAY, 1, "label: only")

        assert len(prototype.read_archived_sim_metadata(base, None, 100, cache)) == 1


class TestFinding:
    """The newest simulation of a night, and its visits."""

    @pytest.fixture
    def which(self, folder: Path, base: str, cache: str) -> dict[str, str]:
        for index in range(1, 12):
            put_folder(folder, base, TODAY, index)
        return {"archive_uri": base, "compilation_uri": cache}

    def test_the_largest_index_of_the_newest_date_wins(
        self, which: dict[str, Any], base: str
    ) -> None:
        found = prototype.find_latest_prenight_sim_for_nights(NIGHT, **which)

        assert found is not None
        assert (found["exec_date"], found["date_index"]) == (TODAY.isoformat(), 11)
        assert found["opsim_rp"].geturl() == f"{base}{TODAY}/11/opsim.db"

    def test_a_newer_date_wins_whatever_its_index(
        self, folder: Path, base: str
    ) -> None:
        text = (folder / "sim_metadata.yaml").read_text()
        put_yaml(base, TODAY - timedelta(days=1), 7, text)
        put_yaml(base, TODAY, 1, text)

        found = prototype.find_latest_prenight_sim_for_nights(
            NIGHT, archive_uri=base, compilation_uri=None
        )

        assert found is not None
        assert found["exec_date"] == TODAY.isoformat()

    @pytest.mark.parametrize(
        "criteria",
        [
            {"first_day_obs": "2026-01-02"},
            {"first_day_obs": NIGHT, "tags": ("other",)},
            {"first_day_obs": NIGHT, "telescope": "auxtel"},
        ],
    )
    def test_what_does_not_match_is_none(
        self, which: dict[str, Any], criteria: dict[str, Any]
    ) -> None:
        assert (
            prototype.find_latest_prenight_sim_for_nights(**criteria, **which) is None
        )

    def test_visits_are_those_of_the_nights(self, which: dict[str, str]) -> None:
        visits = prototype.fetch_sim_for_nights(NIGHT, which_sim=which)
        stats = prototype.fetch_sim_stats_for_night(20251231, which_sim=which)

        assert visits["observationStartMJD"].tolist() == [61042.1]
        assert stats == {"nominal_visits": 2}

    def test_no_match_is_an_error(self, which: dict[str, str]) -> None:
        with pytest.raises(
            NoMatchingSimulationsFoundError, match="no simulation of the prototype"
        ):
            prototype.fetch_sim_for_nights("2020-01-01", which_sim=which)


@pytest.mark.parametrize(
    "function",
    [
        prototype.transfer_archive_dir,
        prototype.make_sim_archive_cli,
        prototype.compile_sim_metadata,
        prototype.verify_compiled_sim_metadata,
        prototype.compile_sim_archive_metadata_cli,
        prototype.export_sim_to_prototype_sim_archive,
    ],
    ids=lambda function: function.__name__,
)
def test_a_function_that_wrote_says_what_takes_its_place(
    function: Callable[..., object], base: str
) -> None:
    with pytest.raises(RetiredError, match=f"{function.__name__} is retired.*use "):
        function(base, anything="the original takes")


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("archive_sim", "vseqarchive add"),
        ("compile_sim_archive_metadata_resource", "vseqarchive search"),
    ],
)
def test_a_command_that_wrote_says_what_takes_its_place(
    command: str, instead: str
) -> None:
    arguments = ["a label", "opsim.db", "--tags", "one", "two"]

    done = CliRunner().invoke(retired.main, arguments, prog_name=command)

    assert done.exit_code == 1
    assert not done.stdout
    assert done.stderr.startswith(f"Error: {command} is retired")
    assert instead in done.stderr
    assert done.stderr.count("\n") == 1


def test_results_keep_their_old_name() -> None:
    assert prototype.make_sim_archive_dir is make_sim_data_dir


@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_every_function_warns(base: str) -> None:
    with pytest.warns(DeprecationWarning, match="is deprecated: use"):
        prototype.read_archived_sim_metadata(base)
