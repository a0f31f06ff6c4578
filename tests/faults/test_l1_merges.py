"""Merges of chunks that meet what another transaction does in the same pixel."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from contracts.l1db_sky import key, records

from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store

IDS = np.arange(1, 41)
BACKENDS = [
    pytest.param("database", marks=pytest.mark.postgresql),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]
LAST = ObjectIndex.LAST_OBJECT_TABLE


@pytest.fixture(params=BACKENDS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[SqlL1Store, SqlL1Store]]:
    """Two connections to an empty store."""
    url = request.getfixturevalue(f"{request.param}_url")
    config = L1dbConfig(url=url, prefix="merge_", dia_object_index=LAST)
    with (
        closing(open_sql_store(config)) as one,
        closing(open_sql_store(config)) as other,
    ):
        one.create_schema(drop=True)
        yield one, other


def _store(store: SqlL1Store | MemoryL1Store, visit_id: int) -> None:
    store.store_visit(key(visit_id), records(visit_id, IDS[visit_id % 3 :]))


def _packed(store: SqlL1Store) -> list[Table]:
    layout = store.layout
    assert layout.packed_sources is not None
    assert layout.packed_forced is not None
    assert layout.packed_last is not None
    return [layout.packed_sources, layout.packed_forced, layout.packed_last.chunks]


def _check(store: SqlL1Store, n_visits: int) -> None:
    """Compare with a store that does one visit after the other."""
    reference = MemoryL1Store(L1dbConfig(url="memory:", dia_object_index=LAST))
    for visit_id in range(1, n_visits + 1):
        _store(reference, visit_id)
    assert store.verify() == []
    assert store.science_digest() == reference.science_digest()


def test_a_merge_leaves_chunks_that_another_has_in_hand(
    pair: tuple[SqlL1Store, SqlL1Store],
) -> None:
    store, other = pair
    for visit_id in (1, 2):
        _store(store, visit_id)
    names = ("pixel", "visitId", "tile")

    with other._database.transaction(write=True):
        held = [other._database.select_free(t, names, ()) for t in _packed(store)]
        for visit_id in range(3, 17):  # none waits, though all pixels fall due
            _store(store, visit_id)
        left = [store._database.select(t, (*names, "tier")) for t in _packed(store)]

    for old, now in zip(held, left, strict=True):
        assert len(old)
        kept = set(zip(*(now[name].tolist() for name in names), strict=True))
        assert kept >= set(zip(*(old[name].tolist() for name in names), strict=True))
        assert now["tier"].max() >= 1
    for visit_id in range(17, 31):
        _store(store, visit_id)
    _check(store, 30)


def test_a_chunk_that_comes_between_reading_and_deleting_stays(
    pair: tuple[SqlL1Store, SqlL1Store],
) -> None:
    store, other = pair
    sources, delete = _packed(store)[0], store._database.delete_keys
    came: list[int] = []

    def delete_after_another(table: Table, keys: Any) -> int:
        if table == sources and not came:
            came.append(visit_id + 1)
            _store(other, visit_id + 1)
        return delete(table, keys)

    store._database.delete_keys = delete_after_another  # type: ignore[method-assign]  # the point between the two
    for visit_id in range(1, 20):
        if visit_id not in came:
            _store(store, visit_id)

    assert came
    _check(store, 19)
