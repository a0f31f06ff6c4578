"""What holds on Cassandra without transactions: attempts, races, merges, damages."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from contracts.l1db_cassandra import rows_of
from contracts.l1db_options import ON_CASSANDRA, Options, empty_store
from contracts.l1db_sky import by, field, key, records, visit_time

from l1db_pipeline.errors import ConfigError
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.version import SchemaVersionError
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.base import L1Store, StoreOutcome
from l1db_pipeline.store.errors import (
    DatabaseUnavailableError,
    DuplicateIdError,
    SchemaMismatchError,
    SchemaMissingError,
    StaleReadError,
)
from l1db_pipeline.store.open import open_store
from l1db_pipeline.store.tables.rows import with_constants

pytestmark = pytest.mark.cassandra
SMOKE = pytest.mark.smoke
IDS = np.arange(1, 31)


@pytest.fixture
def options() -> Options:
    return ON_CASSANDRA


@pytest.fixture(scope="module")
def impatient(cassandra_url: str) -> Iterator[Any]:
    """Another process's store, which waits for nobody's lease."""
    url = cassandra_url.replace("lease_s=2", "lease_s=0")
    with open_store(ON_CASSANDRA.config(url)) as opened:
        yield opened


@pytest.fixture
def pair(store: L1Store, impatient: Any) -> tuple[Any, Any]:
    """Two processes of one keyspace, which is empty."""
    impatient.forget()
    return store, impatient


class Cut(BaseException):
    """The end of a process, which cannot clean up."""


def _at(
    store: Any, patch: pytest.MonkeyPatch, step: str, act: Callable[[], Any]
) -> None:
    """Do something once, when a store of a visit comes to a step."""

    def meet(where: str) -> None:
        if where == step:
            patch.setattr(store._storing, "_at", lambda _: None)
            act()

    patch.setattr(store._storing, "_at", meet)


def _expected(*visits: tuple[int, Any]) -> object:
    reference = MemoryL1Store(ON_CASSANDRA.config("sqlite://"))
    for visit_id, ids in visits:
        reference.store_visit(key(visit_id), records(visit_id, ids))
    return reference.science_digest()


@pytest.mark.parametrize(
    "step", ["claimed", "written", pytest.param("checked", marks=SMOKE), "stored"]
)
def test_a_writer_that_dies_at_a_step_leaves_a_visit_whole_or_none(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store, other = pair
    store.store_visit(key(1), records(1, IDS))

    def die() -> None:
        monkeypatch.setattr(store._ledger, "give_up", lambda _: False)
        raise Cut

    _at(store, monkeypatch, step, die)
    with pytest.raises(Cut):
        store.store_visit(key(2), records(2, IDS[:9]))

    is_stored = step == "stored"
    found = [(1, IDS), (2, IDS[:9])] if is_stored else [(1, IDS)]
    assert other.science_digest() == _expected(*found)
    assert [f.invariant for f in other.verify()] == ["open claim"] * (not is_stored)
    again = other.store_visit(key(2), records(2, IDS[:9]))
    assert (again is StoreOutcome.ALREADY_STORED) == is_stored
    assert other.science_digest() == _expected((1, IDS), (2, IDS[:9]))
    assert other.verify() == []


@SMOKE
def test_a_paused_writer_that_wakes_after_a_takeover_stores_nothing(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = pair
    outcomes = []

    def take_over() -> None:
        outcomes.append(other.store_visit(key(1), records(1, IDS)))

    _at(store, monkeypatch, "checked", take_over)
    outcomes.append(store.store_visit(key(1), records(1, IDS)))

    assert outcomes == [StoreOutcome.STORED, StoreOutcome.ALREADY_STORED]
    assert store.science_digest() == other.science_digest() == _expected((1, IDS))
    assert store.compact_history() == 0  # what the first has written is not counted
    assert store.verify() == []


@SMOKE
def test_two_visits_that_create_an_object_at_once_give_it_one_home(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = pair
    _at(
        store, monkeypatch, "written",
        lambda: other.store_visit(key(2), records(2, IDS, moved_deg=1.0)),
    )  # fmt: skip

    store.store_visit(key(1), records(1, IDS))

    assert store.row_counts()["DiaObjectLast"] == len(IDS)
    assert len(store.read_sources(object_ids=IDS)) == 2 * len(IDS)
    other.forget()
    assert len(other.read_sources(object_ids=IDS)) == 2 * len(IDS)
    assert other.verify() == []


def _token(store: L1Store, visit_id: int) -> Any:
    with store.reading_unit(visit_id, field()) as token:
        store.read_objects(field())
    return token


@pytest.mark.parametrize("step", [pytest.param("written", marks=SMOKE), "checked"])
def test_of_two_visits_that_have_read_the_same_only_one_is_stored(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store, other = pair
    tokens = [_token(opened, n) for n, opened in enumerate(pair, 1)]
    _at(
        store, monkeypatch, step,
        lambda: other.store_visit(key(2), records(2, IDS + 100), tokens[1]),
    )  # fmt: skip

    with pytest.raises(StaleReadError, match="visit 1: visit 2"):
        store.store_visit(key(1), records(1, IDS), tokens[0])

    assert store.science_digest() == _expected((2, IDS + 100))
    assert store.verify() == []


@SMOKE
def test_a_unit_reads_one_state_while_another_visit_is_stored(
    pair: tuple[Any, Any],
) -> None:
    store, writer = pair
    writer.store_visit(key(1), records(1, IDS[:10]))

    with store.reading_unit(2, field()) as token:
        first = store.read_objects(field())
        writer.store_visit(key(3), records(3, IDS))
        second = store.read_objects(field())
        history = store.read_sources(object_ids=IDS, columns=["ccdVisitId"])

    assert len(first) == len(second) == 10
    assert set(history["ccdVisitId"].tolist()) == {1}
    with pytest.raises(StaleReadError):
        store.store_visit(key(2), records(2, IDS[:10]), token)


def test_a_reading_sees_nothing_of_a_visit_that_is_stored_within_it(
    pair: tuple[Any, Any],
) -> None:
    store, writer = pair
    writer.store_visit(key(1), records(1, IDS))
    pixels = sorted({row[0] for row in rows_of(store, "current")})
    assert len(pixels) > 1
    reading = store._reading()
    first = reading.chunks("current", pixels[:1], [0])

    writer.store_visit(key(2), records(2, IDS))

    rest = reading.chunks("current", pixels[1:], [0])
    months = store._journal.months()
    sources = reading.chunks("sources", pixels, months)
    assert (len(first), len(rest)) == (1, len(pixels) - 1)
    assert len(sources) == len(pixels)
    after = store._reading().chunks("sources", pixels, months)
    assert len(after) == 2 * len(pixels)


def test_what_a_merged_chunk_lists_holds_for_its_own_partition_only(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = pair
    for visit_id in (1, 2):
        store.store_visit(key(visit_id), records(visit_id, IDS))
    digest = store.science_digest()
    seen: list[bool] = []
    swap = store._session.swap_batch

    def look(*parts: Any) -> bool:
        done: bool = swap(*parts)
        if len(seen) < 3:  # some partitions are merged, the others not
            other.forget()
            names = ["ccdVisitId", "diaObjectId"]
            rows = by(other.read_sources(object_ids=IDS, columns=names), *names)
            seen.append(rows["diaObjectId"].tolist() == [*IDS, *IDS])
        return done

    monkeypatch.setattr(store._session, "swap_batch", look)
    assert store.compact_history() > 3

    assert seen == [True] * 3
    other.forget()
    assert other.science_digest() == digest


def test_a_visit_younger_than_the_longest_read_is_not_merged(
    store: Any, cassandra_url: str
) -> None:
    for visit_id in (1, 2):
        store.store_visit(key(visit_id), records(visit_id, IDS))
    url = cassandra_url.replace("merge_age_s=0", "merge_age_s=600")
    with open_store(ON_CASSANDRA.config(url)) as careful:
        assert careful.compact_history() == 0
    assert store.compact_history() > 0


def test_an_incomplete_visit_is_not_merged(store: Any) -> None:
    store.store_visit(key(1, tile="0x0", n_tiles=2), records(1, IDS[:15]))
    store.store_visit(key(2, tile="0x0", n_tiles=2), records(2, IDS[:15]))

    assert store.compact_history() == 0


@SMOKE
def test_an_original_chunk_that_comes_back_after_a_merge_counts_for_nothing(
    pair: tuple[Any, Any],
) -> None:
    store, other = pair
    for visit_id in (1, 2):
        store.store_visit(key(visit_id), records(visit_id, IDS))
    text = """SELECT pixel, month, kind, visit_id, tile, attempt, data FROM {}sources"""
    originals = store._session.run(text)
    digest = store.science_digest()
    store.compact_history()

    put = """INSERT INTO {}sources (pixel, month, kind, visit_id, tile, attempt, data)
        VALUES (?, ?, ?, ?, ?, ?, ?)"""
    store._session.many([(put, row) for row in originals])

    other.forget()
    assert other.science_digest() == digest
    assert other.verify() == []
    store.compact_history()
    assert {row[2] for row in rows_of(store, "sources")} == {1}


def test_the_keys_of_visits_are_compared_across_visits(store: Any) -> None:
    store.store_visit(key(1), records(1, IDS))
    same_sources = records(2, IDS)
    same_sources.sources["diaSourceId"][:] -= 1_000_000
    with pytest.raises(
        DuplicateIdError, match=r"visit 2 DiaSource: .*diaSourceId 1000"
    ):
        store.store_visit(key(2), same_sources)
    same_forced = records(2, IDS)
    same_forced.forced_sources["ccdVisitId"][:] = 1
    with pytest.raises(
        DuplicateIdError, match=r"visit 2 DiaForcedSource: .*ccdVisitId 1"
    ):
        store.store_visit(key(2), same_forced)

    assert store.store_visit(key(2), records(2, IDS)) is StoreOutcome.STORED


@SMOKE
def test_each_damage_is_found(store: Any) -> None:
    for visit_id in (1, 2):
        store.store_visit(key(visit_id), records(visit_id, IDS))
    columns = "pixel, month, kind, visit_id, tile, attempt"
    row = store._session.run(f"SELECT {columns}, data FROM {{}}sources")[0]
    whole = row[-1]
    where = " AND ".join(f"{name} = ?" for name in columns.split(", "))

    def put(table: str, name: str, value: Any, where: str, *place: Any) -> None:
        text = f"UPDATE {{}}{table} SET {name} = ? WHERE {where}"
        store._session.run(text, value, *place)
        store.forget()

    def found() -> set[str]:
        return {finding.invariant for finding in store.verify()}

    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
    put("sources", "data", flipped, where, *row[:-1])
    assert found() == {"chunk", "digest"}
    put("sources", "data", whole, where, *row[:-1])
    assert found() == set()

    part = "visit_id, tile, attempt"
    of_part = "month = ? AND time = ? AND visit_id = ? AND tile = ? AND attempt = ?"
    place = store._session.run(f"SELECT month, time, {part} FROM {{}}journal")[0]
    put("journal", "sources", 5, of_part, *place)
    assert found() == {"journal"}
    put("journal", "sources", len(IDS), of_part, *place)

    ids = store._session.run(f"SELECT kind, prefix, {part}, pixels FROM {{}}ids")
    homes = next(r for r in ids if r[0] == 0)
    of_ids = "kind = ? AND prefix = ? AND visit_id = ? AND tile = ? AND attempt = ?"
    elsewhere = np.full(len(homes[-1]) // 4, 7, dtype="<i4").tobytes()
    put("ids", "pixels", elsewhere, of_ids, *homes[:-1])
    assert found() == {"home"}
    put("ids", "pixels", homes[-1], of_ids, *homes[:-1])
    assert found() == set()


def test_an_abandoned_claim_is_given_up_by_a_repair(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = pair

    def die() -> None:
        monkeypatch.setattr(store._ledger, "give_up", lambda _: False)
        raise Cut

    _at(store, monkeypatch, "written", die)
    with pytest.raises(Cut):
        store.store_visit(key(1), records(1, IDS))

    (finding,) = other.verify(repair=True)

    assert (finding.invariant, finding.repaired) == ("open claim", True)
    assert other.verify() == []


def test_a_keyspace_says_with_which_options_it_was_made(
    store: Any, cassandra_url: str
) -> None:
    with open_store(cassandra_url) as opened:
        assert opened.config.history_pixel_level == 7
    config = L1dbConfig(
        url=cassandra_url,
        dia_object_index=ON_CASSANDRA.index,
        history_pixel_level=9,
    )
    with (
        open_store(config) as opened,
        pytest.raises(SchemaMismatchError, match="history_pixel_level 7"),
    ):
        opened.read_objects(field())
    store.put_setting("l1.cassandra_revision", "2", replace=True)
    try:
        with (
            open_store(ON_CASSANDRA.config(cassandra_url)) as opened,
            pytest.raises(SchemaVersionError, match="newer one"),
        ):
            opened.last_visit()
    finally:
        store.put_setting("l1.cassandra_revision", "1", replace=True)
    empty_store(store)


def test_faults_of_a_cluster_are_one_line_each(cassandra_url: str) -> None:
    place, _, query = cassandra_url.partition("?")
    with (
        open_store(ON_CASSANDRA.config(f"{place}_absent?{query}")) as opened,
        pytest.raises(SchemaMissingError, match="_absent has no L1 tables"),
    ):
        opened.last_visit()
    more = query.replace("rf=1", "rf=9")
    with (
        open_store(ON_CASSANDRA.config(f"{place}_absent?{more}")) as opened,
        pytest.raises(ConfigError, match="needs 9 nodes for rf=9, the cluster has"),
    ):
        opened.create_schema()
    silent = "cassandra://127.255.255.9/l1db?timeout_s=1"
    with pytest.raises(DatabaseUnavailableError, match="no node answers") as caught:
        open_store(ON_CASSANDRA.config(silent))
    assert "\n" not in str(caught.value)


def test_timings_come_back_with_their_nulls(store: Any) -> None:
    from_store = store.timings
    with from_store.step("a") as step:
        step.n_rows = 3
    store.record_timings(4, "", from_store.steps)

    found = store.read_timings()

    assert found["step"].tolist() == ["a"]
    assert found["n_rows"].tolist() == [3]
    assert found.null_mask("n_bytes").tolist() == [True]


def test_visits_of_one_time_may_not_share_an_object(pair: tuple[Any, Any]) -> None:
    store, other = pair
    store.store_visit(key(1, 5.0), records(1, IDS, 5.0))
    store.store_visit(key(2, 5.0), records(2, IDS + 100, 5.0))

    refused = records(3, IDS[-1:], 5.0)
    with pytest.raises(ValueError, match=r"visit 3 DiaObject: .* starts at 2026-01-06"):
        other.store_visit(key(3, 5.0), refused)

    assert other.store_visit(key(3, 6.0), refused) is StoreOutcome.STORED
    assert other.visit_time(3) == visit_time(6.0)


def test_columns_of_the_store_are_read_like_others(store: Any) -> None:
    rows = records(1, IDS)
    store.store_visit(key(1), rows)

    found = store.read_sources(object_ids=IDS, columns=["l1VisitId", "apFlux"])

    assert set(found["l1VisitId"].tolist()) == {1}
    again = with_constants(rows.sources, {})
    assert np.sort(found["apFlux"]).tolist() == np.sort(again["apFlux"]).tolist()
