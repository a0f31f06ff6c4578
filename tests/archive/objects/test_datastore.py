"""What every data store promises, whatever it is made of."""

import hashlib
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from lsst.resources import ResourcePath

from archive_assets.objects.datastore import (
    DataStore,
    HashMismatchError,
    ObjectExistsError,
    ObjectNotFoundError,
    OutsideStoreError,
    StoreError,
    UnsafeNameError,
    check_name,
)
from visit_tables.time_scales import NaiveTimeError

UUID_A = UUID("11111111-2222-4333-8444-555555555555")
NIGHT = datetime(2026, 1, 2, 3, tzinfo=UTC)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "visits.h5"
    path.write_bytes(b"visits" * 1000)
    return path


@pytest.fixture
def place(store: DataStore) -> ResourcePath:
    return store.location("simonyi", NIGHT, UUID_A, "visits.h5")


def content(store: DataStore, url: ResourcePath) -> bytes:
    return store.get(url).read_bytes()


class TestPlaces:
    """Where objects go."""

    def test_the_layout_is_the_original_one(self, store: DataStore) -> None:
        place = store.location("simonyi", NIGHT, UUID_A, "visits.h5")

        assert place.relative_to(store.base) == f"simonyi/2026-01-01/{UUID_A}/visits.h5"

    @pytest.mark.parametrize(
        ("hour", "day"), [(11, "2026-01-01"), (12, "2026-01-02"), (23, "2026-01-02")]
    )
    def test_the_day_is_that_of_utc_minus_12(self, hour: int, day: str) -> None:
        time = datetime(2026, 1, 2, hour, tzinfo=UTC)
        elsewhere = time.astimezone(timezone(timedelta(hours=9)))
        folder = DataStore("/base").folder("simonyi", elsewhere, UUID_A)

        assert folder.geturl() == f"file:///base/simonyi/{day}/{UUID_A}/"

    def test_a_time_without_zone_is_refused(self) -> None:
        with pytest.raises(NaiveTimeError, match="no time zone"):
            DataStore("/base").folder("simonyi", datetime(2026, 1, 1), UUID_A)  # noqa: DTZ001

    @pytest.mark.parametrize("uuid", ["", "../x", "1234"])
    def test_a_uuid_is_one(self, uuid: str) -> None:
        with pytest.raises(ValueError, match="badly formed"):
            DataStore("/base").folder("simonyi", NIGHT, uuid)


UNSAFE = {
    "../../x": "holds '/'",
    "/etc/x": "holds '/'",
    "..": "begins with a dot",
    ".": "begins with a dot",
    ".hidden": "begins with a dot",
    "a\\b": "holds",
    "a#b": "holds '#'",
    "a?b": "holds",
    "a%2fb": "holds '%'",
    "a\0b": "invisible character U\\+0000",
    "a\nb": "invisible",
    "a\x7f": "invisible",
    "a\u202eb": "invisible character U\\+202E",
    "a\u200bb": "invisible",
    "\ud800": "invisible",
    "": "is empty",
    " a": "blank",
    "a ": "blank",
    "x" * 201: "longer than 200 bytes",
    "é" * 101: "longer than 200 bytes",
    "e\u0301": "normal form C",
}


