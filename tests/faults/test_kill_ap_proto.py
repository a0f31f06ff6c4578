"""A run that is killed again and again ends as one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg import sql

from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sources.generators import rand_cone_xyz
from l1db_pipeline.store.open import open_store

N_VISITS = 60
N_KILLS = 10
FIELDS = [(20.0, -30.0), (200.0, -60.0), (0.0, -89.0)]


def ap_proto(folder: Path, namespace: str, n_visits: int) -> "subprocess.Popen[str]":
    """Start the program as a shell would, in a process group of its own."""
    fields = " ".join(f"{ra},{dec}" for ra, dec in FIELDS)
    command = [
        sys.executable, "-m", "l1db_pipeline.cli.ap_proto",
        "-c", str(folder / f"{namespace}.cfg"), "-n", str(n_visits),
        "--start-time", "2026-01-01 00:00:00", "--seed", "17", "--fields", fields,
        "--transients", "15", str(folder / "sources.npy"),
    ]  # fmt: skip
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def make_database(folder: Path, namespace: str, url: str) -> None:
    path = folder / f"{namespace}.cfg"
    path.write_text(
        f"[database]\nurl = {url}\n[l1db]\ndia_object_index = last_object_table\n"
        "object_last_replace = 1\nread_sources_months = 1\n"
        f"read_forced_sources_months = 1\nnamespace = {namespace}\n"
    )
    store = open_store(L1dbConfig.from_ini(path))
    store.create_schema()
    store.close()


def n_stored(connection: psycopg.Connection[tuple[int]], namespace: str) -> int:
    table = sql.Identifier(namespace, "L1DbProtoVisits")
    (count,) = connection.execute(
        sql.SQL("SELECT count(*) FROM {}").format(table)
    ).fetchone() or (0,)
    return count


def tables(dsn: str, namespace: str) -> dict[str, str]:
    """Digest of each table's rows, but for the clock's and the database's identity."""
    found = {}
    with psycopg.connect(dsn) as connection:
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s",
            [namespace],
        ).fetchall()
        for (name,) in names:
            if name == "L1Timings":
                continue
            # what tells a database from every other is equal in no two
            identity = "t.name = 'l1.database'" if name == "L1Settings" else "false"
            row = connection.execute(
                sql.SQL(
                    "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t "
                    "WHERE NOT ({})"
                ).format(sql.Identifier(namespace, name), sql.SQL(identity))
            ).fetchone()
            assert row is not None
            found[name] = row[0]
    return found


def digest(folder: Path, namespace: str) -> dict[str, str]:
    store = open_store(L1dbConfig.from_ini(folder / f"{namespace}.cfg"))
    try:
        return dict(store.science_digest())
    finally:
        store.close()


@pytest.fixture
def watch(database_dsn: str) -> Iterator["psycopg.Connection[tuple[int]]"]:
    """A connection that sees each visit as soon as it is there."""
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def folder(tmp_path: Path, database_url: str) -> Path:
    """Folder with sources and the configurations of two empty databases."""
    xyz = [
        rand_cone_xyz(radec_to_xyz(ra, dec), np.radians(3.5), 20, place)
        for place, (ra, dec) in enumerate(FIELDS)
    ]
    np.save(tmp_path / "sources.npy", np.concatenate(xyz))
    for namespace in ("whole", "killed"):
        make_database(tmp_path, namespace, database_url)
    return tmp_path


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.postgresql
def test_a_run_killed_ten_times_equals_an_uninterrupted_one(
    folder: Path, database_dsn: str, watch: "psycopg.Connection[tuple[int]]"
) -> None:
    whole = ap_proto(folder, "whole", N_VISITS)
    _, complaint = whole.communicate(timeout=500)
    assert whole.returncode == 0, complaint

    moments = random.Random(3)
    for _ in range(N_KILLS):
        # each run stores a visit or two, and is killed somewhere in the next
        target = n_stored(watch, "killed") + moments.randint(1, 3)
        process = ap_proto(folder, "killed", N_VISITS)
        while n_stored(watch, "killed") < target and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.03))
        assert process.poll() is None, process.communicate()[1]
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    left = N_VISITS - n_stored(watch, "killed")
    last = ap_proto(folder, "killed", left)
    _, complaint = last.communicate(timeout=500)

    assert last.returncode == 0, complaint
    assert n_stored(watch, "killed") == N_VISITS
    assert tables(database_dsn, "killed") == tables(database_dsn, "whole")
    assert digest(folder, "killed") == digest(folder, "whole")


@pytest.mark.postgresql
def test_ctrl_c_ends_after_the_visit_with_exit_code_130(
    folder: Path, watch: "psycopg.Connection[tuple[int]]"
) -> None:
    process = ap_proto(folder, "killed", N_VISITS)
    while n_stored(watch, "killed") < 2:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)

    os.killpg(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "interrupted" in complaint
    assert "Traceback" not in complaint
    ((ledger,),) = watch.execute('SELECT count(*) FROM killed."L1Ledger"').fetchall()
    assert ledger == n_stored(watch, "killed") < N_VISITS
