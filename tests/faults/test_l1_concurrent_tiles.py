"""Two tiles of a visit whose transactions end at the same moment."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from contracts.l1db_sky import key, records

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.store.base import StoreOutcome, VisitRecords
from l1db_pipeline.store.errors import VersionExistsError
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store

TILES = ("0x0", "1x0")
OLD = np.arange(1, 11)
NEW = np.arange(5, 85)
PACKED = (ObjectIndex.LAST_OBJECT_TABLE, History.PACKED)
MODES = [
    PACKED,
    (ObjectIndex.LAST_OBJECT_TABLE, History.ROWS),
    (ObjectIndex.BASELINE, History.PACKED),
]

POSTGRESQL = pytest.param("database", marks=pytest.mark.postgresql)
MARIADB = pytest.param("mariadb", marks=pytest.mark.mariadb)
BACKENDS = [POSTGRESQL, MARIADB, "sqlite"]


def _name(value: object) -> str:
    return getattr(value, "value", "") or "-".join(part.value for part in value)  # type: ignore[attr-defined]  # a pair of enums


@pytest.fixture
def config(
    request: pytest.FixtureRequest, tmp_path: Path, backend: str, mode: Any
) -> L1dbConfig:
    """A database of a mode with two visits, which have registered all columns.

    Before that the register makes visits wait for each other from the start.
    """
    index, history = mode
    made = L1dbConfig(
        url=f"sqlite:///{tmp_path}/l1.db"
        if backend == "sqlite"
        else request.getfixturevalue(f"{backend}_url"),
        prefix=f"{index.value[:4]}{history.value[:2]}_",
        dia_object_index=index,
        object_last_replace=True,
        history=history,
    )
    with closing(open_sql_store(made)) as store:
        store.create_schema(drop=True)
        for visit_id in (1, 2):
            store.store_visit(key(visit_id), records(visit_id, OLD))
    return made


@pytest.fixture
def pair(config: L1dbConfig) -> Iterator[tuple[SqlL1Store, SqlL1Store]]:
    """Two stores that begin a visit together."""
    with (
        closing(open_sql_store(config)) as one,
        closing(open_sql_store(config)) as other,
    ):
        yield one, other


def _meet_inside(pair: tuple[SqlL1Store, SqlL1Store]) -> None:
    """Let both have written the objects of a visit before either goes on."""
    barrier = Barrier(2, timeout=120)
    for store in pair:
        store._sources.store = _after(barrier, store._sources.store)  # type: ignore[method-assign]  # the point to wait at


def _after(barrier: Barrier, write: Any) -> Any:
    def wait(*arguments: Any) -> None:
        barrier.wait()
        write(*arguments)

    return wait


def _tile(visit_id: int, ids: Any, tile: int) -> VisitRecords:
    part = records(visit_id, ids, 1.0 * visit_id)
    part.sources["diaSourceId"][:] += 1000 * tile
    return part


def _store_both(
    pair: tuple[SqlL1Store, SqlL1Store], visit_id: int, parts: list[VisitRecords]
) -> list[Any]:
    """Store both tiles at once; return the outcomes, or errors."""
    start = Barrier(2, timeout=120)

    def one(place: int) -> Any:
        start.wait()
        try:
            return pair[place].store_visit(
                key(visit_id, tile=TILES[place], n_tiles=2), parts[place]
            )
        except VersionExistsError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(2)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES, ids=_name)
def test_tiles_that_end_together_make_one_whole_visit(
    config: L1dbConfig, pair: tuple[SqlL1Store, SqlL1Store], backend: str
) -> None:
    if backend != "sqlite":  # where a second transaction waits to begin
        _meet_inside(pair)
    for visit_id in (3, 4):
        parts = [_tile(visit_id, NEW[tile::2], tile) for tile in range(2)]
        assert _store_both(pair, visit_id, parts) == [StoreOutcome.STORED] * 2

    with closing(open_sql_store(config)) as store:
        counts = store.row_counts()
        assert store.verify() == []
        assert store.stored_tiles(4) == set(TILES)
    assert counts["L1DbProtoVisits"] == 4
    assert counts["DiaObject"] == counts["DiaSource"] == 2 * (len(OLD) + len(NEW))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES, ids=_name)
def test_of_tiles_that_share_an_object_one_is_refused_whole(
    config: L1dbConfig, pair: tuple[SqlL1Store, SqlL1Store], backend: str, mode: Any
) -> None:
    if (backend, mode) == ("database", PACKED):
        _meet_inside(pair)  # elsewhere a key makes the second wait for the first
    both = [_tile(3, np.append(OLD[:1], NEW[tile::2]), tile) for tile in (0, 1)]
    for tile, part in enumerate(both):
        part.forced_sources["ccdVisitId"][:] += tile
    outcomes = _store_both(pair, 3, both)

    assert outcomes.count(StoreOutcome.STORED) == 1
    assert sum(isinstance(found, VersionExistsError) for found in outcomes) == 1
    with closing(open_sql_store(config)) as store:
        assert store.verify() == []
        assert len(store.stored_tiles(3)) == 1
        assert store.row_counts()["L1DbProtoVisits"] == 2
