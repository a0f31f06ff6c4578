"""Reads of one snapshot, and stores on condition that they are still true."""

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from contracts.l1db_sky import RA_DEG, by, empty, field, key, positions, records
from lsst.sphgeom import Angle, Circle, LonLat, UnitVector3d

from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.sky.htm import htm_index, radec_to_xyz
from l1db_pipeline.store.base import L1Store, StoreOutcome
from l1db_pipeline.store.errors import StaleReadError, TokenError
from l1db_pipeline.store.token import ReadToken

CELL_LEVEL = L1dbConfig(url="sqlite://").cell_level
IDS = np.arange(1, 31)
FAR = Circle(UnitVector3d(LonLat.fromDegrees(RA_DEG, 60.0)), Angle.fromDegrees(0.3))


def _read(store: L1Store, visit_id: int, region: Any = None) -> ReadToken:
    with store.reading_unit(visit_id, region or field()) as token:
        store.read_objects(region or field())
    return token


def _ids(store: L1Store, region: Any = None) -> list[int]:
    return sorted(store.read_objects(region or field())["diaObjectId"].tolist())


def test_a_token_has_a_version_for_each_cell_that_was_read(store: L1Store) -> None:
    before = _read(store, 1)
    store.store_visit(key(1), records(1, IDS), before)

    after = _read(store, 2)

    objects = store.read_objects(field())
    written = htm_index(radec_to_xyz(objects["ra"], objects["decl"]), CELL_LEVEL)
    assert np.all(np.isin(written, before.cells))
    assert not before.versions.any()
    assert np.all(after.versions == 1)


def test_a_token_can_be_sent_to_another_process(store: L1Store) -> None:
    token = pickle.loads(pickle.dumps(_read(store, 1)))

    assert store.store_visit(key(1), records(1, IDS), token) is StoreOutcome.STORED


def test_nothing_is_stored_where_another_visit_has_been(store: L1Store) -> None:
    token = _read(store, 2)
    store.store_visit(key(1), records(1, IDS), _read(store, 1))
    before = store.row_counts()

    with pytest.raises(StaleReadError, match="visit 2: visit 1") as caught:
        store.store_visit(key(2), records(2, IDS + 100), token)

    assert set(caught.value.cells) <= set(token.cells.tolist())
    assert set(caught.value.others) == {1}
    assert store.row_counts() == before
    assert store.stored_tiles(2) == frozenset()
    assert store.verify() == []


def test_a_second_read_makes_the_store_good(store: L1Store) -> None:
    token = _read(store, 2)
    store.store_visit(key(1), records(1, IDS))
    with pytest.raises(StaleReadError):
        store.store_visit(key(2), records(2, IDS), token)

    outcome = store.store_visit(key(2), records(2, IDS), _read(store, 2))

    assert outcome is StoreOutcome.STORED
    assert store.verify() == []


def test_a_store_without_token_makes_others_reads_stale(store: L1Store) -> None:
    token = _read(store, 2)
    store.store_visit(key(1), records(1, IDS))

    with pytest.raises(StaleReadError):
        store.store_visit(key(2), records(2, IDS), token)


def test_a_store_elsewhere_is_no_reason_to_read_again(store: L1Store) -> None:
    token = _read(store, 2, FAR)
    store.store_visit(key(1), records(1, IDS), _read(store, 1))

    assert store.store_visit(key(2), empty(), token) is StoreOutcome.STORED


def test_two_units_that_read_each_others_cell_do_not_both_store(
    store: L1Store,
) -> None:
    """Write skew: both read two cells, each writes into another one of them."""
    tokens = [_read(store, visit_id) for visit_id in (1, 2)]
    cells = htm_index(radec_to_xyz(*_places(IDS)), CELL_LEVEL)
    first, second = IDS[cells == cells[0]], IDS[cells != cells[0]]
    store.store_visit(key(1), records(1, first), tokens[0])

    with pytest.raises(StaleReadError):
        store.store_visit(key(2), records(2, second), tokens[1])


def _places(ids: Any) -> tuple[Any, Any]:
    objects = records(1, ids).objects
    return objects["ra"], objects["decl"]


def test_a_visit_that_only_read_makes_others_reads_stale(store: L1Store) -> None:
    """What it has left out because nothing was there may be what another adds."""
    tokens = [_read(store, visit_id) for visit_id in (1, 2)]
    store.store_visit(key(1), empty(), tokens[0])

    with pytest.raises(StaleReadError):
        store.store_visit(key(2), records(2, IDS), tokens[1])


def test_parts_of_one_visit_do_not_make_each_other_stale(store: L1Store) -> None:
    tokens = [_read(store, 1) for _ in range(3)]

    for number, token in enumerate(tokens):
        part = key(1, tile=f"{number}", n_tiles=3)
        store.store_visit(part, records(1, IDS[number::3], first=number), token)

    last = store.last_visit()
    assert last is not None
    assert last.visit_id == 1
    assert store.verify() == []


