import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from l1db_pipeline import services
from l1db_pipeline.services import EmbeddedPostgres, ServicesError, environment


def test_a_stale_pid_file_of_another_process_is_survived(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    server.start()
    server.stop()
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


def test_a_variable_that_is_set_replaces_the_embedded_default() -> None:
    mine = {"L1DB_URL": "sqlite:///mine.db", "L1DB_HOME": "/srv/l1db"}

    found = environment(mine)

    assert found["L1DB_URL"] == "sqlite:///mine.db"
    assert found["DAGSTER_HOME"] == "/srv/l1db/dagster"


def test_a_server_that_crashed_starts_again(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
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


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    server.start()
    pid = (server.data / "postmaster.pid").read_text()

    server.start()
    server.create_databases()
    server.create_databases()

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
    monkeypatch.setattr(services, "find_spec", lambda _: None)

    with pytest.raises(
        ServicesError, match=r"no PostgreSQL for this platform.*L1DB_URL"
    ):
        EmbeddedPostgres(tmp_path / "data").start()
