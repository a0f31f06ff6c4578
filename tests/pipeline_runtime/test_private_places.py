import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline_runtime.private_places import (
    PlaceError,
    check_owner,
    make_private,
    short_link,
)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files with a name short enough."""
    with tempfile.TemporaryDirectory(prefix="l1db-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_a_long_path_gets_a_short_name_that_leads_there(
    tmp_path: Path, temporary: Path
) -> None:
    link = short_link(tmp_path, 80)

    assert link.parent == temporary
    assert link.resolve() == tmp_path.resolve()
    assert short_link(tmp_path, 80) == link


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("planted", ["folder", "file", "link"])
def test_a_name_that_somebody_took_is_passed_over(tmp_path: Path, planted: str) -> None:
    (mine := tmp_path / "mine").mkdir()
    first = short_link(mine, 80)
    first.unlink()
    match planted:
        case "folder":
            first.mkdir(mode=0o777)
        case "file":
            first.touch()
        case _:
            first.symlink_to(tmp_path)

    link = short_link(mine, 80)

    assert link != first
    assert link.resolve() == mine.resolve()
    assert first.exists()


@pytest.mark.usefixtures("temporary")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes others' links")
def test_a_link_of_another_user_is_not_followed(tmp_path: Path) -> None:
    first = short_link(tmp_path, 80)
    os.chown(first, 65534, 65534, follow_symlinks=False)

    assert short_link(tmp_path, 80) != first


def test_no_link_is_made_to_what_is_not_there(tmp_path: Path, temporary: Path) -> None:
    short_link(tmp_path / "later", 80)

    assert list(temporary.iterdir()) == []


def test_no_short_name_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match="set L1DB_HOME to a folder with a shorter"):
        short_link(tmp_path, 10)


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    (folder := tmp_path / "open").mkdir()
    folder.chmod(mode)

    with pytest.raises(PlaceError, match=rf"mode {mode:04o}\): chmod go-w .*open"):
        check_owner(folder, os.geteuid())


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match=r"belongs to .*, not to .*set L1DB_HOME"):
        check_owner(tmp_path, os.geteuid() + 1)


def test_what_is_made_is_closed_and_what_was_there_is_left(tmp_path: Path) -> None:
    (shared := tmp_path / "shared").mkdir(mode=0o755)

    make_private(shared)
    make_private(shared / "inner")

    assert shared.stat().st_mode & 0o777 == 0o755
    assert (shared / "inner").stat().st_mode & 0o777 == 0o700