def test_another_visit_between_two_parts_makes_the_second_stale(
    store: L1Store,
) -> None:
    tokens = [_read(store, 1) for _ in range(2)]
    parts = [key(1, tile=f"{number}", n_tiles=2) for number in range(2)]
    store.store_visit(parts[0], records(1, IDS[::2]), tokens[0])
    store.store_visit(key(2), records(2, IDS + 100))

    with pytest.raises(StaleReadError):
        store.store_visit(parts[1], records(1, IDS[1::2], first=1), tokens[1])


def test_a_part_after_another_visit_does_not_hide_it(store: L1Store) -> None:
    """The cell's last visit is its own again: the run of its stores began later."""
    tokens = [_read(store, 1) for _ in range(2)]
    parts = [key(1, tile=f"{number}", n_tiles=3) for number in range(3)]
    store.store_visit(key(2), records(2, IDS + 100))
    store.store_visit(parts[0], records(1, IDS[::2]), _read(store, 1))

    with pytest.raises(StaleReadError):
        store.store_visit(parts[1], records(1, IDS[1::2], first=1), tokens[1])


def test_what_is_stored_already_is_never_stale(store: L1Store) -> None:
    token = _read(store, 1)
    store.store_visit(key(1), records(1, IDS), token)
    store.store_visit(key(2), records(2, IDS))

    outcome = store.store_visit(key(1), records(1, IDS), token)

    assert outcome is StoreOutcome.ALREADY_STORED


def test_a_unit_does_not_see_the_objects_that_its_visit_has_made(
    store: L1Store,
) -> None:
    store.store_visit(key(1), records(1, IDS[:10]))
    store.store_visit(key(2, tile="a", n_tiles=2), records(2, IDS[:20]))

    with store.reading_unit(2, field()):
        found = by(store.read_objects(field()), "diaObjectId")

    assert found["diaObjectId"].tolist() == IDS[:10].tolist()
    assert _ids(store) == IDS[:20].tolist()


def test_a_unit_sees_objects_as_they_were_before_its_visit(store: L1Store) -> None:
    names = ["diaObjectId", "gPSFluxMean", "decl"]
    store.store_visit(key(1), records(1, IDS))
    before = by(store.read_objects(field(), columns=names), "diaObjectId")
    moved = records(2, IDS[:20], moved_deg=0.001)
    store.store_visit(key(2, tile="a", n_tiles=2), moved)

    with store.reading_unit(2, field()):
        found = by(store.read_objects(field(), columns=names), "diaObjectId")

    for name in names:
        mask = before.null_mask(name)
        assert found.null_mask(name).tolist() == mask.tolist()
        np.testing.assert_array_equal(found[name][~mask], before[name][~mask])


def test_a_unit_finds_an_object_that_its_visit_has_moved_away(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))
    away = records(2, IDS[:5], moved_deg=3.0)
    store.store_visit(key(2, tile="a", n_tiles=2), away)

    with store.reading_unit(2, field()):
        found = _ids(store)

    assert found == IDS.tolist()
    assert _ids(store) == IDS[5:].tolist()


def test_a_unit_does_not_see_what_its_visit_has_moved_here(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS, moved_deg=3.0))
    store.store_visit(key(2, tile="a", n_tiles=2), records(2, IDS[:5]))

    with store.reading_unit(2, field()):
        found = _ids(store)

    assert found == []


def test_a_later_visit_is_seen_by_a_unit_of_an_earlier_one(store: L1Store) -> None:
    store.store_visit(key(1, tile="a", n_tiles=2), records(1, IDS[:10]))
    store.store_visit(key(3), records(3, IDS[5:20]))

    with store.reading_unit(1, field()):
        found = _ids(store)

    assert found == IDS[5:20].tolist()


def test_a_unit_of_a_merged_visit_does_not_see_its_own(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))
    store.store_visit(key(2), records(2, IDS[:20] + 5, moved_deg=0.001))
    names = ["diaObjectId", "decl"]

    store.compact_history()
    with store.reading_unit(2, field()):
        found = by(store.read_objects(field(), columns=names), "diaObjectId")

    assert found["diaObjectId"].tolist() == IDS.tolist()
    _, decl = positions(IDS)
    np.testing.assert_array_equal(found["decl"], decl)


def test_a_merge_makes_no_read_stale(store: L1Store) -> None:
    for visit_id in (1, 2):
        store.store_visit(key(visit_id), records(visit_id, IDS))
    token = _read(store, 3)

    store.compact_history()

    assert np.array_equal(_read(store, 3).versions, token.versions)
    assert store.store_visit(key(3), records(3, IDS), token) is StoreOutcome.STORED


@pytest.mark.parametrize("what", ["database", "visit"])
def test_a_token_of_another_database_or_visit_is_refused(
    store: L1Store, what: str
) -> None:
    token = _read(store, 1)
    wrong = replace(token, **{"database": {"database": "f" * 32},
                              "visit": {"visit_id": 2}}[what])  # type: ignore[arg-type]  # of two types  # fmt: skip

    with pytest.raises(TokenError, match=f"the token is of {what}"):
        store.store_visit(key(1), records(1, IDS), wrong)

    assert store.last_visit() is None
