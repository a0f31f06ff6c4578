"""An update by day is made once under its id, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from apdb.configurations import IDS, new_place, schema_files, store_visit, visit_time

from l1db_pipeline.apdb.apdb import L1Apdb
from l1db_pipeline.apdb.times import mjd_tai, utc_of_mjd_tai
from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.errors import UpdateConflictError
from l1db_pipeline.store.tables.update_ledger import Stamp
from l1db_pipeline.store.updates import Describe, Updates

END = mjd_tai(visit_time(5))
SOURCES = np.arange(100, 110)  # as the first visit of `store_visit` numbers them
Make = Callable[[Updates, Stamp, int, Describe], None]


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def apdb(request: pytest.FixtureRequest, tmp_path: Path) -> L1Apdb:
    """An APDB with two visits."""
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("shared_database_url")
    place = new_place(request.param, tmp_path, url)
    config = L1Apdb.init_database(**place, **schema_files(is_small=True))
    made = L1Apdb(config)
    for number in range(2):
        store_visit(made, number)
    return made


def _withdraw(updates: Updates, stamp: Stamp, first: int, describe: Describe) -> None:
    updates.withdraw_sources(stamp, SOURCES[first : first + 2], END, describe)


def _withdraw_forced(
    updates: Updates, stamp: Stamp, first: int, describe: Describe
) -> None:
    keys = {"diaObjectId": np.array(IDS[first : first + 2]),
            "ccdVisitId": np.full(2, 1001)}  # fmt: skip
    updates.withdraw_forced_sources(stamp, Catalog(keys), END, describe)


def _move(updates: Updates, stamp: Stamp, first: int, describe: Describe) -> None:
    moves = {"diaSourceId": SOURCES[4:6], "diaObjectId": np.full(2, IDS[first])}
    updates.move_sources(
        stamp, Catalog(moves), up=True, down=True,
        describe=describe, describe_counts=describe,
    )  # fmt: skip


def _to_the_solar_system(
    updates: Updates, stamp: Stamp, first: int, describe: Describe
) -> None:
    moves = {"diaSourceId": SOURCES[6:8], "ssObjectId": np.full(2, 700 + first)}
    updates.assign_to_solar_system(stamp, Catalog(moves), END, describe)


def _close(updates: Updates, stamp: Stamp, first: int, describe: Describe) -> None:
    updates.close_objects(
        stamp, np.array(IDS[first : first + 2]), utc_of_mjd_tai(END), END,
        is_strict=True, describe=describe,
    )  # fmt: skip


KINDS: tuple[Make, ...] = (
    _withdraw,
    _withdraw_forced,
    _move,
    _to_the_solar_system,
    _close,
)


def _nothing(_rows: Catalog) -> list[str]:
    return []


def test_an_update_is_made_once_under_its_id(apdb: L1Apdb) -> None:
    store, updates = apdb._store, apdb._daytime.updates
    for make in KINDS:
        stamp = Stamp(update_id=f"mine {make.__name__}", time_ns=1)
        make(updates, stamp, 0, _nothing)
        after = store.row_counts(), store.science_digest()

        make(updates, stamp, 0, _nothing)  # the same once more

        assert (store.row_counts(), store.science_digest()) == after, make
        with pytest.raises(UpdateConflictError, match=f"mine {make.__name__}"):
            make(updates, stamp, 1, _nothing)
        assert (store.row_counts(), store.science_digest()) == after, make
    assert store.verify() == []


def test_an_update_that_fails_leaves_nothing_and_can_be_repeated(apdb: L1Apdb) -> None:
    store, updates = apdb._store, apdb._daytime.updates

    def fail(_rows: Catalog) -> list[str]:
        raise KeyError("after the rows were changed")

    for make in KINDS:
        stamp = Stamp(update_id=f"mine {make.__name__}", time_ns=1)
        before = store.row_counts(), store.science_digest()

        with pytest.raises(KeyError):
            make(updates, stamp, 0, fail)

        assert (store.row_counts(), store.science_digest()) == before, make
        make(updates, stamp, 0, _nothing)
        assert store.science_digest() != before[1], make
    assert store.verify() == []
