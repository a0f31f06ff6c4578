"""What every L1 store does, whatever its backend and options."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from contracts.l1db_sky import as_us, by, empty, field, key, records, visit_time

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import VisitConflictError
from l1db_pipeline.store.base import L1Store, StoreOutcome, VisitKey, VisitRecords
from l1db_pipeline.store.tables.rows import with_constants
from visit_tables.time_scales import TimeRangeError

IDS = np.arange(1, 61)


def test_an_empty_store_has_no_last_visit(store: L1Store) -> None:
    assert store.last_visit() is None


def test_stored_objects_are_read_as_current(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))

    found = by(store.read_objects(field()), "diaObjectId")

    assert found["diaObjectId"].tolist() == IDS.tolist()


def test_any_id_may_be_zero(store: L1Store) -> None:
    store.store_visit(key(0), records(0, [0]))
    store.store_visit(key(1), records(1, [0]))

    assert store.read_objects(field())["diaObjectId"].tolist() == [0]
    assert store.light_curve(0).sources["ccdVisitId"].tolist() == [0, 1]
    assert store.verify() == []


def test_an_update_leaves_one_current_version(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))
    store.store_visit(key(2), records(2, IDS[:20]))

    found = store.read_objects(field(), columns=["diaObjectId", "gPSFluxMean"])

    found = by(found, "diaObjectId")
    assert found["diaObjectId"].tolist() == IDS.tolist()
    mean = found["gPSFluxMean"][~found.null_mask("gPSFluxMean")]
    expected = [i * 0.25 + (2 if i <= 20 else 1) for i in IDS if i % 4]
    assert mean.tolist() == expected


def test_storing_again_changes_no_row(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))
    before = store.row_counts()

    outcome = store.store_visit(key(1), records(1, IDS))

    assert outcome is StoreOutcome.ALREADY_STORED
    assert store.row_counts() == before


def test_other_content_under_a_stored_visit_is_a_conflict(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))
    before = store.row_counts()

    with pytest.raises(VisitConflictError, match="visit 1 is already stored"):
        store.store_visit(key(1), records(1, IDS[:-1]))

    assert store.row_counts() == before


def test_history_keeps_nulls_and_nans_apart(store: L1Store) -> None:
    for visit_id in (1, 2):
        store.store_visit(key(visit_id), records(visit_id, IDS))

    names = ["ccdVisitId", "diaObjectId", "psFlux", "apFlux", "psRa"]
    found = store.read_sources(object_ids=IDS[:30], columns=names)

    found = by(found, "ccdVisitId", "diaObjectId")
    ids = found["diaObjectId"]
    assert ids.tolist() == [*range(1, 31)] * 2
    assert found.null_mask("psFlux").tolist() == (ids % 5 == 0).tolist()
    present = ids % 5 != 0
    is_nan = np.isnan(found["psFlux"][present])
    assert is_nan.tolist() == (ids[present] % 3 == 0).tolist()
    assert found["apFlux"].tolist() == (ids + found["ccdVisitId"] * 0.5).tolist()
    assert found.null_mask("psRa").all()


def test_a_column_without_null_keeps_its_nans(store: L1Store) -> None:
    given = records(1, IDS)
    given.sources["apFlux"][:2] = np.nan, np.inf
    store.store_visit(key(1), given)

    found = store.read_sources(object_ids=IDS, columns=["diaObjectId", "apFlux"])

    assert not found.null_mask("apFlux").any()
    fluxes = by(found, "diaObjectId")["apFlux"]
    np.testing.assert_array_equal(fluxes, given.sources["apFlux"])


def test_history_is_limited_to_a_time_window(store: L1Store) -> None:
    for visit_id in (1, 2, 3):
        store.store_visit(key(visit_id), records(visit_id, IDS))

    found = store.read_forced_sources(
        object_ids=IDS, since=visit_time(2), until=visit_time(3)
    )

    assert set(found["ccdVisitId"].tolist()) == {2}


def test_a_region_selects_history_by_the_objects_in_it(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))
    inner = field(0.3)
    ids = np.sort(store.read_objects(inner)["diaObjectId"])

    found = store.read_sources(region=inner, columns=["diaObjectId"])

    assert 0 < len(ids) < len(IDS)
    assert np.sort(found["diaObjectId"]).tolist() == ids.tolist()


def test_past_objects_are_read_as_they_were(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))
    store.store_visit(key(2), records(2, IDS[:20]))

    found = store.read_objects(
        field(), columns=["diaObjectId", "validityStart"], at=visit_time(1.5)
    )

    assert np.sort(found["diaObjectId"]).tolist() == IDS.tolist()
    assert set(found["validityStart"]) == {as_us(visit_time(1))}


def test_a_light_curve_is_ordered_by_time(store: L1Store) -> None:
    for visit_id, night in ((3, 1.0), (1, 2.0), (2, 3.0)):
        store.store_visit(key(visit_id, night), records(visit_id, IDS, night))

    curve = store.light_curve(7)

    assert curve.sources["ccdVisitId"].tolist() == [3, 1, 2]
    assert curve.forced_sources["ccdVisitId"].tolist() == [3, 1, 2]
    starts, ends = curve.versions["validityStart"], curve.versions["validityEnd"]
    assert starts.tolist() == [as_us(visit_time(n)).item() for n in (1, 2, 3)]
    assert ends[:-1].tolist() == starts[1:].tolist()
    assert curve.versions.null_mask("validityEnd").tolist() == [False, False, True]


def test_a_visit_of_an_earlier_time_goes_to_its_place(store: L1Store) -> None:
    store.store_visit(key(1, 1.0), records(1, IDS, 1.0))
    store.store_visit(key(3, 3.0), records(3, IDS, 3.0))
    store.store_visit(key(2, 2.0), records(2, IDS, 2.0))

    current = store.read_objects(field(), columns=["validityStart"])
    then = store.read_objects(
        field(), columns=["validityStart", "validityEnd"], at=visit_time(2.5)
    )

    assert set(current["validityStart"]) == {as_us(visit_time(3))}
    assert set(then["validityStart"]) == {as_us(visit_time(2))}
    assert set(then["validityEnd"]) == {as_us(visit_time(3))}


def test_a_moved_object_is_found_where_it_is_now(store: L1Store) -> None:
    store.store_visit(key(1), records(1, IDS))
    store.store_visit(key(2), records(2, IDS, moved_deg=5.0))

    assert len(store.read_objects(field())) == 0
    counts = store.row_counts()
    assert counts.get("DiaObjectLast", len(IDS)) == len(IDS)
    assert len(store.read_sources(object_ids=IDS)) == 2 * len(IDS)


def test_a_visit_of_nothing_is_a_visit(store: L1Store) -> None:
    store.store_visit(key(4), empty())

    last = store.last_visit()

    assert last is not None
    assert (last.visit_id, last.time) == (4, visit_time(4))


def test_a_visit_is_complete_with_its_last_tile(store: L1Store) -> None:
    store.store_visit(key(1, tile="0x0", n_tiles=2), records(1, IDS[:30]))
    before = store.last_visit()
    second = records(1, IDS[30:])
    second.sources["diaSourceId"][:] += 100
    store.store_visit(key(1, tile="1x0", n_tiles=2), second)

    assert before is None
    assert store.stored_tiles(1) == {"0x0", "1x0"}
    last = store.last_visit()
    assert last is not None
    assert (last.visit_id, last.last_object_id) == (1, 60)


def test_the_nightly_merge_changes_no_answer(store: L1Store) -> None:
    for visit_id in (1, 2):
        store.store_visit(key(visit_id), records(visit_id, IDS))
    names = ["diaObjectId", "validityStart", "gPSFluxMean"]
    before = by(store.read_objects(field(), columns=names), "diaObjectId")

    store.merge_nightly()

    after = by(store.read_objects(field(), columns=names), "diaObjectId")
    assert all((before[name] == after[name]).all() for name in names)
    assert store.row_counts()["DiaObject"] == 2 * len(IDS)
    assert store.row_counts().get("DiaObjectNightly", 0) == 0


def test_a_setting_is_kept_once(store: L1Store) -> None:
    assert store.get_setting("seed") is None

    assert store.put_setting("seed", "5") == "5"
    assert store.put_setting("seed", "6") == "5"

    assert store.get_setting("seed") == "5"


def test_a_setting_is_replaced_where_that_is_asked_for(store: L1Store) -> None:
    store.put_setting("place", "1 2")

    assert store.put_setting("place", "3 4", replace=True) == "3 4"

    assert store.get_setting("place") == "3 4"


def test_the_time_of_a_visit_is_known_once_a_part_is_stored(store: L1Store) -> None:
    before = store.visit_time(1)
    store.store_visit(key(1), records(1, IDS))

    assert before is None
    assert store.visit_time(1) == key(1).time


def test_a_region_gives_the_sources_without_object_that_are_in_it(
    store: L1Store,
) -> None:
    whole = records(1, IDS)
    lone = np.arange(len(IDS)) % 3 == 0
    sources = whole.sources
    stored = VisitRecords(
        objects=whole.objects.take(~lone),
        sources=Catalog(
            {**sources.columns, "ssObjectId": np.full(len(IDS), 77)},
            {**sources.nulls, "diaObjectId": lone, "ssObjectId": ~lone},
        ),
        forced_sources=whole.forced_sources.take(~lone),
    )
    store.store_visit(key(1), stored)

    found = by(store.read_sources(region=field()), "diaSourceId")
    later = store.read_sources(region=field(), since=key(2).time)
    of_objects = store.read_sources(region=field(), object_ids=np.asarray(IDS))

    assert found["diaSourceId"].tolist() == sources["diaSourceId"].tolist()
    assert found.null_mask("diaObjectId").tolist() == lone.tolist()
    assert found["ssObjectId"][lone].tolist() == [77] * int(lone.sum())
    assert len(later) == 0
    assert len(of_objects) == int((~lone).sum())
    assert not store.verify()


FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC)
ONE_US = timedelta(microseconds=1)


@pytest.mark.parametrize("time", [FIRST, FIRST + ONE_US, LATEST], ids=str)
def test_a_time_of_the_range_is_kept_to_the_microsecond(
    store: L1Store, time: datetime
) -> None:
    store.store_visit(VisitKey(visit_id=1, time=time), records(1, IDS))

    last = store.last_visit()
    assert last is not None
    assert (last.time, store.visit_time(1)) == (time, time)
    current = store.read_objects(field(), columns=["validityStart"])
    assert set(current["validityStart"]) == {as_us(time)}
    for at in (time, datetime.max.replace(tzinfo=UTC)):
        assert len(store.read_objects(field(), at=at)) == len(IDS)
    for at in (time - ONE_US, datetime.min.replace(tzinfo=UTC)):
        assert not len(store.read_objects(field(), at=at))
    window: dict[str, Any] = {"since": time, "until": time + ONE_US}
    assert len(store.read_sources(region=field(), **window)) == len(IDS)
    assert not len(store.read_forced_sources(region=field(), until=time))
    store.compact_history()
    assert store.verify() == []


@pytest.mark.parametrize("time", [FIRST - ONE_US, LATEST + ONE_US], ids=str)
def test_a_time_out_of_range_is_refused_by_name(store: L1Store, time: datetime) -> None:
    with pytest.raises(TimeRangeError, match=r"visit 1 time: .* out of range"):
        store.store_visit(VisitKey(visit_id=1, time=time), records(1, IDS))
    with pytest.raises(TimeRangeError, match=r"visit 2 time: .* out of range"):
        store.save_visit(2, time)

    assert store.last_visit() is None
    assert not any(store.row_counts()[name] for name in ("DiaObject", "DiaSource"))


@pytest.mark.parametrize("value", ["1969-12-31", "9999-12-31", "200000-01-01"])
def test_a_time_of_a_row_out_of_range_is_refused_by_name(
    store: L1Store, value: str
) -> None:
    rows = records(1, IDS)
    times = rows.objects["lastNonForcedSource"].copy()
    times[3] = np.datetime64(value, "us")
    objects = with_constants(rows.objects, {"lastNonForcedSource": times})

    with pytest.raises(
        TimeRangeError, match=rf"lastNonForcedSource in row 3: {value}T.* out of range"
    ):
        store.store_visit(key(1), replace(rows, objects=objects))

    assert store.stored_tiles(1) == frozenset()
