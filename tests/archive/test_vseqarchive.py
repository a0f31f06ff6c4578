"""Files of sequences, under the original's function names."""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest
from astropy.time import Time
from lsst.resources import ResourcePath
from numpy.typing import NDArray

from archive_assets import vseqarchive
from archive_assets.errors import ArchiveError
from archive_assets.metadata.errors import DuplicateFileError, UnknownSequenceError
from archive_assets.objects.datastore import (
    DataStore,
    HashMismatchError,
    UnsafeNameError,
)
from archive_assets.vseqarchive import (
    VisitSequenceArchiveMetadata,
    add_file,
    compute_nightly_stats,
    construct_base_resource_path,
    get_visits,
)
from visit_tables.hdf5.nodes import HDF5FileError
from visit_tables.hdf5.read import write_visits
from visit_tables.opsim.frame import OpsimFileError


@pytest.fixture
def base(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri() + "/"


@pytest.fixture
def sequence(vsarch: VisitSequenceArchiveMetadata, opsim_visits: pd.DataFrame) -> UUID:
    return vsarch.record_simulation_metadata(
        opsim_visits,
        "a test",
        creation_time=datetime(2026, 1, 2, 3, tzinfo=UTC),
    )


@pytest.fixture
def opsim_visits() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "observationStartMJD": [61041.1, 61041.2, 61042.1],
            "fieldRA": [1.0, 2.0, 3.0],
            "fieldDec": [-1.0, -2.0, -3.0],
            "altitude": [40.0, 50.0, 60.0],
            "azimuth": [350.0, 10.0, 0.0],
            "band": ["r", "i", "é"],
        }
    )


@pytest.fixture
def opsim(tmp_path: Path, opsim_visits: pd.DataFrame) -> Path:
    path = tmp_path / "opsim.db"
    with closing(sqlite3.connect(path)) as connection:
        opsim_visits.to_sql("observations", connection, index=False)
    return path