class TestNames:
    """Names that may be part of a place."""

    def test_all_safe_characters_are_stored_everywhere(
        self, store: DataStore, source: Path
    ) -> None:
        place = store.location("simonyi", NIGHT, UUID_A, "é☃ a:b~'&+@,=!.h5")

        store.put(source, place)

        assert [found.url for found in store.list_objects()] == [place]
        assert content(store, place) == source.read_bytes()

    @pytest.mark.parametrize(("name", "message"), UNSAFE.items(), ids=ascii)
    def test_unsafe_names_are_refused(self, name: str, message: str) -> None:
        store = DataStore("/base")

        with pytest.raises(UnsafeNameError, match=message):
            check_name(name, "file name")
        with pytest.raises(UnsafeNameError, match="telescope"):
            store.location(name, NIGHT, UUID_A, "visits.h5")
        with pytest.raises(UnsafeNameError, match="file name"):
            store.location("simonyi", NIGHT, UUID_A, name)

    @pytest.mark.parametrize(
        "name", ["visits.h5", "a b.txt", "é☃.db", "x" * 200, "a:b", "~a", "a'b", "a&b"]
    )
    def test_other_names_are_stored_and_listed(
        self, tmp_path: Path, source: Path, name: str
    ) -> None:
        store = DataStore(tmp_path / "store")
        place = store.location("simonyi", NIGHT, UUID_A, name)

        store.put(source, place)

        assert [found.url.basename() for found in store.list_objects()] == [name]
        assert content(store, place) == source.read_bytes()


