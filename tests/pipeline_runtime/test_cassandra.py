"""Cassandra for trials: what is told before anything is fetched or started."""

import hashlib
import os
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from pipeline_runtime import cassandra_jars
from pipeline_runtime.cassandra import Node, TrialCassandra
from pipeline_runtime.cassandra_jars import CassandraError, fetch_jars
from pipeline_runtime.cli import main


@pytest.mark.parametrize(
    ("program", "remedy"), [("java", "a JDK 17"), ("mvn", "Maven")]
)
def test_a_program_that_is_absent_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, remedy: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for other in {"java", "mvn"} - {program}:
        (programs / other).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("L1DB_HOME", str(tmp_path / "home"))

    done = CliRunner().invoke(main, ["cassandra", "start"])

    assert done.exit_code == 1
    assert done.output.count("\n") == 1
    assert f"needs the program {program}" in done.output
    assert remedy in done.output


def test_a_jar_that_is_not_the_one_pinned_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = tmp_path / "pinned"
    pinned.write_text(f"{'0' * 64}  a-1.jar\n")
    monkeypatch.setattr(cassandra_jars, "_PINNED", pinned)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "java").touch(mode=0o755)
    # a Maven whose mirror has other bytes
    (programs / "mvn").write_text(
        "#!/bin/sh\n"
        "for word; do\n"
        "case $word in -DoutputDirectory=*) folder=${word#*=};; esac\n"
        "done\n"
        'mkdir -p "$folder"; echo other > "$folder/a-1.jar"; touch "$folder/b-1.jar"\n'
    )
    (programs / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.defpath}")

    with pytest.raises(
        CassandraError, match=r"a-1\.jar is not the one that pinned lists"
    ):
        fetch_jars(tmp_path / "jars")

    assert not (tmp_path / "jars").exists()


def test_each_home_has_addresses_of_its_own(tmp_path: Path) -> None:
    homes = [TrialCassandra(tmp_path / name) for name in ("one", "other")]
    for home in homes:
        home.home.mkdir()
        (home.home / "n_nodes").write_text("3")

    hosts = [host for home in homes for host in home.hosts.split(",")]

    assert len(set(hosts)) == 6
    assert all(host.startswith("127.") for host in hosts)


def test_a_pid_of_another_program_is_not_taken_for_a_node(tmp_path: Path) -> None:
    node = Node(1, tmp_path, "127.255.255.8")
    (tmp_path / "pid").write_text(str(psutil.Process().pid))

    assert node.process() is None
    assert not node.answers()


def test_another_number_of_nodes_is_refused(tmp_path: Path) -> None:
    home = TrialCassandra(tmp_path / "cassandra")
    (jars := home.home / "jars").mkdir(parents=True, mode=0o700)
    pinned = cassandra_jars._PINNED.read_bytes()
    (jars / ".pinned").write_text(hashlib.sha256(pinned).hexdigest())
    (home.home / "n_nodes").write_text("3")

    with pytest.raises(CassandraError, match="has 3 nodes, 2 are asked for"):
        home.start(2)


def test_nothing_to_stop_is_no_error(tmp_path: Path) -> None:
    TrialCassandra(tmp_path / "absent").stop(wipe=True)

    assert not (tmp_path / "absent").exists()
