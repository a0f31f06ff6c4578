"""Which months a command or a job lets expire."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from contracts.l1db_sky import key, records

from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.store.errors import ExpiryError
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.retention import expire_months, plan_expiry
from l1db_pipeline.store.sql_store import SqlL1Store

NIGHTS = [5, 40, 65, 66, 100]  # January to April of 2026, twice in March


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlL1Store]:
    """A store with visits of four months."""
    config = L1dbConfig(url=f"sqlite:///{tmp_path}/l1.db")
    with closing(open_sql_store(config)) as opened:
        opened.create_schema()
        for visit_id, night in enumerate(NIGHTS, 1):
            opened.store_visit(key(visit_id, night), records(visit_id, [1, 2], night))
        yield opened


def _month(month: int, year: int = 2026) -> datetime:
    return datetime(year, month, 1, tzinfo=UTC)


def test_a_plan_names_the_months_and_changes_nothing(store: SqlL1Store) -> None:
    digest = store.science_digest()

    plan = plan_expiry(store, keep=2)

    assert [month.month for month in plan.months] == ["2026-01"]
    assert plan.before == _month(2)
    assert store.horizon() is None
    assert store.science_digest() == digest


def test_a_job_lets_months_expire_once(store: SqlL1Store) -> None:
    first, again = expire_months(store, keep=2), expire_months(store, keep=2)
    later = expire_months(store, before=_month(4))

    assert [month.month for month in first.months] == ["2026-01"]
    assert again.months == ()
    assert [month.month for month in later.months] == ["2026-02", "2026-03"]
    assert store.horizon() == _month(4)


def test_an_empty_database_has_nothing_to_expire(store: SqlL1Store) -> None:
    store.create_schema(drop=True)

    assert expire_months(store, keep=12).months == ()
    assert store.horizon() is None


@pytest.mark.parametrize(("keep", "n_read"), [(0, 0), (2, 3)])
def test_months_that_visits_read_are_kept(
    store: SqlL1Store, keep: int, n_read: int
) -> None:
    store.config = replace(store.config, read_forced_sources_months=n_read)

    with pytest.raises(ExpiryError, match=f"to keep {keep} months is too few"):
        expire_months(store, keep=keep)

    assert store.horizon() is None


def test_a_latest_visit_far_from_all_others_lets_nothing_expire(
    store: SqlL1Store,
) -> None:
    night = (_month(1, 2030) - _month(1)).days
    store.store_visit(key(9, night), records(9, [1], night))

    with pytest.raises(ExpiryError, match=r"of 2030-01, and none of the 12 months"):
        expire_months(store, keep=12)
    expire_months(store, before=_month(4))

    assert store.horizon() == _month(4)