def text_file(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / text / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def content_file(tmp_path: Path, file_type: str, text: str) -> Path:
    """Return a file ``x.h5`` of a type: visits are HDF5, others hold the text."""
    path = text_file(tmp_path, "x.h5", text)
    if file_type == "visits":
        mjd = 61041.0 + np.arange(len(text) + ord(text[0]) % 7) / 100
        write_visits(path, {"observations": pd.DataFrame({"observationStartMJD": mjd})})
    return path


def stored_names(base: str) -> list[str]:
    return sorted(found.url.basename() for found in DataStore(base).list_objects())


class TestAddFile:
    """Storing a file and making it known."""

    def test_an_opsim_file_becomes_visits_h5(
        self,
        vsarch: VisitSequenceArchiveMetadata,
        sequence: UUID,
        opsim: Path,
        opsim_visits: pd.DataFrame,
        base: str,
    ) -> None:
        location = add_file(vsarch, sequence, opsim, "visits", base)

        place = f"{base}simonyi/2026-01-01/{sequence}/visits.h5"
        assert location.geturl() == vsarch.get_visitseq_url(sequence) == place
        pd.testing.assert_frame_equal(
            get_visits(location), opsim_visits, check_index_type=False
        )

    def test_other_files_keep_their_bytes_and_names(
        self,
        vsarch: VisitSequenceArchiveMetadata,
        sequence: UUID,
        tmp_path: Path,
        base: str,
    ) -> None:
        origin = text_file(tmp_path, "notes.txt", "one")

        location = add_file(vsarch, sequence, origin, "notes", ResourcePath(base))

        assert location.basename() == "notes.txt"
        assert location.read() == b"one"
        assert vsarch.get_file_url(sequence, "notes") == location.geturl()

    def test_two_types_with_one_basename_do_not_collide(
        self,
        vsarch: VisitSequenceArchiveMetadata,
        sequence: UUID,
        tmp_path: Path,
        base: str,
    ) -> None:
        one = add_file(vsarch, sequence, text_file(tmp_path, "x.txt", "1"), "a", base)
        two = add_file(vsarch, sequence, text_file(tmp_path, "x.txt", "2"), "b", base)
        same = add_file(vsarch, sequence, text_file(tmp_path, "x.txt", "1"), "c", base)

        assert [one.read(), two.read(), same.read()] == [b"1", b"2", b"1"]
        assert stored_names(base) == ["x.b.txt", "x.c.txt", "x.txt"]

    @pytest.mark.parametrize("file_type", ["visits", "notes"])
    def test_a_second_content_is_refused_before_anything_is_written(
        self,
        vsarch: VisitSequenceArchiveMetadata,
        sequence: UUID,
        tmp_path: Path,
        base: str,
        file_type: str,
    ) -> None:
        old = content_file(tmp_path, file_type, "old")
        location = add_file(vsarch, sequence, old, file_type, base)

        new = content_file(tmp_path, file_type, "new")
        with pytest.raises(DuplicateFileError, match="already registered"):
            add_file(vsarch, sequence, new, file_type, base)

        assert location.read() == old.read_bytes()
        assert add_file(vsarch, sequence, old, file_type, base) == location

    @pytest.mark.parametrize("file_type", ["visits", "notes"])
    def test_an_update_replaces_content_and_hash(
        self,
        vsarch: VisitSequenceArchiveMetadata,
        sequence: UUID,
        tmp_path: Path,
        base: str,
        file_type: str,
    ) -> None:
        old = content_file(tmp_path, file_type, "old")
        add_file(vsarch, sequence, old, file_type, base)

        new = content_file(tmp_path, file_type, "new")
        location = add_file(vsarch, sequence, new, file_type, base, update=True)

        assert location.read() == new.read_bytes()
        assert vsarch.get_file_url(sequence, file_type) == location.geturl()
        if file_type != "visits":
            assert (
                vsarch.get_file_sha256(sequence, file_type)
                == DataStore(base).info(location).sha256
            )

    def test_an_unknown_sequence_leaves_nothing(
        self, vsarch: VisitSequenceArchiveMetadata, tmp_path: Path, base: str
    ) -> None:
        with pytest.raises(UnknownSequenceError, match="not found"):
            add_file(vsarch, uuid4(), text_file(tmp_path, "x", "1"), "notes", base)
        assert stored_names(base) == []

    def test_a_database_that_refuses_leaves_no_object(
        self,
        vsarch: VisitSequenceArchiveMetadata,
        sequence: UUID,
        tmp_path: Path,
        base: str,
    ) -> None:
        table = "ALTER TABLE files "
        vsarch.query(table + "ADD CONSTRAINT no CHECK (false)", {}, True, False)
        try:
            with pytest.raises(ArchiveError, match="violates check constraint"):
                add_file(vsarch, sequence, text_file(tmp_path, "x", "1"), "n", base)
        finally:
            vsarch.query(table + "DROP CONSTRAINT no", {}, True, False)

        assert stored_names(base) == []

    @pytest.mark.parametrize("file_type", ["../x", "a/b", "", "a#b", "\0"])
    def test_a_type_is_a_plain_name(
        self,
        vsarch: VisitSequenceArchiveMetadata,
        sequence: UUID,
        opsim: Path,
        base: str,
        file_type: str,
    ) -> None:
        with pytest.raises(UnsafeNameError, match="file type"):
            add_file(vsarch, sequence, opsim, file_type, base)

    def test_a_damaged_opsim_file_leaves_nothing(
        self,
        vsarch: VisitSequenceArchiveMetadata,
        sequence: UUID,
        opsim: Path,
        base: str,
    ) -> None:
        opsim.write_bytes(b"")

        with pytest.raises(OpsimFileError, match="empty"):
            add_file(vsarch, sequence, opsim, "visits", base)
        assert stored_names(base) == []


class TestGetVisits:
    """Reading visits back."""

    @pytest.fixture
    def url(self, tmp_path: Path, opsim_visits: pd.DataFrame) -> str:
        write_visits(tmp_path / "v.h5", {"observations": opsim_visits})
        return (tmp_path / "v.h5").as_uri()

    def test_a_query_selects_visits(self, url: str) -> None:
        night = get_visits(url, "floor(observationStartMJD - 0.5) == 61041")

        assert night["altitude"].tolist() == [60.0]

    def test_nights_and_columns_are_selected(self, url: str) -> None:
        found = get_visits(url, columns=["band"], last_day_obs=date(2025, 12, 31))

        assert found.to_dict("list") == {"band": ["r", "i"]}

    def test_stackers_add_columns(self, url: str) -> None:
        class Double:
            def run(self, sim_data: NDArray[np.void]) -> NDArray[np.void]:
                frame = pd.DataFrame(sim_data).assign(twice=sim_data["altitude"] * 2)
                return frame.to_records(index=False)

        found = get_visits(url, stackers=[Double()])

        assert found["twice"].tolist() == [80.0, 100.0, 120.0]
        assert found["index"].tolist() == [0, 1, 2]

    def test_opsim_files_are_read_too(
        self, opsim: Path, opsim_visits: pd.DataFrame
    ) -> None:
        pd.testing.assert_frame_equal(get_visits(str(opsim)), opsim_visits)

    def test_another_hash_is_refused(self, url: str) -> None:
        with pytest.raises(HashMismatchError, match="SHA-256"):
            get_visits(url, expected_sha256=b"\0" * 32)

    def test_a_truncated_file_is_refused(self, url: str, tmp_path: Path) -> None:
        path = tmp_path / "v.h5"
        path.write_bytes(path.read_bytes()[:3000])

        with pytest.raises(HDF5FileError, match="cannot be read"):
            get_visits(url)


@pytest.mark.parametrize(
    "creation_time",
    [Time("2026-01-02T03:00"), datetime(2026, 1, 2, 3, tzinfo=UTC)],
    ids=["astropy", "datetime"],
)
def test_the_folder_is_that_of_the_original(creation_time: Time | datetime) -> None:
    uuid = uuid4()

    folder = construct_base_resource_path(
        ResourcePath("s3://bucket/vseq/"), "auxtel", creation_time, uuid
    )

    assert folder.geturl() == f"s3://bucket/vseq/auxtel/2026-01-01/{uuid}/"


def test_statistics_have_the_original_columns(opsim_visits: pd.DataFrame) -> None:
    stats = compute_nightly_stats(opsim_visits)

    assert stats.columns.tolist() == [
        "day_obs",
        "value_name",
        *["count", "mean", "std", "min", "p05", "q1", "median", "q3", "p95", "max"],
        "accumulated",
    ]
    assert stats["count"].tolist() == [2.0, 2.0, 1.0, 1.0]


def test_unknown_names_of_the_module_are_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vseqarchive.nothing  # noqa: B018