class TestPutting:
    """Storing objects."""

    def test_what_is_stored_reads_back(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        stored = store.put(source, place)

        assert (stored.url, stored.size, stored.sha256) == (
            place,
            6000,
            sha256(source.read_bytes()),
        )
        assert content(store, place) == source.read_bytes()
        assert store.exists(place)

    def test_the_same_content_again_changes_nothing(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        first = store.put(source, place)

        assert store.put(source, place) == first

    def test_another_content_is_refused_and_the_old_kept(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        old = source.read_bytes()
        store.put(source, place)
        source.write_bytes(b"other")

        with pytest.raises(ObjectExistsError, match="holds another content already"):
            store.put(source, place)

        assert content(store, place) == old
        assert len(list(store.list_objects())) == 1

    def test_another_content_replaces_it_when_asked(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        store.put(source, place)
        source.write_bytes(b"other")

        store.put(source, place, replace=True)

        assert content(store, place) == b"other"

    def test_nothing_staged_is_left(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        store.put(source, place)
        source.write_bytes(b"other")
        store.put(source, place, replace=True)

        assert list(store.list_staged()) == []

    @pytest.mark.parametrize("size", [0, 1, 20_000_000])
    def test_any_size_is_stored(
        self, store: DataStore, tmp_path: Path, place: ResourcePath, size: int
    ) -> None:
        source = tmp_path / "big"
        source.write_bytes(os.urandom(size))

        assert store.put(source, place).size == size
        assert store.info(place).sha256 == sha256(source.read_bytes())

    def test_a_missing_source_leaves_nothing(
        self, store: DataStore, tmp_path: Path, place: ResourcePath
    ) -> None:
        with pytest.raises(StoreError, match="no such object"):
            store.put(tmp_path / "absent", place)
        assert not store.exists(place)

    @pytest.mark.parametrize(
        "url", ["file:///elsewhere/x", "s3://other/x", "", "../x", "a/../../x", "a#x"]
    )
    def test_places_outside_of_the_store_are_refused(
        self, store: DataStore, source: Path, url: str
    ) -> None:
        target = url if "://" in url else store.base.geturl() + url

        with pytest.raises(OutsideStoreError, match="is not an object of the data"):
            store.put(source, target)
        with pytest.raises(OutsideStoreError, match="is not an object of the data"):
            store.delete(target)


class TestGetting:
    """Reading objects."""

    def test_the_hash_is_compared(
        self, store: DataStore, source: Path, place: ResourcePath, tmp_path: Path
    ) -> None:
        stored = store.put(source, place)

        path = store.get(place, stored.sha256, tmp_path / "copy")

        assert path == tmp_path / "copy"
        assert path.read_bytes() == source.read_bytes()

    @pytest.mark.parametrize("to", ["copy", None])
    def test_another_content_is_refused_and_leaves_no_file(
        self,
        store: DataStore,
        source: Path,
        place: ResourcePath,
        tmp_path: Path,
        to: str | None,
    ) -> None:
        store.put(source, place)
        folder = tmp_path / "to"
        folder.mkdir()

        with pytest.raises(HashMismatchError, match="SHA-256 is"):
            store.get(place, b"\0" * 32, folder / to if to else None)

        assert list(folder.iterdir()) == []

    def test_an_existing_file_is_not_overwritten(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        store.put(source, place)

        with pytest.raises(ObjectExistsError, match=r"visits\.h5"):
            store.get(place, to=source)

    @pytest.mark.parametrize("to", ["copy", None])
    def test_a_missing_object_says_so(
        self, store: DataStore, place: ResourcePath, tmp_path: Path, to: str | None
    ) -> None:
        with pytest.raises(ObjectNotFoundError, match=r"no such object|NoSuchKey|404"):
            store.get(place, to=tmp_path / to if to else None)
        assert not (tmp_path / "copy").exists()


class TestListing:
    """Listing objects."""

    @pytest.fixture
    def filled(self, store: DataStore, source: Path) -> DataStore:
        for telescope in ("auxtel", "simonyi"):
            for name in ("visits.h5", "rewards.h5"):
                store.put(source, store.location(telescope, NIGHT, UUID_A, name))
        return store

    def test_objects_have_sizes_and_hashes(
        self, filled: DataStore, source: Path
    ) -> None:
        found = list(filled.list_objects(with_hash=True))

        assert len(found) == 4
        assert {(o.size, o.sha256) for o in found} == {
            (6000, sha256(source.read_bytes()))
        }

    def test_a_prefix_limits_the_list(self, filled: DataStore) -> None:
        found = [o.url.relative_to(filled.base) for o in filled.list_objects("auxtel")]

        assert sorted(map(str, found)) == [
            f"auxtel/2026-01-01/{UUID_A}/rewards.h5",
            f"auxtel/2026-01-01/{UUID_A}/visits.h5",
        ]

    @pytest.mark.parametrize("prefix", ["../x", "a/../../b", ".trash"])
    def test_a_prefix_stays_within(self, filled: DataStore, prefix: str) -> None:
        with pytest.raises(UnsafeNameError, match="folder"):
            list(filled.list_objects(prefix))

    def test_an_empty_store_lists_nothing(self, store: DataStore) -> None:
        assert list(store.list_objects()) == []
        assert list(store.list_objects("simonyi")) == []
        assert list(store.list_trash()) == []


class TestTrash:
    """Deleting in two steps."""

    def test_what_is_trashed_can_be_restored(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        store.put(source, place)

        trashed = store.trash(place)

        assert not store.exists(place)
        assert list(store.list_objects()) == []
        assert [o.url for o in store.list_trash()] == [trashed]
        assert store.restore(place) == place
        assert content(store, place) == source.read_bytes()
        assert list(store.list_trash()) == []

    def test_a_place_in_the_trash_restores_too(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        store.put(source, place)

        assert store.restore(store.trash(place)) == place

    def test_two_contents_of_one_name_both_stay_in_the_trash(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        store.put(source, place)
        first = store.trash(place)
        source.write_bytes(b"other")
        store.put(source, place)
        store.trash(place)

        assert len(list(store.list_trash())) == 2
        with pytest.raises(StoreError, match="trashed more than once"):
            store.restore(place)
        store.restore(first)
        assert len(content(store, place)) == 6000

    def test_restoring_does_not_overwrite(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        store.put(source, place)
        store.trash(place)
        source.write_bytes(b"other")
        store.put(source, place)

        with pytest.raises(ObjectExistsError, match="holds another content"):
            store.restore(place)
        assert content(store, place) == b"other"

    def test_deleting_is_for_good(
        self, store: DataStore, source: Path, place: ResourcePath
    ) -> None:
        store.put(source, place)
        trashed = store.trash(place)

        store.delete(trashed)

        assert list(store.list_trash()) == []

    def test_what_is_absent_cannot_be_moved_or_deleted(
        self, store: DataStore, place: ResourcePath
    ) -> None:
        for act in (store.trash, store.restore, store.delete):
            with pytest.raises(ObjectNotFoundError):
                act(place)
