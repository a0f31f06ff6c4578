"""What a store remembers of its visits, whatever its backend and options."""

from datetime import timedelta

import numpy as np
import pytest
from contracts.l1db_sky import empty, key, records, visit_time

from l1db_pipeline.errors import VisitConflictError
from l1db_pipeline.store.base import L1Store, StoreOutcome, VisitRecords
from l1db_pipeline.store.errors import TooManyTilesError

IDS = np.arange(1, 61)


def _tile(visit_id: int, tile: str) -> VisitRecords:
    """Return the rows of one of two tiles, ids apart from the other's."""
    part = records(visit_id, IDS[:30] if tile == "0x0" else IDS[30:])
    part.sources["diaSourceId"][:] += 100 * (tile != "0x0")
    return part


def test_a_saved_visit_is_the_last_visit(store: L1Store) -> None:
    store.save_visit(3, visit_time(3))
    store.save_visit(3, visit_time(3))

    last = store.last_visit()
    assert last is not None
    assert (last.visit_id, last.time) == (3, visit_time(3))
    assert store.row_counts()["L1DbProtoVisits"] == 1
    assert store.verify() == []


def test_a_visit_saved_with_another_time_is_a_conflict(store: L1Store) -> None:
    store.save_visit(3, visit_time(3))
    later = visit_time(3) + timedelta(microseconds=1)

    with pytest.raises(
        VisitConflictError, match=r"^visit 3 is already stored .*123457.*123458"
    ):
        store.save_visit(3, later)

    last = store.last_visit()
    assert last is not None
    assert last.time == visit_time(3)


def test_a_visit_stored_whole_may_be_saved_at_its_time_only(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))

    store.save_visit(1, visit_time(1))
    with pytest.raises(VisitConflictError, match="visit 1 is already stored"):
        store.save_visit(1, visit_time(2))

    assert store.row_counts()["L1DbProtoVisits"] == 1


def test_tiles_of_unknown_number_do_not_complete_a_visit(store: L1Store) -> None:
    for tile in ("0x0", "1x0"):
        store.store_visit(key(1, tile=tile, n_tiles=0), _tile(1, tile))
    before = store.last_visit()

    store.save_visit(1, visit_time(1))

    assert before is None
    last = store.last_visit()
    assert last is not None
    assert (last.visit_id, last.last_object_id) == (1, 60)
    assert store.verify() == []


def test_a_visit_without_tiles_may_have_an_unknown_number(store: L1Store) -> None:
    first = store.store_visit(key(1, n_tiles=0), records(1, IDS))
    second = store.store_visit(key(1, n_tiles=0), records(1, IDS))

    assert (first, second) == (StoreOutcome.STORED, StoreOutcome.ALREADY_STORED)
    assert store.last_visit() is None


@pytest.mark.parametrize(
    "other",
    [
        key(1, 1.5, tile="1x0", n_tiles=2),
        key(1, tile="1x0", n_tiles=3),
        key(1, tile="1x0", n_tiles=0),
    ],
    ids=["time", "number", "unknown number"],
)
def test_another_tile_must_agree_on_time_and_number(
    store: L1Store, other: object
) -> None:
    store.store_visit(key(1, tile="0x0", n_tiles=2), _tile(1, "0x0"))

    with pytest.raises(VisitConflictError, match="visit 1 tile 0x0 is already stored"):
        store.store_visit(other, _tile(1, "1x0"))  # type: ignore[arg-type]

    assert store.stored_tiles(1) == {"0x0"}


def test_a_tile_again_with_other_content_is_a_conflict(store: L1Store) -> None:
    for tile in ("0x0", "1x0"):
        store.store_visit(key(1, tile=tile, n_tiles=2), _tile(1, tile))

    again = store.store_visit(key(1, tile="1x0", n_tiles=2), _tile(1, "1x0"))
    with pytest.raises(VisitConflictError, match="visit 1 tile 1x0 is already stored"):
        store.store_visit(key(1, tile="1x0", n_tiles=2), empty())

    assert again is StoreOutcome.ALREADY_STORED
    assert store.row_counts()["L1Ledger"] == 2


