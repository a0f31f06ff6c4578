"""What goes wrong while an object is stored leaves the store as it was."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from lsst.resources import ResourcePath

from archive_assets.objects import datastore, transfer
from archive_assets.objects.datastore import DataStore, HashMismatchError, StoreError


@pytest.fixture
def place(tmp_path: Path) -> ResourcePath:
    time = datetime(2026, 1, 2, tzinfo=UTC)
    return DataStore(tmp_path / "store").location("simonyi", time, uuid4(), "x")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"content")
    return path


@pytest.mark.parametrize("had_object", [False, True])
def test_a_flipped_bit_on_the_way_publishes_nothing(
    tmp_path: Path,
    source: Path,
    place: ResourcePath,
    monkeypatch: pytest.MonkeyPatch,
    had_object: bool,
) -> None:
    store = DataStore(tmp_path / "store")
    if had_object:
        store.put(source, place)
        source.write_bytes(b"new content")
    stage = transfer.stage

    def flip(path: str | Path, staged: ResourcePath) -> None:
        stage(path, staged)
        staged.write(b"\0" + staged.read()[1:])

    monkeypatch.setattr(datastore, "stage", flip)

    with pytest.raises(HashMismatchError, match="SHA-256 is"):
        store.put(source, place, replace=True)

    assert [o.size for o in store.list_objects()] == [7] * had_object
    assert list(store.list_staged()) == []


def test_a_store_that_is_no_folder_is_an_error_of_the_store(
    tmp_path: Path, source: Path
) -> None:
    (tmp_path / "store").write_text("in the way")
    store = DataStore(tmp_path / "store")

    with pytest.raises(StoreError, match="Not a directory"):
        store.put(source, store.base.join("x"))


def test_what_an_interrupted_writer_left_is_listed_apart(
    tmp_path: Path, source: Path, place: ResourcePath
) -> None:
    store = DataStore(tmp_path / "store")
    store.put(source, place)
    place.updatedFile(".staged-0123456789abcdef-x").write(b"half")

    assert [o.url for o in store.list_objects()] == [place]
    assert [o.size for o in store.list_staged()] == [4]
