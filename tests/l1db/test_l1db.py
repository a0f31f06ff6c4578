# ruff: noqa: DTZ001  # times of the original's records are naive, UTC
import logging
import multiprocessing
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from l1db.original_records import (
    FIELD,
    MODES,
    T0,
    Open,
    a_forced_source,
    a_source,
    an_object,
    htm_of,
    store_a_visit,
)
from lsst.sphgeom import Angle, Circle, Region, UnitVector3d

from l1db_pipeline.catalog.records import RecordError
from l1db_pipeline.errors import ConfigError, VisitConflictError
from l1db_pipeline.l1db import (
    DiaObject,
    DiaObject_short,
    DiaSource,
    DiaSource_full,
    L1db,
    Visit,
)
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.store.open import open_store


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("nightly", [0, 1])
def test_a_visit_is_read_as_it_was_stored(
    open_l1db: Open, mode: str, nightly: int
) -> None:
    database = open_l1db(
        dia_object_index=mode,
        dia_object_nightly=nightly,
        read_sources_months=12,
        read_forced_sources_months=12,
    )

    store_a_visit(database, 1, T0)

    found = sorted(database.getDiaObjects(FIELD))
    assert found == [
        DiaObject_short(
            n, T0, 10 + n / 1000, -20.0, 0, 0, 0, htm_of(10 + n / 1000, -20)
        )
        for n in (1, 2, 3)
    ]
    sources = sorted(database.getDiaSources(FIELD, found))
    assert {type(source) for source in sources} == {DiaSource_full}
    assert [
        DiaSource(*(getattr(source, name) for name in DiaSource._fields))
        for source in sources
    ] == [a_source(n, 1) for n in (1, 2, 3)]
    assert {source.psFlux for source in sources} == {None}
    assert sorted(database.getDiaFSources(found)) == [
        a_forced_source(n, 1) for n in (1, 2, 3)
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("nightly", [0, 1])
def test_the_last_version_is_read(open_l1db: Open, mode: str, nightly: int) -> None:
    database = open_l1db(dia_object_index=mode, dia_object_nightly=nightly)
    later = T0 + timedelta(seconds=45)

    store_a_visit(database, 1, T0, 2)
    store_a_visit(database, 2, later, 1)
    database.dailyJob()
    store_a_visit(database, 3, later + timedelta(seconds=45), 1)

    times = [o.lastNonForcedSource for o in sorted(database.getDiaObjects(FIELD))]
    assert times == [later + timedelta(seconds=45), T0]
    counts = database.tableRowCount()
    assert counts["DiaSource"] == counts["DiaForcedSource"] == 4
    expected = {"DiaObject", "DiaSource", "DiaForcedSource"}
    if mode == "last_object_table":
        expected.add("DiaObjectLast")
        assert counts["DiaObjectLast"] == 2
    assert set(counts) == expected
    assert counts["DiaObject"] == (3 if nightly else 4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("history", ["rows", "packed"])
def test_what_the_original_calls_store_keeps_every_invariant(
    open_l1db: Open, tmp_path: Path, mode: str, history: str
) -> None:
    database = open_l1db(dia_object_index=mode, history=history)

    store_a_visit(database, 2, T0 + timedelta(seconds=45), 2)
    store_a_visit(database, 1, T0, 3)
    database.saveVisit(3, T0 + timedelta(seconds=90))

    with closing(open_store(L1dbConfig.from_ini(tmp_path / "l1db.cfg"))) as store:
        assert store.verify() == []


@pytest.mark.parametrize("mode", MODES)
def test_full_objects_are_read_if_the_configuration_says_so(
    open_l1db: Open, mode: str
) -> None:
    database = open_l1db(dia_object_index=mode, read_full_objects=1)
    objects = [an_object(1, T0)._replace(pmRa=2.5)]

    database.storeDiaObjects(objects, T0)

    assert database.getDiaObjects(FIELD) == objects


@pytest.mark.parametrize("select", ["by-fov", "by-oid"])
@pytest.mark.parametrize("history", ["rows", "packed"])
def test_months_limit_the_history(open_l1db: Open, select: str, history: str) -> None:
    database = open_l1db(
        source_select=select,
        history=history,
        read_sources_months=2,
        read_forced_sources_months=1,
    )
    for visit, days in enumerate((0, 35, 70, 100), start=1):
        store_a_visit(database, visit, T0 + timedelta(days=days), 1)

    objects = database.getDiaObjects(FIELD)

    assert {s.ccdVisitId for s in database.getDiaSources(FIELD, objects)} == {3, 4}
    assert {s.ccdVisitId for s in database.getDiaFSources(objects)} == {3, 4}


def test_no_months_read_no_history(open_l1db: Open) -> None:
    database = open_l1db()
    store_a_visit(database, 1, T0)
    objects = database.getDiaObjects(FIELD)

    assert objects
    assert database.getDiaSources(FIELD, objects) == []
    assert database.getDiaFSources(objects) == []


def test_no_objects_have_no_history(open_l1db: Open) -> None:
    database = open_l1db(read_sources_months=12, read_forced_sources_months=12)
    store_a_visit(database, 1, T0)

    assert database.getDiaSources(FIELD, []) == []
    assert database.getDiaFSources([]) == []


def test_sources_are_chosen_by_region_or_by_object(open_l1db: Open) -> None:
    by_oid = open_l1db(read_sources_months=12, source_select="by-oid")
    store_a_visit(by_oid, 1, T0)
    objects = sorted(by_oid.getDiaObjects(FIELD))[:1]
    by_fov = open_l1db(read_sources_months=12, source_select="by-fov")

    assert len(by_oid.getDiaSources(FIELD, objects)) == 1
    assert len(by_fov.getDiaSources(FIELD, objects)) == 3


def test_an_empty_database_has_no_last_visit(open_l1db: Open) -> None:
    assert open_l1db().lastVisit() is None


@pytest.mark.parametrize("nightly", [0, 1])
def test_the_last_visit_is_told_with_the_largest_ids(
    open_l1db: Open, nightly: int
) -> None:
    database = open_l1db(dia_object_nightly=nightly)

    store_a_visit(database, 1, T0, 4)
    store_a_visit(database, 2, T0 + timedelta(seconds=45), 2)

    assert database.lastVisit() == Visit(2, T0 + timedelta(seconds=45), 4, 2002)


def test_a_visit_without_rows_can_be_saved(open_l1db: Open) -> None:
    database = open_l1db()

    database.storeDiaObjects([], T0)
    database.storeDiaSources([])
    database.storeDiaForcedSources([])
    database.saveVisit(1, T0)

    assert database.lastVisit() == Visit(1, T0, 0, 0)


def test_naive_times_are_utc_whatever_the_zone_of_others(open_l1db: Open) -> None:
    database = open_l1db()

    database.saveVisit(1, T0.replace(tzinfo=UTC))

    assert database.lastVisit().visitTime == T0


def test_a_call_that_is_repeated_stores_nothing_again(open_l1db: Open) -> None:
    database = open_l1db()
    store_a_visit(database, 1, T0)
    before = database.tableRowCount()

    store_a_visit(database, 1, T0)

    assert database.tableRowCount() == before


def test_other_content_under_the_same_ids_is_a_conflict(open_l1db: Open) -> None:
    database = open_l1db()
    store_a_visit(database, 1, T0)

    with pytest.raises(VisitConflictError, match="already stored with other content"):
        database.storeDiaObjects([an_object(n, T0, -21) for n in (1, 2, 3)], T0)
    with pytest.raises(VisitConflictError, match="visit 1 "):
        database.saveVisit(1, T0 + timedelta(seconds=1))

    assert {o.decl for o in database.getDiaObjects(FIELD)} == {-20.0}


def test_parts_of_a_visit_may_come_in_batches(open_l1db: Open) -> None:
    database = open_l1db(read_sources_months=1)

    for number in (1, 2):
        database.storeDiaObjects([an_object(number, T0)], T0)
        database.storeDiaSources([a_source(number, 1)])
    database.saveVisit(1, T0)

    assert len(database.getDiaObjects(FIELD)) == 2
    assert len(database.getDiaSources(FIELD, database.getDiaObjects(FIELD))) == 2


def test_sources_alone_are_of_the_time_that_they_tell(open_l1db: Open) -> None:
    database = open_l1db(read_sources_months=1)
    store_a_visit(database, 1, T0, 1)
    late = a_source(2, 2)._replace(diaObjectId=1, midPointTai=61_200.0)  # 2026-06-09

    database.storeDiaSources([late])
    database.saveVisit(2, datetime(2026, 6, 9))

    (found,) = database.getDiaSources(FIELD, database.getDiaObjects(FIELD))
    assert found.diaSourceId == late.diaSourceId


@pytest.mark.parametrize("mode", MODES)
def test_explain_logs_the_plans_of_every_method(
    open_l1db: Open, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = open_l1db(
        dia_object_index=mode, read_sources_months=1, read_forced_sources_months=1
    )
    store_a_visit(database, 1, T0)
    objects = database.getDiaObjects(FIELD)
    time = T0 + timedelta(seconds=45)
    told = {}
    calls: dict[str, Callable[[], object]] = {
        "getDiaObjects": lambda: database.getDiaObjects(FIELD, explain=True),
        "getDiaSources": lambda: database.getDiaSources(FIELD, objects, explain=True),
        "getDiaFSources": lambda: database.getDiaFSources(objects, explain=True),
        "storeDiaObjects": lambda: database.storeDiaObjects(
            [an_object(1, time)], time, explain=True
        ),
        "storeDiaSources": lambda: database.storeDiaSources(
            [a_source(1, 2)], explain=True
        ),
        "storeDiaForcedSources": lambda: database.storeDiaForcedSources(
            [a_forced_source(1, 2)], explain=True
        ),
    }
    for name, call in calls.items():
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="l1db_pipeline.l1db"):
            call()
        told[name] = [m for m in caplog.messages if m.startswith("explain: ")]

    assert all(told.values()), told
    assert any("DiaObject" in line for line in told["getDiaObjects"])
    caplog.clear()
    database.getDiaObjects(FIELD)
    assert not [m for m in caplog.messages if m.startswith("explain: ")]


@pytest.mark.parametrize(
    "record",
    [
        an_object(1, T0 + timedelta(seconds=1)),
        an_object(1, T0)._replace(validityEnd=T0 + timedelta(days=1)),
    ],
    ids=["other time", "closed"],
)
def test_versions_must_be_open_from_the_visit_on(
    open_l1db: Open, record: DiaObject
) -> None:
    with pytest.raises(RecordError, match="is not open from the visit's time 2026-01"):
        open_l1db().storeDiaObjects([record], T0)


def test_drop_empties_the_tables(open_l1db: Open) -> None:
    database = open_l1db()
    store_a_visit(database, 1, T0)

    database.makeSchema(drop=True)

    assert database.lastVisit() is None
    assert database.getDiaObjects(FIELD) == []


def test_the_configuration_is_logged(
    open_l1db: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="l1db_pipeline.l1db"):
        open_l1db(dia_object_index="last_object_table", object_last_replace=1)

    assert "L1DB Configuration:" in caplog.messages
    assert "    dia_object_index: last_object_table" in caplog.messages
    assert "    object_last_replace: True" in caplog.messages


def _store_in_child(database: L1db) -> None:
    time = T0 + timedelta(seconds=45)
    database.storeDiaObjects([an_object(9, time)], time)


def test_a_fork_has_a_connection_of_its_own(open_l1db: Open) -> None:
    database = open_l1db()
    store_a_visit(database, 1, T0)
    fork = multiprocessing.get_context("fork")

    child = fork.Process(target=_store_in_child, args=(database,))
    child.start()
    child.join(60)

    assert child.exitcode == 0
    assert len(database.getDiaObjects(FIELD)) == 4


def test_a_closed_database_opens_again(open_l1db: Open) -> None:
    database = open_l1db()
    store_a_visit(database, 1, T0)

    database.close()

    assert len(database.getDiaObjects(FIELD)) == 3


def test_a_configuration_that_is_wrong_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l1db.cfg").write_text("[database]\nurl = sqlite://\n[l1db]\na = 1\n")

    with pytest.raises(ConfigError, match="unknown option a"):
        L1db(str(tmp_path / "l1db.cfg"))


def test_an_unused_region_reads_nothing(open_l1db: Open) -> None:
    database = open_l1db()
    store_a_visit(database, 1, T0)
    elsewhere: Region = Circle(UnitVector3d(0, 0, 1), Angle.fromDegrees(1))

    assert database.getDiaObjects(elsewhere) == []


@pytest.mark.postgresql
def test_prefix_and_schema_name_the_tables_and_floats_have_four_bytes(
    tmp_path: Path, database_url: str, database_dsn: str
) -> None:
    (tmp_path / "l1db.cfg").write_text(
        f"[database]\nurl = {database_url}\n[l1db]\nprefix = run_\nnamespace = l1\n"
    )
    with L1db(tmp_path / "l1db.cfg") as database:
        database.makeSchema()
        store_a_visit(database, 1, T0)
        n_objects = len(database.getDiaObjects(FIELD))

    with psycopg.connect(database_dsn) as connection:
        types: dict[str, str] = dict(
            connection.execute(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = 'l1' AND table_name = 'run_DiaSource'"
            ).fetchall()
        )
        others = connection.execute(
            "SELECT count(*) FROM information_schema.tables "
            "WHERE table_schema = 'public'"
        ).fetchone()
    assert n_objects == 3
    assert others == (0,)
    assert types["apFlux"] == "real"
    assert types["ra"] == "double precision"
    assert types["diaSourceId"] == "bigint"
    assert types["ssObjectReassocTime"] == "timestamp without time zone"
