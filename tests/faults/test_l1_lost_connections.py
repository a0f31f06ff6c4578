"""Connections that break, commits without an answer, locks that nobody releases."""

import csv
import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from contracts.l1db_sky import field, key, records

from l1db_pipeline.cli.l1db import main
from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.store.base import StoreOutcome
from l1db_pipeline.store.errors import (
    CommitLostError,
    ConnectionLostError,
    DatabaseBusyError,
)
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store

pytestmark = pytest.mark.postgresql
IDS = [1, 2, 3]


@pytest.fixture
def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlL1Store]:
    """A store with one visit, that waits no longer than a tenth of a second."""
    monkeypatch.setenv("L1DB_LOCK_TIMEOUT_S", "0.1")
    config = L1dbConfig(
        url=database_url,
        prefix="lost_",
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
        history=History.PACKED,
    )
    with closing(open_sql_store(config)) as opened:
        opened.create_schema(drop=True)
        opened.store_visit(key(1), records(1, IDS))
        yield opened


@pytest.fixture
def admin(database_dsn: str) -> Iterator[psycopg.Connection]:
    """Another session of the same database."""
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        yield connection


def _session(store: SqlL1Store) -> psycopg.Connection:
    database: Any = store._database
    found: psycopg.Connection = database._connection
    return found


def _killer(store: SqlL1Store, admin: psycopg.Connection) -> Callable[[], None]:
    """Return what ends the server process of a store at its first call."""
    pid = _session(store).info.backend_pid

    def kill() -> None:
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])

    return kill


def _before(owner: object, name: str, action: Callable[[], None]) -> None:
    method = getattr(owner, name)

    def call(*arguments: Any, **keywords: Any) -> Any:
        action()
        return method(*arguments, **keywords)

    setattr(owner, name, call)


POINTS: dict[str, Callable[[SqlL1Store], object]] = {
    "claim of cells": lambda store: store._cells,
    "ledger": lambda store: store._ledger,
    "sources": lambda store: store._sources,
    "forced sources": lambda store: store._forced,
    "objects": lambda store: store._objects,
    "end": lambda store: store._cells,
}
METHODS = {
    "claim of cells": "claim",
    "ledger": "claim",
    "sources": "store",
    "forced sources": "store",
    "objects": "make_current",
    "end": "note",
}


@pytest.mark.parametrize("point", POINTS)
def test_a_store_whose_connection_breaks_is_repeated(
    store: SqlL1Store, admin: psycopg.Connection, point: str
) -> None:
    with store.reading_unit(2, field()) as token:
        store.read_objects(field())
    _before(POINTS[point](store), METHODS[point], _killer(store, admin))

    outcome = store.store_visit(key(2), records(2, IDS), token)

    assert outcome is StoreOutcome.STORED
    assert store.store_visit(key(2), records(2, IDS)) is StoreOutcome.ALREADY_STORED
    assert store.verify() == []


def test_a_commit_without_an_answer_is_looked_up_in_the_ledger(
    store: SqlL1Store,
) -> None:
    database: Any = store._database
    claim, n_calls = database.claim_cells, []

    def lose_the_answer(*arguments: Any) -> None:
        claim(*arguments)
        n_calls.append(1)
        raise CommitLostError(store.place, "the answer was lost")

    database.claim_cells = lose_the_answer

    assert store.store_visit(key(2), records(2, IDS)) is StoreOutcome.STORED
    assert len(n_calls) == 1  # the ledger had it
    assert store.row_counts()["DiaSource"] == 2 * len(IDS)


def test_reading_goes_on_with_another_connection(
    store: SqlL1Store, admin: psycopg.Connection
) -> None:
    _killer(store, admin)()

    assert len(store.read_objects(field())) == len(IDS)


def test_reads_of_a_unit_are_not_continued_in_another_state(
    store: SqlL1Store, admin: psycopg.Connection
) -> None:
    def read() -> None:
        with store.reading_unit(2, field()):
            _killer(store, admin)()
            store.read_objects(field())

    with pytest.raises(ConnectionLostError):
        read()

    assert len(store.read_objects(field())) == len(IDS)


def test_a_store_does_not_wait_for_ever_for_one_that_stands_still(
    store: SqlL1Store, admin: psycopg.Connection
) -> None:
    with admin.transaction():
        admin.execute('SELECT * FROM "lost_L1Cell" FOR UPDATE')
        with pytest.raises(DatabaseBusyError, match="lock timeout"):
            store.store_visit(key(2), records(2, IDS))

    assert store.store_visit(key(2), records(2, IDS)) is StoreOutcome.STORED


def test_a_session_is_named_by_its_program_and_unit(
    store: SqlL1Store, admin: psycopg.Connection
) -> None:
    pid = _session(store).info.backend_pid
    names: list[str] = []

    def note() -> None:
        query = "SELECT application_name FROM pg_stat_activity WHERE pid = %s"
        names.extend(admin.execute(query, [pid]).fetchone() or ())

    _before(store._sources, "store", note)
    store.store_visit(key(2, tile="it's 1x0"), records(2, IDS))
    note()

    program = names[1]
    assert program
    assert names[0] == f"{program} visit 2 tile it's 1x0"


def test_activity_tells_who_waits_for_whom(
    store: SqlL1Store, admin: psycopg.Connection, tmp_path: Path
) -> None:
    admin.execute("SET application_name = 'stands still'")
    waits = _session(store)
    waits.execute("SET lock_timeout = 0")
    config = tmp_path / "l1db.cfg"
    config.write_text(f"[database]\nurl = {store.config.url}\n[l1db]\nprefix = lost_\n")
    with ThreadPoolExecutor(1) as thread:
        with admin.transaction():
            admin.execute('SELECT * FROM "lost_L1Cell" FOR UPDATE')
            stored = thread.submit(store.store_visit, key(2), records(2, IDS))
            blocking = "SELECT pg_blocking_pids(%s) = ARRAY[%s]::int[]"
            both = [waits.info.backend_pid, admin.info.backend_pid]
            with psycopg.connect(admin.info.dsn, autocommit=True) as third:
                deadline = time.monotonic() + 30
                while third.execute(blocking, both).fetchone() != (True,):
                    assert time.monotonic() < deadline
            told = CliRunner().invoke(main, ["activity", "-c", str(config)])
        assert stored.result(timeout=30) is StoreOutcome.STORED

    assert told.exit_code == 0, told.output
    by_pid = {row["pid"]: row for row in csv.DictReader(io.StringIO(told.stdout))}
    waiting, holder = (by_pid[str(pid)] for pid in both)
    assert waiting["waits_for"] == holder["pid"]
    assert waiting["program"].endswith(" visit 2")
    assert holder["program"] == "stands still"
    assert (holder["state"], holder["waits_for"]) == ("idle in transaction", "")


def test_activity_of_a_database_without_sessions_says_so(tmp_path: Path) -> None:
    config = tmp_path / "l1db.cfg"
    config.write_text(f"[database]\nurl = sqlite:///{tmp_path}/l1.db\n")

    told = CliRunner().invoke(main, ["activity", "-c", str(config)])

    assert told.exit_code == 1
    assert "has no list of sessions" in told.stderr
