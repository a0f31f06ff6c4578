"""Expiry that is killed, repeated, doubled, and beside a writer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from contracts.l1db_sky import as_us, field, key, records

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.store.backends.database import Condition, Op
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.errors import DatabaseBusyError, ExpiredTimeError
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.tables.tiers import HISTORY_TIERS, Tiers

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
IDS = np.arange(1, 31)
NIGHTS = [3, 20, 34, 50, 62, 65]
N_OBJECTS = [30, 20, 25, 10, 30, 15]


class _KilledError(Exception):
    pass


def _give(store: Any, place: int) -> None:
    visit_id, night = place + 1, NIGHTS[place]
    rows = records(visit_id, IDS[: N_OBJECTS[place]], night)
    store.store_visit(key(visit_id, night), rows)


def _config(url: str) -> L1dbConfig:
    last = ObjectIndex.LAST_OBJECT_TABLE
    return L1dbConfig(
        url=url, prefix="old_", dia_object_index=last, history=History.PACKED
    )


@pytest.fixture(params=["sqlite", pytest.param("pg", marks=pytest.mark.postgresql)])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SqlL1Store, SqlL1Store]]:
    """Two connections to a store with visits of three months."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('expiry')}/l1.db"
    else:
        url = request.getfixturevalue("database_url")
    config = _config(url)
    with closing(open_sql_store(config)) as one:
        one.create_schema(drop=True)
        for place in range(len(NIGHTS)):
            _give(one, place)
        with closing(open_sql_store(config)) as other:
            yield one, other


def _digest(*befores: datetime) -> Any:
    reference = MemoryL1Store(_config("memory:"))
    for place in range(len(NIGHTS)):
        _give(reference, place)
    for before in befores:
        reference.expire(before)
    return reference.science_digest()


@pytest.mark.parametrize("n_calls", [1, 2, 3, 4, 5])
def test_an_expiry_that_was_killed_is_completed_by_the_next(
    pair: tuple[SqlL1Store, SqlL1Store], n_calls: int
) -> None:
    store, other = pair
    database, n_left = store._database, n_calls

    def killed(method: str) -> Any:
        real = getattr(database, method)

        def call(*arguments: Any) -> Any:
            nonlocal n_left
            n_left -= 1
            if n_left == 0:
                raise _KilledError(method)
            return real(*arguments)

        return patch.object(database, method, call)

    with killed("delete"), killed("delete_superseded"), pytest.raises(_KilledError):
        store.expire(FEBRUARY)

    assert other.horizon() == FEBRUARY
    assert [f.invariant for f in other.verify()].count("expiry") >= 1
    with pytest.raises(ExpiredTimeError):
        _store_late(other)
    with pytest.raises(ExpiredTimeError):
        other.read_objects(field(), at=datetime(2026, 1, 20, tzinfo=UTC))
    other.expire(MARCH)
    assert other.verify() == []
    assert other.science_digest() == _digest(FEBRUARY, MARCH)


def _store_late(store: SqlL1Store) -> None:
    store.store_visit(key(9, 10), records(9, IDS[:4], 10))


def test_two_expiries_at_once_are_as_one(pair: tuple[SqlL1Store, SqlL1Store]) -> None:
    config = pair[0].config

    def expire(_: int) -> None:
        with closing(open_sql_store(config)) as store:
            store.expire(MARCH)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(expire, range(3)))

    assert pair[0].horizon() == MARCH
    assert pair[0].verify() == []
    assert pair[0].science_digest() == _digest(MARCH)


def test_a_unit_stores_what_it_read_before_an_expiry(
    pair: tuple[SqlL1Store, SqlL1Store],
) -> None:
    store, other = pair
    with store.reading_unit(8, field()) as token:
        found = store.read_sources(region=field())

    other.expire(FEBRUARY)
    store.store_visit(key(8, 66), records(8, IDS[:8], 66), token)

    assert len(found) == sum(N_OBJECTS)
    assert store.verify() == []


@pytest.mark.postgresql
def test_a_reader_has_one_state_beside_an_expiry(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(database_url)
    monkeypatch.setenv("L1DB_LOCK_TIMEOUT_S", "0.2")
    with (
        closing(open_sql_store(config)) as store,
        closing(open_sql_store(config)) as other,
    ):
        store.create_schema(drop=True)
        for place in range(len(NIGHTS)):
            _give(store, place)
        with other.reading_unit(8, field()):
            store.expire(FEBRUARY)
            assert len(other.read_sources(region=field())) == sum(N_OBJECTS)
        with other._database.transaction(write=True):
            # a visit that is being stored: the horizon waits until it is there
            row = other._ledger.entries(1)
            other._database.add_if_absent(other.layout.ledger, row)
            with pytest.raises(DatabaseBusyError):
                store.expire(MARCH)
        assert store.horizon() == FEBRUARY
        store.expire(MARCH)
        assert store.verify() == []


def test_chunks_merged_across_months_are_divided_when_one_expires(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/l1.db"
    across = Tiers(fan=2, most_rows=None)  # as versions before did
    with closing(open_sql_store(_config(url))) as store:
        store.create_schema()
        for history in store._histories:
            assert history._chunks is not None
            history._chunks._tiers = across
        for place in range(len(NIGHTS)):
            _give(store, place)
        for history in store._histories:
            assert history._chunks is not None
            assert history.packed is not None
            history._chunks._tiers = HISTORY_TIERS
            limit = as_us(FEBRUARY)
            crosses = [
                Condition("firstTime", Op.LESS, limit),
                Condition("lastTime", Op.AT_LEAST, limit),
            ]
            assert store._database.count(history.packed, crosses) > 0

        store.expire(FEBRUARY)

        assert store.verify() == []
        assert store.science_digest() == _digest(FEBRUARY)
