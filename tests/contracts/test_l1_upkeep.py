"""Verification, digests and off-line work, on every backend and options."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from contracts.l1db_options import (
    Options,
    Rows,
    combinations,
    empty_store,
    put_rows,
    rows_of,
)
from contracts.l1db_sky import as_us, by, field, key, records, visit_time

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.store.backends.database import Condition, Op
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.open import open_store
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.tables.chunk_table import ChunkTable
from l1db_pipeline.store.tables.last_chunks import LAST_NAME
from l1db_pipeline.store.tables.layout import (
    HOME_PIXEL,
    VISIT_ID,
    PackedLast,
)
from l1db_pipeline.store.tables.tiers import CURRENT_TIERS

IDS = np.arange(1, 61)
DOCS = Path(__file__).resolve().parents[2] / "docs"


BUSY = [
    Options("sqlite", ObjectIndex.LAST_OBJECT_TABLE, False, True, History.PACKED),
    Options("sqlite", ObjectIndex.BASELINE, True, False, History.ROWS),
]
LAST_ROWS = Options("sqlite", ObjectIndex.LAST_OBJECT_TABLE, False, True, History.ROWS)
PACKED = [
    BUSY[0],
    Options("postgresql", ObjectIndex.HTM20_ID_IOV, True, False, History.PACKED),
    pytest.param(
        Options("mariadb", ObjectIndex.LAST_OBJECT_TABLE, False, True, History.PACKED),
        marks=pytest.mark.mariadb,
    ),
]
PACKED_LAST = [
    PACKED[0],
    pytest.param(
        Options(
            "postgresql", ObjectIndex.LAST_OBJECT_TABLE, False, True, History.PACKED
        ),
        marks=pytest.mark.postgresql,
    ),
    PACKED[2],
]
FAULTY = [
    *PACKED_LAST[:2],
    pytest.param(
        Options("mariadb", ObjectIndex.BASELINE, True, False, History.ROWS),
        marks=pytest.mark.mariadb,
    ),
]


@pytest.fixture(scope="session")
def busy_rows() -> dict[Options, Rows]:
    """Rows of the busy store, by options, once they are there."""
    return {}


@pytest.fixture
def busy(
    options: Options,
    open_stores: Callable[[Options], SqlL1Store],
    busy_rows: dict[Options, Rows],
) -> SqlL1Store:
    """A store with visits out of order, a moved object, tiles and a merge."""
    store = open_stores(options)
    if options in busy_rows:
        put_rows(store, busy_rows[options])
        return store
    empty_store(store)
    store.store_visit(key(1, 1.0), records(1, IDS, 1.0))
    store.store_visit(key(5, 40.0), records(5, IDS[10:], 40.0))
    store.merge_nightly()
    store.store_visit(key(3, 3.0), records(3, IDS[:40], 3.0))
    store.store_visit(key(6, 41.0), records(6, IDS[:5], 41.0, moved_deg=2.0))
    for tile, ids in (("0x0", IDS[20:30]), ("1x0", IDS[30:])):
        part = records(7, ids, 42.0)
        part.sources["diaSourceId"][:] += ids[0]
        store.store_visit(key(7, 42.0, tile=tile, n_tiles=2), part)
    if options.backend not in {"memory", "cassandra"}:
        busy_rows[options] = rows_of(store)
    return store


def test_a_clean_database_has_no_findings(busy: SqlL1Store) -> None:
    assert busy.verify() == []


def test_compaction_changes_no_answer(busy: SqlL1Store, options: Options) -> None:
    digest = busy.science_digest()
    before = by(busy.read_sources(object_ids=IDS), "diaSourceId")

    n_fewer = busy.compact_history()

    has_chunks = options.history is History.PACKED and options.backend != "memory"
    assert (n_fewer > 0) == has_chunks
    assert busy.science_digest() == digest
    after = by(busy.read_sources(object_ids=IDS), "diaSourceId")
    assert after["diaSourceId"].tolist() == before["diaSourceId"].tolist()
    assert busy.verify() == []
    assert busy.compact_history() == 0


def test_rebuilt_history_equals_the_written_one(busy: SqlL1Store) -> None:
    digest = busy.science_digest()

    busy.rebuild_history()

    assert busy.science_digest() == digest
    assert busy.verify() == []


def test_a_window_cuts_through_a_monthly_chunk(busy: SqlL1Store) -> None:
    busy.compact_history()

    found = busy.read_sources(
        object_ids=IDS,
        since=visit_time(2),
        until=visit_time(41),
        columns=["ccdVisitId"],
    )

    assert set(found["ccdVisitId"].tolist()) == {3, 5}


@pytest.mark.parametrize("options", BUSY, ids=str)
def test_a_read_after_many_small_ones_misses_nothing(busy: SqlL1Store) -> None:
    whole = busy.read_sources(object_ids=IDS)
    busy._objects.homes.clear()
    for number in IDS[:6]:
        busy.read_sources(object_ids=IDS[number - 1 : number])

    assert len(busy.read_sources(object_ids=IDS)) == len(whole)


def test_the_digest_sees_a_changed_value(busy: SqlL1Store) -> None:
    before = busy.science_digest()

    busy.store_visit(key(9, 50.0), records(9, IDS[:1], 50.0))

    assert {n for n, v in busy.science_digest().items() if v != before[n]} == set(
        before
    )


Plant = Callable[[SqlL1Store], None]


def _delete_source(store: SqlL1Store) -> None:
    where = [Condition("diaSourceId", Op.EQUAL, 1_000_003)]
    assert store._database.delete(store.layout.sources, where) == 1


def _change_flux(store: SqlL1Store) -> None:
    where = [Condition("diaSourceId", Op.EQUAL, 1_000_003)]
    store._database.set_value(store.layout.sources, "apFlux", 3e3, where)


def _orphan_source(store: SqlL1Store) -> None:
    where = [Condition("diaSourceId", Op.EQUAL, 1_000_003)]
    store._database.set_value(store.layout.sources, "diaObjectId", 999, where)


def _forget_visit(store: SqlL1Store) -> None:
    store._database.delete(store.layout.ledger, [Condition("visitId", Op.EQUAL, 5)])


def _drop_visit_row(store: SqlL1Store) -> None:
    store._database.delete(store.layout.visits, [Condition("visitId", Op.EQUAL, 5)])


def _delete_version(store: SqlL1Store) -> None:
    where = [
        Condition("diaObjectId", Op.EQUAL, 15), Condition(VISIT_ID, Op.EQUAL, 3)
    ]  # fmt: skip
    for table in store._objects.version_tables:
        store._database.delete(table, where)


def _move_home(store: SqlL1Store) -> None:
    where = [Condition("diaObjectId", Op.EQUAL, 33), Condition(VISIT_ID, Op.EQUAL, 1)]
    for table in store._objects.version_tables:
        store._database.set_value(table, HOME_PIXEL, 1, where)


def _wrong_trixel(store: SqlL1Store) -> None:
    where = [Condition("diaSourceId", Op.EQUAL, 1_000_003)]
    store._database.set_value(store.layout.sources, "htmId20", 8 * 4**20, where)


def _second_current(store: SqlL1Store) -> None:
    where = [Condition("diaObjectId", Op.EQUAL, 12), Condition(VISIT_ID, Op.EQUAL, 3)]
    if store.layout.packed_last is not None:
        last = [Condition("diaObjectId", Op.EQUAL, 12)]
        store._database.delete(store.layout.packed_last.homes, last)
    for table in store._objects.version_tables:
        store._database.set_value(table, "validityEnd", None, where)


def _gap(store: SqlL1Store) -> None:
    where = [Condition("diaObjectId", Op.EQUAL, 12), Condition(VISIT_ID, Op.EQUAL, 3)]
    for table in store._objects.version_tables:
        end = as_us(visit_time(3.5))
        store._database.set_value(table, "validityEnd", end, where)


def _extra_forced(store: SqlL1Store) -> None:
    table = store.layout.forced
    where = [Condition("diaObjectId", Op.EQUAL, 12), Condition(VISIT_ID, Op.EQUAL, 3)]
    row = store._database.select(table, table.names, where)
    row = type(row)({**row.columns, "ccdVisitId": row["ccdVisitId"] + 100}, row.nulls)
    store._database.append(table, row)


def _value_in_an_empty_column(store: SqlL1Store) -> None:
    where = [Condition("diaSourceId", Op.EQUAL, 1_000_003)]
    store._database.set_value(store.layout.sources, "psChi2", 2.0, where)


FAULTS: dict[str, tuple[Plant, set[str]]] = {
    "a deleted source": (_delete_source, {"ledger counts"}),
    "a changed flux": (_change_flux, {"ledger digest"}),
    "a source of no object": (_orphan_source, {"object", "ledger digest"}),
    "a visit missing in the ledger": (_forget_visit, {"ledger counts"}),
    "a visit missing in the visits table": (_drop_visit_row, {"visits table"}),
    "a deleted version": (_delete_version, {"ledger counts"}),
    "a version in another home pixel": (_move_home, {"home pixel"}),
    "a wrong HTM id": (_wrong_trixel, {"position"}),
    "a second current version": (_second_current, {"validity", "current"}),
    "a gap between versions": (_gap, {"validity"}),
    "a value in a column registered as empty": (_value_in_an_empty_column, {"filled"}),
    "a forced source too many": (_extra_forced, {"ledger counts"}),
}


@pytest.mark.parametrize("options", FAULTY, ids=str)
@pytest.mark.parametrize("fault", FAULTS)
def test_verification_finds(busy: SqlL1Store, fault: str) -> None:
    plant, expected = FAULTS[fault]
    with busy._database.transaction(write=True):
        plant(busy)

    found = {finding.invariant for finding in busy.verify()}

    assert found & expected


@pytest.mark.parametrize("options", PACKED, ids=str)
@pytest.mark.parametrize("damage", ["a flipped bit", "a lost chunk", "a stale chunk"])
def test_damaged_packed_history_is_found_and_repaired(
    busy: SqlL1Store, damage: str
) -> None:
    packed = busy.layout.packed_sources
    assert packed is not None
    digest = busy.science_digest()
    where = [Condition("visitId", Op.EQUAL, 5)]
    with busy._database.transaction(write=True):
        chunk = busy._database.select(packed, packed.names, where)
        chunk = chunk.take(np.array([0]))
        where += [Condition("pixel", Op.EQUAL, int(chunk["pixel"][0]))]
        busy._database.delete(packed, where)
        raw = bytearray(chunk["data"][0])
        if damage == "a flipped bit":
            raw[len(raw) // 2] ^= 4
            chunk["data"][0] = bytes(raw)
            busy._database.append(packed, chunk)
        if damage == "a stale chunk":
            chunk["visitId"][:] = 50
            busy._database.append(packed, chunk)
            chunk["visitId"][:] = 51
            busy._database.append(packed, chunk)

    found = busy.verify(repair=True)

    assert {f.invariant for f in found} <= {"packed", "chunk"}
    assert all(f.repaired for f in found)
    assert found
    assert busy.verify() == []
    assert busy.science_digest() == digest


@pytest.mark.parametrize("options", [LAST_ROWS], ids=str)
@pytest.mark.parametrize("fault", ["stale", "missing"])
def test_a_wrong_last_object_is_found(busy: SqlL1Store, fault: str) -> None:
    assert busy.layout.last is not None
    where = [Condition("diaObjectId", Op.EQUAL, 12)]
    with busy._database.transaction(write=True):
        if fault == "stale":
            busy._database.set_value(busy.layout.last, "gPSFluxMean", 7.0, where)
        else:
            busy._database.delete(busy.layout.last, where)

    assert {finding.invariant for finding in busy.verify()} == {"current"}


Damage = Callable[[SqlL1Store, PackedLast, Catalog], None]


def _old_chunks(store: SqlL1Store, packed: PackedLast, before: Catalog) -> None:
    store._database.delete(packed.chunks)
    store._database.append(packed.chunks, before)


def _flipped_bit(store: SqlL1Store, packed: PackedLast, before: Catalog) -> None:
    raw = bytearray(before["data"][0])
    raw[len(raw) // 2] ^= 4
    before["data"][0] = bytes(raw)
    _old_chunks(store, packed, before)


def _without(name: str) -> Damage:
    def plant(store: SqlL1Store, packed: PackedLast, _: Catalog) -> None:
        assert store._database.delete(getattr(packed, name)) > 0

    return plant


DAMAGES: dict[str, Damage] = {
    "old chunks": _old_chunks,
    "a flipped bit": _flipped_bit,
    "lost chunks": _without("chunks"),
    "lost homes": _without("homes"),
    "lost strays": _without("strays"),
}


@pytest.mark.parametrize("options", PACKED_LAST, ids=str)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_current_objects_are_found_and_repaired(
    busy: SqlL1Store, damage: str
) -> None:
    packed = busy.layout.packed_last
    assert packed is not None
    before = busy._database.select(packed.chunks, packed.chunks.names)
    busy.store_visit(key(20, 60.0), records(20, IDS[:20], 60.0, moved_deg=0.4))
    digest = busy.science_digest()
    with busy._database.transaction(write=True):
        DAMAGES[damage](busy, packed, before)
    busy._objects.forget()

    found = busy.verify(repair=True)

    assert {f.invariant for f in found} <= {"current", "chunk"}
    assert found
    assert all(f.repaired for f in found)
    assert busy.verify() == []
    assert busy.science_digest() == digest


@pytest.mark.parametrize("options", PACKED_LAST, ids=str)
def test_the_documented_sql_selects_the_current_objects(
    busy: SqlL1Store, options: Options
) -> None:
    text = (DOCS / "chunk-format.md").read_text().split("```sql\n")[1].split("```")[0]
    names = [*filter(None, (busy.config.namespace, busy.config.prefix + "DiaObject"))]
    text = text.replace('"DiaObject"', ".".join(f'"{name}"' for name in names))
    if options.backend == "mariadb":
        text = text.replace('"', "")
    engine = sa.create_engine(busy.config.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(text).mappings().all()

    names = ["diaObjectId", "ra", "decl", "htmId20"]
    current = busy.read_objects(field(10.0), columns=names)
    assert sorted(tuple(row[name] for name in names) for row in rows) == sorted(
        zip(*(current[name].tolist() for name in names), strict=True)
    )
    assert len(rows) == busy.row_counts()["DiaObjectLast"] == len(IDS)


@pytest.mark.parametrize("options", PACKED_LAST, ids=str)
def test_compaction_leaves_one_chunk_of_current_objects_a_pixel(
    busy: SqlL1Store,
) -> None:
    last = busy.layout.packed_last
    assert last is not None
    assert max(busy._database.count_by(last.chunks, "pixel").values()) > 1

    busy.compact_history()

    assert set(busy._database.count_by(last.chunks, "pixel").values()) == {1}
    busy.store_visit(key(8, 43.0), records(8, IDS[:20], 43.0))
    assert busy.verify() == []


@pytest.mark.parametrize("options", PACKED_LAST, ids=str)
def test_visits_in_any_order_are_merged_to_the_same_content(
    store: SqlL1Store,
) -> None:
    reference = MemoryL1Store(store.config)
    nights = np.random.default_rng(14).permutation(20) + 1.0
    for visit_id, night in enumerate(nights.tolist(), 1):
        ids = IDS[visit_id % 3 :]
        for each in (store, reference):
            each.store_visit(key(visit_id, night), records(visit_id, ids, night))

    assert store.science_digest() == reference.science_digest()
    assert store.verify() == []
    layout, last = store.layout, store.layout.packed_last
    assert last is not None
    for packed in (layout.packed_sources, layout.packed_forced, last.chunks):
        assert packed is not None
        assert max(store._database.count_by(packed, "tier")) >= 1, packed.name


@pytest.mark.parametrize("options", PACKED_LAST, ids=str)
def test_an_object_with_two_first_rows_is_found_and_repaired(busy: SqlL1Store) -> None:
    last = busy.layout.packed_last
    assert last is not None
    digest = busy.science_digest()
    of_first = [Condition("visitId", Op.EQUAL, 1)]
    with busy._database.transaction(write=True):
        chunks = busy._database.select(last.chunks, last.chunks.names, of_first)
        twins = {**chunks.columns, "tile": np.full(len(chunks), "twin", dtype=object)}
        busy._database.append(last.chunks, Catalog(twins))

    found = busy.verify(repair=True)

    assert any("marked as its first" in finding.detail for finding in found)
    assert all(finding.repaired for finding in found)
    assert busy.verify() == []
    assert busy.science_digest() == digest


@pytest.mark.parametrize("options", PACKED_LAST, ids=str)
def test_a_superseded_row_that_is_no_version_is_found_and_repaired(
    busy: SqlL1Store,
) -> None:
    last, digest = busy.layout.packed_last, busy.science_digest()
    assert last is not None
    of_first = [Condition("visitId", Op.EQUAL, 1), Condition("tile", Op.EQUAL, "")]
    chunks = ChunkTable(busy._database, last.chunks, LAST_NAME, CURRENT_TIERS)
    (group,) = chunks.read(of_first)
    rows = group.catalog(group.names)
    rows["gPSFluxMean"][rows["diaObjectId"] == IDS[2]] += 1  # of which visit 3 has more
    with busy._database.transaction(write=True):
        busy._database.delete(last.chunks, of_first)
        chunks.write(rows, group.pixel_of_row(), 1, "")
    assert busy.science_digest() == digest

    found = busy.verify(repair=True)

    assert {finding.detail for finding in found} == {
        "a row is not one of its versions (1 objects)"
    }
    assert all(finding.repaired for finding in found)
    assert busy.verify() == []


@pytest.mark.parametrize("options", PACKED_LAST, ids=str)
def test_a_column_of_one_value_is_read_without_memory_and_not_to_be_written_to(
    busy: SqlL1Store,
) -> None:
    found = busy.read_sources(object_ids=IDS, columns=["diaSourceId", "ssObjectId"])
    constant = busy.read_forced_sources(object_ids=IDS, columns=["flags"])["flags"]

    assert len(found) > len(IDS)
    assert constant.strides == (0,)
    with pytest.raises(ValueError, match="read-only"):
        constant[:] = 1
    assert constant.copy().tolist() == [0] * len(constant)


@pytest.mark.postgresql
def test_tables_that_only_grow_are_vacuumed_by_the_nightly_merge_alone(
    database_url: str,
) -> None:
    index = ObjectIndex.LAST_OBJECT_TABLE
    with closing(open_store(L1dbConfig(url=database_url, dia_object_index=index))) as s:
        s.create_schema()
        s.store_visit(key(1), records(1, IDS))
        s.merge_nightly()
    query = (
        "SELECT c.relname, s.vacuum_count, c.reloptions::text FROM pg_class c "
        "JOIN pg_stat_user_tables s ON s.relid = c.oid WHERE c.relname IN "
        "('DiaObject', 'DiaSource', 'DiaForcedSource', 'L1ObjectHome')"
    )
    with sa.create_engine(database_url, poolclass=sa.NullPool).connect() as connection:
        rows = connection.exec_driver_sql(query).all()

    assert len(rows) == 4
    for name, n_vacuums, options in rows:
        assert n_vacuums == 1, name
        assert "autovacuum_vacuum_insert_threshold=-1" in options, name


def test_the_field_is_not_empty(busy: SqlL1Store) -> None:
    assert len(busy.read_objects(field())) > 0


def test_every_backend_and_option_gives_the_same_digest(
    open_stores: Callable[[Options], SqlL1Store],
) -> None:
    digests = []
    for options in combinations():
        needed = {"mariadb": "MARIADB_TEST_URL", "cassandra": "CASSANDRA_HOSTS"}
        if needed.get(options.backend, "PATH") not in os.environ:
            continue
        store = open_stores(options)
        empty_store(store)
        for visit_id, ids in ((1, IDS), (3, IDS[:40]), (2, IDS[20:])):
            store.store_visit(key(visit_id), records(visit_id, ids))
        digests.append(store.science_digest())

    assert all(digest == digests[0] for digest in digests)


@pytest.mark.parametrize("options", PACKED[:2], ids=str)
@pytest.mark.parametrize("has_nulls", [0, 1])
def test_a_missing_entry_of_the_register_of_columns_is_found(
    busy: SqlL1Store, has_nulls: int
) -> None:
    where = [
        Condition("tableName", Op.EQUAL, busy.layout.sources.name),
        Condition("columnName", Op.EQUAL, "psFlux"),
        Condition("hasNulls", Op.EQUAL, has_nulls),
    ]
    with busy._database.transaction(write=True):
        assert busy._database.delete(busy.layout.filled, where) == 1
    busy._filled.forget()

    assert "filled" in {finding.invariant for finding in busy.verify()}
