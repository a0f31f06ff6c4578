import pickle
from pathlib import Path

import pytest
from typing_extensions import override

from archive_assets.simulation.errors import SnapshotError
from archive_assets.simulation.snapshots import load_snapshot, save_snapshot


class Planted:
    def __init__(self, target: Path) -> None:
        self.target = target

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
def test_a_snapshot_comes_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "deeper" / f"scheduler.pickle{suffix}"

    save_snapshot({"nside": 32}, path)

    assert load_snapshot(path, tmp_path) == {"nside": 32}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_snapshot_from_elsewhere_is_not_run(tmp_path: Path) -> None:
    work, path = tmp_path / "work", tmp_path / "planted.pickle"
    work.mkdir()
    path.write_bytes(pickle.dumps(Planted(tmp_path / "owned")))

    with pytest.raises(SnapshotError, match="is outside the work folder"):
        load_snapshot(path, work)

    assert not (tmp_path / "owned").exists()


def test_a_link_to_elsewhere_is_not_run(tmp_path: Path) -> None:
    work, path = tmp_path / "work", tmp_path / "planted.pickle"
    work.mkdir()
    path.write_bytes(pickle.dumps(Planted(tmp_path / "owned")))
    (work / "link.pickle").symlink_to(path)

    with pytest.raises(SnapshotError, match="is outside the work folder"):
        load_snapshot(work / "link.pickle", work)

    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("who", ["file", "folder"])
def test_what_others_may_write_is_not_run(tmp_path: Path, who: str) -> None:
    path = tmp_path / "sub" / "planted.pickle"
    save_snapshot(Planted(tmp_path / "owned"), path)
    (path if who == "file" else path.parent).chmod(0o777)

    with pytest.raises(SnapshotError, match="others than you can write to"):
        load_snapshot(path, tmp_path)

    assert not (tmp_path / "owned").exists()


def test_anothers_file_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "planted.pickle"
    save_snapshot(Planted(tmp_path / "owned"), path)
    monkeypatch.setattr("os.geteuid", lambda: 12345)

    with pytest.raises(SnapshotError, match="belongs to another user"):
        load_snapshot(path, tmp_path)

    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["damaged.pickle", "damaged.pickle.xz"])
def test_a_damaged_snapshot_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80damaged")
    (tmp_path / name).chmod(0o600)

    with pytest.raises(SnapshotError, match="is not a snapshot"):
        load_snapshot(tmp_path / name, tmp_path)


def test_the_work_folder_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRENIGHT_WORK", str(tmp_path))
    save_snapshot([1], tmp_path / "one.pickle")

    assert load_snapshot(tmp_path / "one.pickle") == [1]
