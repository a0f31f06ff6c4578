"""A client stores on condition of what it has read, against other clients' changes."""

import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apdb.configurations import (
    CENTRE,
    IDS,
    new_place,
    schema_files,
    store_visit,
    visit_time,
)
from lsst.dax.apdb import DiaForcedSourceId, DiaObjectId, DiaSourceId
from lsst.dax.apdb.tests.data_factory import makeObjectCatalog
from lsst.sphgeom import Angle, Circle, LonLat, UnitVector3d

from l1db_pipeline.apdb.apdb import L1Apdb
from l1db_pipeline.apdb.times import mjd_tai, utc_of_mjd_tai
from l1db_pipeline.store.errors import StaleReadError
from l1db_pipeline.store.tables.update_ledger import Stamp

HERE = Circle(UnitVector3d(CENTRE), Angle.fromDegrees(0.2))
THERE = Circle(UnitVector3d(LonLat.fromDegrees(60.0, 10.0)), Angle.fromDegrees(0.2))
Two = tuple[L1Apdb, L1Apdb]


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Two:
    """Two clients of a database with one visit."""
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("shared_database_url")
    place = new_place(request.param, tmp_path, url)
    config = L1Apdb.init_database(**place, **schema_files(is_small=True))
    clients = L1Apdb(config), L1Apdb(config)
    store_visit(clients[0], 0)
    return clients


def _read(apdb: L1Apdb, number: int = 9) -> None:
    apdb.getDiaObjects(HERE)
    apdb.getDiaSources(HERE, IDS, visit_time(number))
    apdb.getDiaForcedSources(HERE, IDS, visit_time(number))


def _source(apdb: L1Apdb) -> DiaSourceId:
    found = apdb.getDiaSources(HERE, IDS, visit_time(9))
    assert found is not None
    return DiaSourceId.from_named_tuple(next(found.itertuples()))


def _move(apdb: L1Apdb) -> None:
    apdb.reassignDiaSourcesToDiaObjects({_source(apdb): 7})


def _give_to_solar_system(apdb: L1Apdb) -> None:
    apdb.reassignDiaSources({_source(apdb).diaSourceId: 77})


def _withdraw(apdb: L1Apdb) -> None:
    apdb.withdrawDiaSources([_source(apdb)])


def _withdraw_forced(apdb: L1Apdb) -> None:
    found = apdb.getDiaForcedSources(HERE, IDS, visit_time(9))
    assert found is not None
    row = next(found.itertuples())
    apdb.withdrawDiaForcedSources([DiaForcedSourceId.from_named_tuple(row)])


def _close(apdb: L1Apdb) -> None:
    found = DiaObjectId(diaObjectId=IDS[0], ra=30.0, dec=-20.0)
    assert apdb.setValidityEnd([found], visit_time(5)) == 1


def _store_another(apdb: L1Apdb) -> None:
    store_visit(apdb, 1, first=101)


CHANGES = (
    _move,
    _give_to_solar_system,
    _withdraw,
    _withdraw_forced,
    _close,
    _store_another,
)


def test_a_store_is_refused_after_anothers_change_of_what_it_read(two: Two) -> None:
    mine, other = two
    for number, change in enumerate(CHANGES, start=2):
        _read(mine)
        change(other)
        before = mine._store.science_digest()

        for _ in range(2):  # without a new read once more
            with pytest.raises(StaleReadError):
                store_visit(mine, number)

        assert mine._store.science_digest() == before, change
        _read(mine)
        store_visit(mine, number)
    assert mine._store.verify() == []


def test_a_change_that_was_not_committed_when_it_was_read_counts(two: Two) -> None:
    mine, other = two

    def read_meanwhile(_rows: Any) -> list[str]:
        assert len(mine.getDiaObjects(HERE)) == 10
        return []

    other._daytime.updates.close_objects(
        Stamp(update_id=secrets.token_hex(4), time_ns=0),
        np.array(IDS[:1]),
        utc_of_mjd_tai(mjd_tai(visit_time(5))),
        mjd_tai(visit_time(5)),
        is_strict=True,
        describe=read_meanwhile,
    )

    with pytest.raises(StaleReadError, match="an update by day has stored"):
        store_visit(mine, 2)
    assert len(mine.getDiaObjects(HERE)) == 9


def test_what_was_changed_elsewhere_does_not_count(two: Two) -> None:
    mine, other = two
    mine.getDiaObjects(THERE)
    store_visit(other, 1)

    objects = makeObjectCatalog(LonLat.fromDegrees(60.0, 10.0), 3, start_id=500)
    mine.store(visit_time(2), objects)

    assert len(mine.getDiaObjects(THERE)) == 3


def test_detectors_of_one_visit_do_not_refuse_each_other(two: Two) -> None:
    mine, other = two
    _read(mine)
    _read(other)
    store_visit(mine, 2, detector=1)

    store_visit(other, 2, detector=2, first=101)

    assert len(mine.getDiaObjects(HERE)) == 20


def test_a_store_without_reads_is_never_refused(two: Two) -> None:
    mine, other = two
    _read(mine)
    store_visit(mine, 1)
    _close(other)

    store_visit(mine, 2)  # what was read went into the store before

    mine.getDiaObjects(THERE)
    store_visit(other, 3)
    store_visit(mine, 4)  # nor what was read elsewhere
    assert mine._store.verify() == []
