"""Visits of one field that are processed at the same time, step by step."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from contracts.l1db_sky import START, field, key, records
from sqlalchemy import make_url

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sources.dia import SimulatedSources
from l1db_pipeline.sources.generators import rand_cone_xyz
from l1db_pipeline.store.backends.claiming import ClaimingDatabase
from l1db_pipeline.store.base import StoreOutcome
from l1db_pipeline.store.errors import StaleReadError
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.visit.association import Detections, detections_of
from l1db_pipeline.visit.process import (
    MatchMode,
    Visit,
    VisitOptions,
    VisitSummary,
    process_visit,
)

POSTGRESQL = pytest.param("database", marks=pytest.mark.postgresql)
MARIADB = pytest.param("mariadb", marks=pytest.mark.mariadb)
SERVERS = pytest.mark.parametrize("backend", [POSTGRESQL, MARIADB])
EVERY = pytest.mark.parametrize("backend", [POSTGRESQL, MARIADB, "sqlite"])
IDS = np.arange(1, 31)
CENTRE = np.array([0.6, 0.0, 0.8])
OPTIONS = VisitOptions(match=MatchMode.POSITION)
N_VARIABLES = 40

Pair = tuple[SqlL1Store, SqlL1Store]


@pytest.fixture(params=list(History), ids=lambda history: history.value)
def config(request: pytest.FixtureRequest, tmp_path: Path, backend: str) -> L1dbConfig:
    """An empty database."""
    url = (
        f"sqlite:///{tmp_path}/l1.db"
        if backend == "sqlite"
        else request.getfixturevalue(f"{backend}_url")
    )
    made = L1dbConfig(
        url=url,
        prefix=f"o{request.param.value[:2]}_",
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
        history=request.param,
    )
    with closing(open_sql_store(made)) as store:
        store.create_schema(drop=True)
        store.put_setting("run.match", OPTIONS.match.value)
        store.put_setting("run.match_radius_arcsec", "1.0")
    return made


@pytest.fixture
def pair(config: L1dbConfig) -> Iterator[Pair]:
    """Two connections to it."""
    with (
        closing(open_sql_store(config)) as one,
        closing(open_sql_store(config)) as other,
    ):
        yield one, other


@EVERY
def test_a_unit_reads_one_state_while_another_visit_is_stored(pair: Pair) -> None:
    one, other = pair
    one.store_visit(key(1), records(1, IDS[:10]))

    with one.reading_unit(2, field()) as token:
        first = one.read_objects(field())
        other.store_visit(key(3), records(3, IDS))
        second = one.read_objects(field())
        history = one.read_sources(object_ids=IDS, columns=["ccdVisitId"])

    assert len(first) == len(second) == 10
    assert set(history["ccdVisitId"].tolist()) == {1}
    with pytest.raises(StaleReadError):
        one.store_visit(key(2), records(2, IDS[:10]), token)


@SERVERS
def test_the_order_of_commits_counts_not_that_of_beginnings(pair: Pair) -> None:
    one, other = pair
    # until all columns are registered, visits wait for each other from the start
    for n in (1, 2):
        one.store_visit(key(n), records(n, IDS + 200))
    tokens = [_token(store, n) for n, store in enumerate(pair, 3)]
    _before_sources(
        one, lambda: other.store_visit(key(4), records(4, IDS + 100), tokens[1])
    )

    with pytest.raises(StaleReadError, match="visit 3: visit 4"):
        one.store_visit(key(3), records(3, IDS), tokens[0])

    assert one.stored_tiles(3) == frozenset()
    assert one.stored_tiles(4) == {""}
    assert one.verify() == []


@pytest.mark.parametrize("backend", [POSTGRESQL])
def test_a_store_that_waits_for_a_cell_sees_what_was_committed(
    pair: Pair, config: L1dbConfig
) -> None:
    """Its snapshot and its compare would be older than the lock it waits for."""
    one, other = pair
    one.store_visit(key(1), records(1, IDS))
    token = _token(other, 3)
    claim = one._cells.claim(2, _token(one, 2), written=[])

    with ThreadPoolExecutor(1) as thread:
        with one._database.transaction(write=True):
            # without the COMMIT that PostgreSQL's own claim has with it
            assert isinstance(one._database, ClaimingDatabase)
            ClaimingDatabase.claim_cells(one._database, one.layout.cells, claim)
            stored = thread.submit(other.store_visit, key(3), records(3, IDS), token)
            _wait_for_a_waiting_claim(config.url)
        with pytest.raises(StaleReadError, match="visit 3: visit 2"):
            stored.result(timeout=60)

    assert other.store_visit(key(3), records(3, IDS), _token(other, 3)) is (
        StoreOutcome.STORED
    )


@EVERY
@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["in-order", "reversed"])
def test_overlapping_visits_make_the_objects_of_a_serial_run(
    pair: Pair, config: L1dbConfig, order: tuple[int, int]
) -> None:
    one, other = pair
    begun, between = order
    found = []
    _before_store(one, [lambda: found.append(_process(other, between))])

    found.append(_process(one, begun))

    with closing(open_sql_store(_another(config))) as serial:
        serial.create_schema(drop=True)
        expected = [_process(serial, number) for number in (between, begun)]
        assert _counts(one) == _counts(serial)
    assert [s.n_matched for s in found] == [s.n_matched for s in expected]
    assert found[1].n_matched > N_VARIABLES / 2
    assert one.verify() == []


@EVERY
def test_without_tokens_the_same_visits_make_duplicates_that_verify_finds(
    pair: Pair,
) -> None:
    one, other = pair
    _before_store(one, [lambda: _process(other, 2)], is_safe=False)

    _process(one, 1)

    findings = one.verify()
    assert {finding.invariant for finding in findings} == {"duplicate"}
    assert len(findings) > N_VARIABLES / 2


@EVERY
def test_a_visit_that_is_always_overtaken_gives_up_and_stores_nothing(
    pair: Pair,
) -> None:
    one, other = pair
    numbers = iter(range(2, 100))
    overtake = [lambda: _process(other, next(numbers))] * 10
    _before_store(one, overtake)

    with pytest.raises(StaleReadError):
        _process(one, 1)

    assert next(numbers) == 12
    assert one.stored_tiles(1) == frozenset()
    assert one.verify() == []


@pytest.mark.parametrize("backend", [POSTGRESQL])
def test_a_visit_whose_connection_breaks_in_its_reads_is_read_again(pair: Pair) -> None:
    one, other = pair
    _process(other, 1)
    read, sessions = one.read_objects, [_session(one)]

    def read_later(*arguments: Any, **keywords: Any) -> Any:
        if sessions:
            pid = sessions.pop().info.backend_pid
            _session(other).execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        return read(*arguments, **keywords)

    one.read_objects = read_later  # type: ignore[method-assign]  # the point to break at

    summary = _process(one, 2)

    assert summary.outcome is StoreOutcome.STORED
    assert summary.n_matched > N_VARIABLES / 2


def _session(store: SqlL1Store) -> Any:
    database: Any = store._database
    return database._connection


def _token(store: SqlL1Store, visit_id: int) -> Any:
    with store.reading_unit(visit_id, field()) as token:
        store.read_objects(field())
    return token


def _before_sources(store: SqlL1Store, action: Callable[[], object]) -> None:
    """Do something else once the store has written objects and a ledger row."""
    write = store._sources.store

    def write_later(*arguments: Any) -> None:
        action()
        write(*arguments)

    store._sources.store = write_later  # type: ignore[method-assign,assignment]  # the point to wait at


def _before_store(
    store: SqlL1Store, actions: list[Callable[[], Any]], *, is_safe: bool = True
) -> None:
    """Do something else each time that the store has been read and matched."""
    store_visit, left = store.store_visit, list(actions)

    def store_later(key: Any, records: Any, token: Any) -> StoreOutcome:
        if left:
            left.pop()()
        return store_visit(key, records, token if is_safe else None)

    store.store_visit = store_later  # type: ignore[method-assign,assignment]  # as above


def _wait_for_a_waiting_claim(url: str) -> None:
    parts = make_url(url)
    options: dict[str, Any] = parts.translate_connect_args(
        username="user", database="dbname"
    )
    options |= parts.query
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND datname = current_database() AND query LIKE '%L1Cell_claim%'"
    )
    deadline = time.monotonic() + 60
    with psycopg.connect(**options, autocommit=True) as connection:
        while connection.execute(waiting).fetchone() == (0,):
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)


def _process(store: SqlL1Store, number: int) -> VisitSummary:
    visit = Visit(
        visit_id=number,
        time=START + timedelta(minutes=number),
        centre=CENTRE,
        open_angle_deg=0.3,
    )
    return process_visit(
        store, visit, _detections(number), options=OPTIONS, schema=load_schema()
    )


def _detections(number: int) -> Detections:
    """Return what a visit sees of the same variables, with errors of its own."""
    xyz = rand_cone_xyz(CENTRE, np.radians(0.28), N_VARIABLES, 7)
    rng = np.random.default_rng(number)
    xyz = xyz + rng.normal(0, np.radians(0.1 / 3600), xyz.shape)
    xyz /= np.linalg.norm(xyz, axis=1)[:, None]
    xyz = xyz[rng.random(len(xyz)) < 0.8]
    rows = np.full(len(xyz), -1)
    return detections_of(SimulatedSources(xyz=xyz, catalog_rows=rows, columns={}))


def _another(config: L1dbConfig) -> L1dbConfig:
    return replace(config, prefix="serial_")


def _counts(store: SqlL1Store) -> tuple[int, int]:
    counts = store.row_counts()
    return counts["DiaSource"], counts["DiaObjectLast"]
