"""Damages to single columns: verification finds each one, and nothing else."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from contracts.l1db_options import Options
from contracts.l1db_sky import key, records, visit_time

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.runs.cadence import settle_cadence
from l1db_pipeline.runs.kept_pointings import (
    KeptPointing,
    kept_pointing,
    verify_pointings,
)
from l1db_pipeline.runs.kept_settings import keep_setting, verify_settings
from l1db_pipeline.runs.settings import settle
from l1db_pipeline.schema.config import History, ObjectIndex
from l1db_pipeline.schema.model import Column, Table
from l1db_pipeline.store.backends.database import Condition, KeyExistsError, Op
from l1db_pipeline.store.base import Verification
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.tables.layout import OWN_COLUMNS
from l1db_pipeline.store.timing import StepTiming

IDS = np.arange(1, 11)
ENGINES = [
    Options(backend, index, nightly, True, history)
    for backend in ("sqlite", "postgresql")
    for history in History
    for index, nightly in (
        (ObjectIndex.LAST_OBJECT_TABLE, False),
        (ObjectIndex.BASELINE, True),
    )
    if backend == "sqlite" or not nightly
]
LAYOUTS = [
    Options("sqlite", ObjectIndex.LAST_OBJECT_TABLE, False, True, History.PACKED),
    Options("sqlite", ObjectIndex.BASELINE, True, True, History.ROWS),
]
"""Between them every kind of table; that any engine's rows are read alike is a claim
of the tests of databases, and some damages are planted in each in test_l1_upkeep."""
UNKNOWABLE = {
    # measurements, of which nothing else can tell
    *(("L1Timings", n) for n in ("step", "real_s", "user_s", "sys_s")),
    *(("L1Timings", n) for n in ("n_rows", "n_bytes")),
    # a lock that is not there is made by whoever needs it
    ("L1PixelLock", "pixel"),
    # they matter to units that are between read and store; absent ones are made
    *(("L1Cell", n) for n in ("cell", "version", "visitId", "since")),
}
"""Columns that no read relies on, and that follow from nothing else."""
FREE_NAME = ("L1Ledger", "tile")
"""Nothing but a chunk names it, too: rows tell the visit, not the tile."""


@pytest.fixture
def busy(store: SqlL1Store) -> SqlL1Store:
    """A store with visits out of order, a moved object, tiles, timings and a merge."""
    store.store_visit(key(1, 1.0), records(1, IDS, 1.0))
    store.store_visit(key(5, 40.0), records(5, IDS[3:], 40.0))
    store.merge_nightly()
    store.store_visit(key(3, 3.0), records(3, IDS[:7], 3.0))
    store.store_visit(key(6, 41.0), records(6, IDS[:2], 41.0, moved_deg=2.0))
    for tile, ids in (("0x0", IDS[4:6]), ("1x0", IDS[6:])):
        part = records(7, ids, 42.0)
        part.sources["diaSourceId"][:] += ids[0]
        store.store_visit(key(7, 42.0, tile=tile, n_tiles=2), part)
    for visit in (1, 5):
        steps = [
            StepTiming(step=name, real_s=1.0, user_s=0.5, sys_s=0.1)
            for name in ("a", "b")
        ]
        store.record_timings(visit, "", steps)
    return store


def _columns(store: SqlL1Store) -> Iterator[tuple[Table, Column]]:
    """Yield all columns of internal tables, and those of others that steer."""
    for table in store.layout.tables:
        for column in table.columns:
            is_internal = table.name.startswith("L1") or column.name in OWN_COLUMNS
            is_key = column.name in {*table.primary_key, "validityStart", "htmId20"}
            is_key &= table not in store.layout.others
            place = (table.name, column.name)
            is_named_twice = store.layout.packed_sources is not None
            if place in UNKNOWABLE or (place == FREE_NAME and not is_named_twice):
                continue
            if is_internal or is_key:
                yield table, column


def _changed(column: Column, value: Any, days: int) -> Any:
    """Return another value of a column; times are so many days later."""
    if column.name == "hasNulls":
        return 1 - value
    if isinstance(value, np.datetime64):
        return value + np.timedelta64(days, "D")
    if isinstance(value, bytes):
        middle = len(value) // 2
        return value[:middle] + bytes([value[middle] ^ 4]) + value[middle + 1 :]
    return value + "1" if isinstance(value, str) else value + 1


def _plant(
    store: SqlL1Store, table: Table, column: Column, row: Catalog, days: int
) -> None:
    """Put a row with another value in the place of a row."""
    keys = table.primary_key or table.names
    where = [
        Condition(name, Op.EQUAL, row[name][0])
        for name in keys
        if not row.null_mask(name)[0] and table.column(name).numpy_dtype.kind != "f"
    ]
    other = np.empty(1, dtype=column.numpy_dtype)
    other[0] = _changed(column, row[column.name][0], days)
    with store._database.transaction(write=True):
        assert store._database.delete(table, where) == 1
        changed = Catalog({**row.columns, column.name: other}, row.nulls)
        store._database.append(table, changed)


@pytest.mark.parametrize("options", ENGINES, ids=str)
def test_what_was_proved_is_told_with_its_size(busy: SqlL1Store) -> None:
    steps: list[tuple[int, int]] = []
    scope = Verification(progress=lambda done, total: steps.append((done, total)))

    assert busy.verify(scope=scope) == []

    n_rows = busy.row_counts()
    n_versions = n_rows["DiaObject"] + n_rows.get("DiaObjectNightly", 0)
    history = n_rows["DiaSource"] + n_rows["DiaForcedSource"]
    assert scope.proved["time"] == n_versions + history
    assert scope.proved["object"] == history
    assert scope.proved["visits table"] == n_rows["L1Ledger"] == 6
    assert scope.proved.get("packed", history) == history
    assert steps[-1][0] == steps[-1][1] == len(steps)


@pytest.mark.parametrize("options", ENGINES, ids=str)
def test_only_what_belongs_to_some_visits_is_verified(busy: SqlL1Store) -> None:
    busy.compact_history()
    scope = Verification(since=visit_time(39), until=visit_time(41))
    assert busy.verify(scope=scope) == []
    assert scope.proved["ledger entries"] == 1
    assert "current" not in scope.proved

    for source in (5_000_000, 3_000_000):
        where = [Condition("diaSourceId", Op.EQUAL, source)]
        with busy._database.transaction(write=True):
            busy._database.set_value(busy.layout.sources, "apFlux", 3e3, where)
    found = busy.verify(scope=Verification(since=visit_time(39), until=visit_time(41)))

    assert any("visit 5" in finding.where for finding in found)
    assert not any("visit 3" in finding.where for finding in found)


@pytest.mark.parametrize("options", LAYOUTS, ids=str)
def test_a_damage_to_any_column_is_found(busy: SqlL1Store) -> None:
    assert busy.verify() == []
    missed, n_planted = [], 0
    for table, column in _columns(busy):
        whole = busy._database.select(table, table.names)
        for place, days in {0: -3, len(whole) - 1: 1}.items():
            try:
                _plant(busy, table, column, whole.take(np.array([place])), days)
            except KeyExistsError:
                continue
            n_planted += 1
            busy._filled.forget()
            busy._objects.forget()
            if not busy.verify():
                missed.append(f"{table.name}.{column.name} row {place}")
            with busy._database.transaction(write=True):
                busy._database.delete(table)
                busy._database.append(table, whole)
            busy._filled.forget()
            busy._objects.forget()

    assert n_planted > 60
    assert missed == []
    assert busy.verify() == []


@pytest.mark.parametrize("options", ENGINES[:1], ids=str)
def test_a_changed_or_deleted_setting_of_a_run_is_found(store: SqlL1Store) -> None:
    settle(store, {"seed": 7, "catalog_sha256": "0a"})
    settle_cadence(store, start_time=visit_time(0), start_visit_id=1, interval_s=None)
    keep_setting(
        store, "run.sequence.2026-10-10", "8d8ac610-566d-4ef0-9c22-186b2a5ed793"
    )
    kept = store.read_settings("run.")
    scope = Verification()
    assert list(verify_settings(store, scope)) == []
    assert scope.proved["run settings"] == len(kept) == 11

    table = store.layout.settings
    for name, value in kept.items():
        store.put_setting(name, value + "1", replace=True)
        (changed,) = verify_settings(store, Verification())
        store.put_setting(name, value, replace=True)
        with store._database.transaction(write=True):
            where = [Condition("name", Op.EQUAL, name)]
            assert store._database.delete(table, where) == 1
        (deleted,) = verify_settings(store, Verification())
        store.put_setting(name, value)

        assert changed.where == deleted.where == name
        assert deleted.detail == "was deleted"
    assert list(verify_settings(store, Verification())) == []


@pytest.mark.parametrize("options", ENGINES[:1], ids=str)
def test_a_changed_pointing_of_a_visit_is_found(store: SqlL1Store) -> None:
    for visit_id, pointing in {
        7: KeptPointing("1.000000 2.000000", "r"), 8: KeptPointing("3.000000 4.000000")
    }.items():  # fmt: skip
        pointing.keep(store, visit_id)
        assert kept_pointing(store, visit_id) == pointing
    store.put_setting("pointing.9", "5.000000 6.000000 z")  # of an earlier version
    scope = Verification()
    assert list(verify_pointings(store, scope)) == []
    assert scope.proved["pointings"] == 2

    for visit_id, old, new in ((7, " r ", " g "), (8, "3.0", "3.1")):
        kept = store.get_setting(f"pointing.{visit_id}")
        assert kept is not None
        changed = kept.replace(old, new)
        store.put_setting(f"pointing.{visit_id}", changed, replace=True)

    found = {finding.where for finding in verify_pointings(store, Verification())}
    assert found == {"visit 7", "visit 8"}
