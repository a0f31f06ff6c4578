"""The prototype archive: its folders, YAML, compiled metadata, import and export."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import yaml

from archive_assets import prototype
from archive_assets.objects.datastore import UnsafeNameError
from archive_assets.prototype import PrototypeError
from archive_assets.prototype_archive import layout as prototype_layout
from archive_assets.prototype_archive.folder import make_prototype_folder
from archive_assets.sim_archive import make_sim_data_dir
from archive_assets.vseqarchive import VisitSequenceArchiveMetadata, add_file
from visit_tables.opsim.frame import read_opsim

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
    target = tmp_path / "folder"
    target.mkdir()
    return make_prototype_folder(
        target, opsim, label="nominal", tags=["ideal", "nominal"]
    )


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


class TestFolders:
    """Where simulations go."""

    def test_indexes_count_from_one(self, folder: Path, base: str) -> None:
        urls = [prototype.transfer_archive_dir(folder, base).geturl() for _ in "ab"]

        assert urls == [f"{base}{TODAY}/1/", f"{base}{TODAY}/2/"]

    def test_the_next_index_follows_the_largest(self, folder: Path, base: str) -> None:
        for name in ("9", "10", "notes"):
            (Path(base.removeprefix("file://")) / str(TODAY) / name).mkdir(parents=True)

        assert prototype.transfer_archive_dir(folder, base).geturl().endswith("/11/")

    def test_nobody_gets_a_folder_twice(self, base: str) -> None:
        first = prototype_layout.claim_next_folder(base, TODAY)
        second = prototype_layout.claim_next_folder(base, TODAY)

        assert first != second
        with pytest.raises(FileExistsError):
            prototype_layout._make_new(first)

    def test_hashes_are_checked(self, folder: Path, base: str) -> None:
        place = prototype.transfer_archive_dir(folder, base)
        assert prototype.check_opsim_archive_resource(place) == {
            "opsim.db": True,
            "obs_stats.txt": True,
        }

        place.join("opsim.db").write(b"other")

        assert not prototype.check_opsim_archive_resource(place.geturl())["opsim.db"]

    def test_a_yaml_cannot_name_files_elsewhere(self, folder: Path, base: str) -> None:
        metadata = {"files": {"x": {"name": "../in/opsim.db"}}}
        (folder / "sim_metadata.yaml").write_text(yaml.safe_dump(metadata))

        with pytest.raises(UnsafeNameError, match="holds '/'"):
            prototype.transfer_archive_dir(folder, base)
        assert not Path(base.removeprefix("file://")).exists()

    def test_a_folder_needs_its_files(self, folder: Path, base: str) -> None:
        (folder / "opsim.db").unlink()

        with pytest.raises(PrototypeError, match=r"has no opsim\.db"):
            prototype.transfer_archive_dir(folder, base)


class TestReading:
    """Metadata from many YAML files."""

    def test_metadata_come_by_uri_with_their_labels(
        self, folder: Path, base: str
    ) -> None:
        prototype.transfer_archive_dir(folder, base)

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


class TestCache:
    """Compiled metadata."""

    @pytest.fixture(autouse=True)
    def archive(self, folder: Path, base: str) -> None:
        prototype.transfer_archive_dir(folder, base)
        old = TODAY - timedelta(days=9)
        put_yaml(
            base,
            old,
            1,
            "{label: old, host: é, sim_runner_kwargs: {a: 1, b: x, c: true}, "
            "tags: [one], simulated_dates: {first: '2025-01-01', last: '2025-01-02'}}",
        )
        put_yaml(base, old, 2, "{sim_runner_kwargs: {a: 2.5}, scheduler_version: '4'}")

    def test_it_reads_as_the_yaml_files_do(self, base: str, cache: str) -> None:
        place = prototype.compile_sim_metadata(base, cache)

        assert place.geturl() == cache
        assert prototype.verify_compiled_sim_metadata(base, cache) == []
        assert prototype.read_sim_metadata_from_hdf(
            cache
        ) == prototype.read_archived_sim_metadata(base, num_nights=100)

    def test_pandas_reads_the_tables_of_the_original(
        self, base: str, cache: str
    ) -> None:
        path = prototype.compile_sim_metadata(base, cache).ospath

        tables = {
            key: pd.read_hdf(path, key)
            for key in ("simulations", "files", "kwargs", "tags")
        }

        assert {table.index.name for table in tables.values()} == {"sim_uri"}
        assert set(tables["files"].columns) == {"file_type", "name", "md5"}
        assert tables["tags"]["tag"].tolist() == ["one", "ideal", "nominal"]

    def test_it_stands_for_older_dates(self, base: str, cache: str) -> None:
        prototype.compile_sim_metadata(base, cache)
        put_yaml(base, TODAY - timedelta(days=5), 1, "label: late")

        cached = prototype.read_archived_sim_metadata(base, None, 100, cache)
        verified = prototype.read_archived_sim_metadata(base, None, 100, cache, True)

        assert len(cached) == 3
        assert len(verified) == 4
        assert len(prototype.verify_compiled_sim_metadata(base, cache)) == 1

    def test_appending_reads_the_newest_dates(self, base: str, cache: str) -> None:
        prototype.compile_sim_metadata(base, cache)
        put_yaml(base, TODAY, 2, "label: new")

        prototype.compile_sim_metadata(base, cache, append=True)

        assert len(prototype.read_sim_metadata_from_hdf(cache)) == 4

    def test_without_a_cache_all_is_read(self, base: str, cache: str) -> None:
        assert len(prototype.read_archived_sim_metadata(base, None, 100, cache)) == 3


class TestFinding:
    """The newest simulation of a night, and its visits."""

    @pytest.fixture
    def which(self, folder: Path, base: str, cache: str) -> dict[str, str]:
        for _ in range(11):
            prototype.transfer_archive_dir(folder, base)
        return {"archive_uri": base, "compilation_uri": cache}

    def test_the_largest_index_of_the_newest_date_wins(
        self, which: dict[str, str], base: str
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
        self, which: dict[str, str], criteria: dict[str, object]
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
        with pytest.raises(ValueError, match="no simulation of the prototype"):
            prototype.fetch_sim_for_nights("2020-01-01", which_sim=which)


class TestExport:
    """From the visit sequence archive and back."""

    @pytest.fixture
    def uuid(
        self, vsarch: VisitSequenceArchiveMetadata, opsim: Path, tmp_path: Path
    ) -> object:
        uuid = vsarch.record_simulation_metadata(
            read_opsim(opsim),
            "a test",
            first_day_obs="2025-12-31",
            last_day_obs="2026-01-01",
        )
        vsarch.tag(uuid, "ideal", "test")
        notes = tmp_path / "notes.txt"
        notes.write_text("notes")
        add_file(vsarch, uuid, opsim, "visits", tmp_path / "store")
        add_file(vsarch, uuid, notes, "notes", tmp_path / "store")
        return uuid

    def test_a_simulation_goes_there_and_back(
        self,
        vsarch: VisitSequenceArchiveMetadata,
        uuid: object,
        opsim: Path,
        base: str,
        tmp_path: Path,
    ) -> None:
        place = prototype.export_sim_to_prototype_sim_archive(vsarch, uuid, base)
        again = vsarch.import_sim_from_prototype_sim_archive(
            str(tmp_path / "store"), TODAY.isoformat(), 1, base
        )

        assert place.geturl() == f"{base}{TODAY}/1/"
        pd.testing.assert_frame_equal(
            read_opsim(place.join("opsim.db").ospath), read_opsim(opsim)
        )
        row = vsarch.get_visitseq_metadata(again, "simulations_extra")
        assert row["visitseq_label"] == "a test"
        assert row["first_day_obs"] == date(2025, 12, 31)
        assert {"ideal", "test", "from_prototype_sim_archive"} <= set(row["tags"])
        old = vsarch.get_visitseq_metadata(uuid)
        assert row["visitseq_url"] is not None
        assert (
            vsarch.get_visitseq_metadata(again)["visitseq_sha256"]
            == old["visitseq_sha256"]
        )

    def test_visits_that_are_not_archived_cannot_be_exported(
        self, vsarch: VisitSequenceArchiveMetadata, opsim: Path, base: str
    ) -> None:
        uuid = vsarch.record_simulation_metadata(read_opsim(opsim), "no file")

        with pytest.raises(PrototypeError, match="are not archived"):
            prototype.export_sim_to_prototype_sim_archive(vsarch, uuid, base)
        assert not Path(base.removeprefix("file://")).exists()


def run(module: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", f"archive_assets.cli.{module}", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_commands_add_and_compile(opsim: Path, base: str, cache: str) -> None:
    added = run(
        *("archive_sim", "a label", opsim, "--archive_base_uri", base),
        *("--tags", "one", "two", "--telescope", "auxtel"),
    )
    compiled = run("compile_metadata", "--archive_base_uri", base, "--append")

    assert added.stdout == f"{base}{TODAY}/1/\n", added.stderr
    assert compiled.stdout == f"{cache}\n", compiled.stderr
    (metadata,) = prototype.read_sim_metadata_from_hdf(cache).values()
    assert metadata["tags"] == ["one", "two"]
    assert metadata["telescope"] == "auxtel"


def test_the_commands_are_functions_too(
    opsim: Path, base: str, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = prototype.make_sim_archive_cli(
        "by hand", str(opsim), "--archive_base_uri", base, "--tags", "one", "two"
    )
    prototype.compile_sim_archive_metadata_cli("--archive_base_uri", base)

    assert place.geturl() == f"{base}{TODAY}/1/"
    assert capsys.readouterr().out.splitlines() == [place.geturl(), cache]
    (metadata,) = prototype.read_sim_metadata_from_hdf(cache).values()
    assert metadata["label"] == f"{TODAY}/1 by hand"
    assert prototype.make_sim_archive_dir is make_sim_data_dir


def test_a_command_says_what_is_wrong(tmp_path: Path, base: str) -> None:
    bad = tmp_path / "bad.db"
    bad.write_text("no database at all")

    failed = run("archive_sim", "label", bad, "--archive_base_uri", base)

    assert failed.returncode == 1
    assert failed.stderr == f"Error: {bad}: is not an SQLite file\n"


@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_every_function_warns(base: str) -> None:
    with pytest.warns(DeprecationWarning, match="is deprecated: use"):
        prototype.read_archived_sim_metadata(base)
