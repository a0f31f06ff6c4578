import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from pipeline_runtime import services
from pipeline_runtime.postgres import EmbeddedPostgres, ServicesError
from pipeline_runtime.services import environment, start_services
from pipeline_runtime.shipped import shipped_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def started() -> Iterator[EmbeddedPostgres]:
    """Services whose home folder an earlier version left open."""
    with TemporaryDirectory(prefix="l1db-test-") as folder:
        (home := Path(folder) / ".l1db").mkdir(mode=0o755)
        server = start_services({"L1DB_HOME": str(home)})
        yield server
        server.stop()


def test_a_variable_that_is_set_replaces_the_embedded_default() -> None:
    mine = {"L1DB_URL": "sqlite:///mine.db", "L1DB_HOME": "/srv/l1db"}

    found = environment(mine)

    assert found["L1DB_URL"] == "sqlite:///mine.db"
    assert found["DAGSTER_HOME"] == "/srv/l1db/dagster"


@pytest.mark.parametrize("folder", [".", "dagster", "dagster/compute_logs"])
def test_the_home_and_its_logs_are_closed_to_others(
    started: EmbeddedPostgres, folder: str
) -> None:
    mode = (started.data.parent / folder).stat().st_mode

    assert not mode & 0o067  # group: at most through, for the account of root's server


def test_the_log_is_quiet_and_of_one_week(started: EmbeddedPostgres) -> None:
    with psycopg.connect(started.dsn("l1db")) as connection:
        settings: dict[str, str] = dict(
            connection.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN "
                "('log_min_messages', 'log_filename', 'log_truncate_on_rotation', "
                "'max_wal_size')"
            ).fetchall()
        )

    assert settings == {
        "log_min_messages": "fatal",
        "log_filename": "server.%a.log",
        "log_truncate_on_rotation": "on",
        "max_wal_size": "1024",
    }


def _instance(folder: Path) -> Path:
    services._make_dagster_home(folder)
    return folder / "dagster.yaml"


def test_every_earlier_instance_file_of_ours_is_replaced(tmp_path: Path) -> None:
    versions = subprocess.run(
        ["git", "log", "--format=%H", "--", "dagster.yaml"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    if not versions:
        pytest.skip("the history is not here")
    for version in versions:
        done = subprocess.run(
            ["git", "show", f"{version}:dagster.yaml"],
            cwd=ROOT, capture_output=True, check=True,
        )  # fmt: skip
        if b"archive_assets.defs" not in done.stdout:
            continue
        (folder := tmp_path / version).mkdir()
        (folder / "dagster.yaml").write_bytes(done.stdout)

        assert _instance(folder).read_bytes() == (ROOT / "dagster.yaml").read_bytes()


def test_an_instance_file_is_replaced_by_the_next_version_unless_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, changed = _instance(tmp_path / "kept"), _instance(tmp_path / "changed")
    with changed.open("a") as file:
        file.write("# ours\n")
    theirs = changed.read_text()
    following = tmp_path / "following.yaml"
    shutil.copyfile(shipped_file("dagster.yaml"), following)
    with following.open("a") as file:
        file.write("# the next version\n")
    monkeypatch.setattr(services, "shipped_file", lambda _: following)

    _instance(kept.parent)
    _instance(changed.parent)

    assert kept.read_text() == following.read_text()
    assert changed.read_text() == theirs


@pytest.mark.parametrize(
    ("old", "new"), [("storage", "event_log"), ("launcher", "launcher")]
)
def test_a_changed_instance_file_with_a_moved_module_is_told_what_to_write(
    tmp_path: Path, old: str, new: str
) -> None:
    (tmp_path / "dagster.yaml").write_text(
        f"storage:\n  custom:\n    module: archive_assets.defs.{old}\n"
    )

    with pytest.raises(
        ServicesError,
        match=rf"archive_assets.defs.{old}, which moved: write "
        rf"pipeline_runtime.dagster.workarounds.{new}, or remove the file",
    ):
        _instance(tmp_path)
