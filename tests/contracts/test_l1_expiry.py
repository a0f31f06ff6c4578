"""Months that expire: what goes, what stays, and what is said of it."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from contracts.l1db_options import Options, empty_store
from contracts.l1db_sky import as_us, field, key, records, visit_time

from l1db_pipeline.errors import VisitConflictError
from l1db_pipeline.schema.config import History, ObjectIndex
from l1db_pipeline.store.backends.database import Condition, Op
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.base import StoreOutcome
from l1db_pipeline.store.errors import ExpiredTimeError, ExpiryError
from l1db_pipeline.store.months import month_of
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.tables.daytime_tables import DaytimeTables

IDS = np.arange(1, 41)
LAST = ObjectIndex.LAST_OBJECT_TABLE
PACKED = Options("sqlite", LAST, False, True, History.PACKED)
STORES = [
    PACKED,
    Options("memory", LAST, False, True, History.ROWS),
    Options("sqlite", ObjectIndex.HTM20_ID_IOV, True, False, History.PACKED),
    Options("sqlite", LAST, False, False, History.ROWS),
    pytest.param(
        Options("postgresql", LAST, False, True, History.PACKED),
        marks=pytest.mark.postgresql,
    ),
    pytest.param(
        Options("postgresql", ObjectIndex.BASELINE, False, False, History.ROWS),
        marks=pytest.mark.postgresql,
    ),
]
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
# visit to night of 2026 and objects: of January, February and March; objects 31 to 40
# are seen in January only, 21 to 30 until February; visit 8 is late
VISITS = {1: (1, 40), 2: (2, 40), 3: (25, 20), 4: (35, 30), 5: (45, 20), 6: (60, 20)}
Store = SqlL1Store | MemoryL1Store


def _give(store: Store, visit_id: int) -> StoreOutcome:
    night, n_objects = VISITS[visit_id]
    rows = records(visit_id, IDS[:n_objects], night)
    return store.store_visit(key(visit_id, night), rows)


@pytest.fixture(params=STORES, ids=str)
def three_months(
    request: pytest.FixtureRequest, open_stores: Callable[[Options], Store]
) -> Store:
    """A store with visits of three months."""
    store = open_stores(request.param)
    empty_store(store)
    for visit_id in VISITS:
        _give(store, visit_id)
    store.merge_nightly()
    return store


def test_expired_months_are_gone_and_what_was_current_stays(
    three_months: Store,
) -> None:
    store = three_months
    current = store.science_digest()["objects"]
    as_of = [
        store.read_objects(field(), columns=["diaObjectId", "validityStart"], at=at)
        for at in (FEBRUARY, visit_time(40))
    ]
    kept = store.read_sources(region=field(), since=FEBRUARY)

    store.expire(FEBRUARY)

    assert store.horizon() == FEBRUARY
    counts = store.row_counts()
    assert counts["DiaSource"] == counts["DiaForcedSource"] == 70
    # of each object one from before, 20 of them of 1 January's visit's successor
    assert counts["DiaObject"] == 40 + 70
    assert counts["L1Ledger"] == 6
    assert store.science_digest()["objects"] == current
    for at, was in zip((FEBRUARY, visit_time(40)), as_of, strict=True):
        found = store.read_objects(
            field(), columns=["diaObjectId", "validityStart"], at=at
        )
        assert _sorted(found) == _sorted(was)
    found = store.read_sources(region=field(), since=FEBRUARY)
    assert (
        np.sort(found["diaSourceId"]).tolist() == np.sort(kept["diaSourceId"]).tolist()
    )
    assert len(store.read_sources(region=field())) == 70
    assert store.verify() == []
    store.compact_history()
    assert store.verify() == []
    store.expire(MARCH)
    assert store.row_counts()["DiaObject"] == 40 + 20
    assert store.verify() == []


def _sorted(found: object) -> list[tuple[object, ...]]:
    columns = found.columns.values()  # type: ignore[attr-defined]  # a Catalog
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def test_every_backend_has_the_same_content_after_expiry(three_months: Store) -> None:
    store = three_months
    reference = MemoryL1Store(store.config)
    for visit_id in VISITS:
        _give(reference, visit_id)

    for to in (store, reference):
        to.expire(FEBRUARY)
        to.store_visit(key(8, 34), records(8, IDS[:25], 34))  # late, but kept

    assert store.science_digest() == reference.science_digest()
    assert store.verify() == []


def test_an_expired_visit_is_known_and_does_not_come_back(three_months: Store) -> None:
    store = three_months
    store.expire(FEBRUARY)
    counts = store.row_counts()

    assert _give(store, 2) is StoreOutcome.ALREADY_STORED
    with pytest.raises(VisitConflictError):
        store.store_visit(key(2, 2), records(2, IDS[:7], 2))
    with pytest.raises(ExpiredTimeError, match=r"visit 9 of 2026-01-06.*2026-02-01"):
        store.store_visit(key(9, 5), records(9, IDS, 5))
    with pytest.raises(ExpiredTimeError, match="visit 9"):
        store.save_visit(9, visit_time(5))

    assert store.stored_tiles(2) == {""}
    assert store.visit_time(2) == visit_time(2)
    assert store.row_counts() == counts


def test_reads_of_an_expired_time_are_refused(three_months: Store) -> None:
    store, before = three_months, visit_time(24)
    store.expire(FEBRUARY)

    with pytest.raises(ExpiredTimeError, match=r"objects as of 2026-01-25.*2026-02-01"):
        store.read_objects(field(), at=before)
    for read in (store.read_sources, store.read_forced_sources):
        with pytest.raises(ExpiredTimeError, match="since 2026-01-25"):
            read(region=field(), since=before)
        with pytest.raises(ExpiredTimeError, match="until 2026-02-01"):
            read(region=field(), until=FEBRUARY)


def test_a_unit_reads_of_its_months_what_is_kept(three_months: Store) -> None:
    store = three_months
    store.expire(FEBRUARY)

    with store.reading_unit(7, field()):
        found = store.read_sources(region=field(), since=visit_time(3))

    assert len(found) == 70


def test_months_say_what_they_hold(three_months: Store) -> None:
    store = three_months
    store.expire(FEBRUARY)

    found = [(m.month, m.n_visits, m.n_rows, m.is_expired) for m in store.months()]

    assert found == [
        ("2026-01", 3, 0, True), ("2026-02", 2, 150, False), ("2026-03", 1, 60, False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (datetime(2026, 2, 2, tzinfo=UTC), "is not the beginning of a month"),
        (datetime(2026, 4, 1, tzinfo=UTC), "no visit is stored from 2026-04-01"),
    ],
)
def test_only_months_that_are_over_expire(
    three_months: Store, before: datetime, words: str
) -> None:
    digest = three_months.science_digest()

    with pytest.raises(ExpiryError, match=words):
        three_months.expire(before)

    assert three_months.science_digest() == digest


@pytest.mark.mariadb
def test_mariadb_refuses_to_expire(
    open_stores: Callable[[Options], SqlL1Store],
) -> None:
    store = open_stores(Options("mariadb", LAST, False, True, History.PACKED))

    with pytest.raises(ExpiryError, match="does not expire months"):
        store.expire(FEBRUARY)


@pytest.fixture
def expired(open_stores: Callable[[Options], Store]) -> SqlL1Store:
    """A packed store without January."""
    store = open_stores(PACKED)
    assert isinstance(store, SqlL1Store)
    empty_store(store)
    for visit_id in VISITS:
        _give(store, visit_id)
    store.expire(FEBRUARY)
    return store


@pytest.mark.parametrize("damage", ["a version", "a horizon", "a source", "a count"])
def test_what_expired_wrongly_is_found(expired: SqlL1Store, damage: str) -> None:
    store, layout = expired, expired.layout
    name = Condition("name", Op.EQUAL, "l1.expired_before")
    match damage:
        case "a version":
            one = [Condition("diaObjectId", Op.EQUAL, 35)]
            store._database.delete(layout.objects, one)
        case "a horizon":
            later = "2026-03-01T00:00:00.000000"
            store._database.set_value(layout.settings, "value", later, [name])
        case "a source":
            is_first = [Condition("l1VisitTime", Op.LESS, as_us(visit_time(36)))]
            store._database.delete(layout.sources, is_first)
        case _:
            kept = Condition("name", Op.EQUAL, "l1.expired_versions_kept")
            store._database.set_value(layout.settings, "value", "39", [kept])

    assert {f.invariant for f in store.verify()} & {"expiry", "ledger counts"}


def test_merges_of_history_do_not_cross_months(
    open_stores: Callable[[Options], Store],
) -> None:
    store, reference = open_stores(PACKED), MemoryL1Store(PACKED.config("memory:"))
    assert isinstance(store, SqlL1Store)
    empty_store(store)
    nights = [*range(20, 45), 5, 6, 50]  # of three months, two of the visits late
    for visit_id, night in enumerate(nights, 1):
        for to in (store, reference):
            to.store_visit(key(visit_id, night), records(visit_id, IDS, night))

    for packed in (store.layout.packed_sources, store.layout.packed_forced):
        assert packed is not None
        names = ("firstTime", "lastTime", "tier")
        chunks = store._database.select(packed, names)
        first, last = (month_of(chunks[name]) for name in names[:2])
        assert (first == last).all()
        assert len(np.unique(first[chunks["tier"] > 0])) == 2
    assert store.verify() == []
    assert store.science_digest() == reference.science_digest()


def test_a_database_of_an_apdb_does_not_expire(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l1.db"
    with closing(open_sql_store(PACKED.config(url))) as store:
        store.create_schema()
        store._bind(replace(store.layout, daytime=DaytimeTables()))

        with pytest.raises(ExpiryError, match="updates by day cannot expire"):
            store.expire(FEBRUARY)