@pytest.mark.parametrize("table", ["objects", "sources", "forced_sources"])
def test_each_table_of_a_visit_is_compared(store: L1Store, table: str) -> None:
    whole = records(1, IDS)
    store.store_visit(key(1), whole)
    parts = {
        name: getattr(whole, name) for name in ("objects", "sources", "forced_sources")
    }
    parts[table] = parts[table].take(np.arange(len(IDS)) > 0)

    with pytest.raises(VisitConflictError, match="visit 1 is already stored"):
        store.store_visit(key(1), VisitRecords(**parts))


def test_the_whole_visit_is_a_conflict_with_its_tiles(store: L1Store) -> None:
    store.store_visit(key(1, tile="0x0", n_tiles=2), _tile(1, "0x0"))

    with pytest.raises(VisitConflictError, match="visit 1 tile 0x0 is already stored"):
        store.store_visit(key(1), records(1, IDS))


def test_a_tile_is_a_conflict_with_the_whole_visit(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))

    with pytest.raises(VisitConflictError, match="visit 1 is already stored"):
        store.store_visit(key(1, tile="1x0", n_tiles=2), _tile(1, "1x0"))


def test_a_visit_of_one_tile_is_complete_with_it(store: L1Store) -> None:
    store.store_visit(key(1, tile="0x0", n_tiles=1), records(1, IDS))

    last = store.last_visit()
    assert last is not None
    assert last.visit_id == 1
    assert store.verify() == []


@pytest.mark.parametrize("n_tiles", [1, 2])
def test_a_tile_beyond_the_announced_number_is_refused(
    store: L1Store, n_tiles: int
) -> None:
    tiles = ["0x0", "1x0"][:n_tiles]
    for tile in tiles:
        store.store_visit(key(1, tile=tile, n_tiles=n_tiles), _tile(1, tile))
    digest = store.science_digest()

    for _ in range(2):
        with pytest.raises(TooManyTilesError, match=r"visit 1 tile '2x0'"):
            store.store_visit(key(1, tile="2x0", n_tiles=n_tiles), empty())

    again = store.store_visit(key(1, tile="0x0", n_tiles=n_tiles), _tile(1, "0x0"))
    assert again is StoreOutcome.ALREADY_STORED
    assert store.stored_tiles(1) == set(tiles)
    assert store.science_digest() == digest
    assert store.verify() == []


def test_tiles_of_two_visits_are_apart(store: L1Store) -> None:
    store.store_visit(key(1, tile="0x0", n_tiles=2), _tile(1, "0x0"))
    store.store_visit(key(2, tile="1x0", n_tiles=2), _tile(2, "1x0"))

    assert store.stored_tiles(1) == {"0x0"}
    assert store.stored_tiles(2) == {"1x0"}
    assert store.last_visit() is None


def test_of_visits_at_one_time_the_largest_id_is_the_last(store: L1Store) -> None:
    for visit_id in (2, 5, 4):
        store.store_visit(key(visit_id, 1.0), empty())
    store.store_visit(key(9, 0.5), empty())

    last = store.last_visit()
    assert last is not None
    assert (last.visit_id, last.time) == (5, visit_time(1))


def test_the_time_of_a_visit_is_that_of_any_of_its_tiles(store: L1Store) -> None:
    before = store.visit_time(1)
    store.store_visit(key(1, tile="0x0", n_tiles=2), _tile(1, "0x0"))

    assert before is None
    assert store.visit_time(1) == visit_time(1)
    assert store.visit_time(2) is None


def test_visits_of_a_window_are_from_its_begin_to_before_its_end(
    store: L1Store,
) -> None:
    for visit_id in (4, 1, 3, 2):
        store.store_visit(key(visit_id), records(visit_id, IDS))

    found = store.read_visits(since=visit_time(2), until=visit_time(4))

    assert found["visitId"].tolist() == [2, 3]
    assert store.read_visits()["visitId"].tolist() == [1, 2, 3, 4]
