"""The unit of storing, what it refuses, and what is read back to the last bit."""

from pathlib import Path
from typing import Any

import astropy.time
import numpy as np
import pandas as pd
import pytest
from apdb.configurations import visit_time
from lsst.dax.apdb import DiaObjectId
from lsst.dax.apdb.tests.data_factory import makeObjectCatalog, makeSourceCatalog
from lsst.sphgeom import Angle, Circle, LonLat, Region, UnitVector3d

from l1db_pipeline.apdb.apdb import L1Apdb
from l1db_pipeline.apdb.times import mjd_tai, unit_id, utc_of_mjd_tai
from l1db_pipeline.errors import VisitConflictError
from l1db_pipeline.store.errors import (
    DatabaseMissingError,
    InvalidCatalogError,
    UnknownObjectError,
)

DATA = Path(__file__).with_name("data")
CENTRE = LonLat.fromDegrees(30.0, -20.0)


def _circle(ra: float, dec: float, radius_deg: float = 0.5) -> Region:
    centre = UnitVector3d(LonLat.fromDegrees(ra, dec))
    return Circle(centre, Angle.fromDegrees(radius_deg))


def _open(tmp_path: Path, **options: Any) -> L1Apdb:
    config = L1Apdb.init_database(
        f"sqlite:///{tmp_path}/l1.db",
        schema_file=str(DATA / "apdb.yaml"),
        ss_schema_file=str(DATA / "sso.yaml"),
        **options,
    )
    return L1Apdb(config)


def _visit(number: int, *, first_source: int = 0, visit: int = 1) -> tuple[Any, ...]:
    """Return the arguments of a store: ten objects at one place, and their sources."""
    objects = makeObjectCatalog(CENTRE, 10)
    time = visit_time(number)
    sources = makeSourceCatalog(objects, time, first_source, visit=visit)
    return time, objects, sources


def _content(apdb: L1Apdb) -> tuple[object, object]:
    return dict(apdb._store.row_counts()), dict(apdb._store.science_digest())


@pytest.mark.parametrize("is_only", [False, True])
def test_the_same_call_again_changes_nothing(tmp_path: Path, *, is_only: bool) -> None:
    apdb = _open(tmp_path, one_store_per_image=is_only, enable_replica=True)
    apdb.store(*_visit(0))
    before = _content(apdb)

    apdb.store(*_visit(0))

    assert _content(apdb) == before


@pytest.mark.parametrize("number", [0, 1])
def test_other_content_for_a_stored_image_is_refused_whole(
    tmp_path: Path, number: int
) -> None:
    apdb = _open(tmp_path, one_store_per_image=True)
    apdb.store(*_visit(0))
    before = _content(apdb)

    with pytest.raises(VisitConflictError):
        apdb.store(*_visit(number, first_source=500))

    assert _content(apdb) == before
    apdb.store(*_visit(number + 1, first_source=500, visit=2))  # another image may


def test_other_content_for_a_stored_image_is_another_unit_by_default(
    tmp_path: Path,
) -> None:
    apdb = _open(tmp_path)
    apdb.store(*_visit(0))

    apdb.store(visit_time(0), pd.DataFrame(), _visit(0, first_source=500)[2])

    found = apdb.getDiaSources(_circle(30, -20), None, visit_time(1))
    assert found is not None
    assert len(found) == 20
    assert apdb._store.verify() == []


def test_an_image_is_contained_when_its_first_source_is_stored(tmp_path: Path) -> None:
    apdb = _open(tmp_path)
    apdb.store(*_visit(0, visit=2026110100123))

    assert apdb.containsVisitDetector(2026110100123, 1)
    assert not apdb.containsVisitDetector(2026110100123, 2)
    assert not apdb.containsVisitDetector(2026110100124, 1)


def test_times_come_back_to_the_last_bit(tmp_path: Path) -> None:
    apdb = _open(tmp_path)
    rng = np.random.default_rng(1)
    times = [astropy.time.Time(mjd, format="mjd", scale="tai")
             for mjd in rng.uniform(60_000, 62_000, 20)]  # fmt: skip
    for number, time in enumerate(times):
        apdb.store(time, makeObjectCatalog(CENTRE, 1, start_id=number + 1))

    found = apdb.getDiaObjectsForDedup()
    exactly = max(times, key=mjd_tai)

    expected = {number + 1: mjd_tai(time) for number, time in enumerate(times)}
    ids, starts = found["diaObjectId"], found["validityStartMjdTai"]
    assert dict(zip(ids, starts, strict=True)) == expected
    assert len(apdb.getDiaObjectsForDedup(exactly)) == 1


def test_a_unit_has_its_time_to_a_microsecond() -> None:
    later = visit_time(0) + astropy.time.TimeDelta(1e-6, format="sec")

    assert unit_id(later, 0) - unit_id(visit_time(0), 0) == 1024
    assert unit_id(visit_time(0), 7) % 1024 == 7
    assert utc_of_mjd_tai(mjd_tai(visit_time(0))).second == 23  # 37 s behind TAI


def test_a_source_far_from_its_object_is_found_where_it_is(tmp_path: Path) -> None:
    apdb = _open(tmp_path)
    time, objects, sources = _visit(0)
    sources["ra"], sources["dec"] = 100.0, 45.0
    sources.loc[3:, "diaObjectId"] = pd.NA

    apdb.store(time, objects, sources)

    there = apdb.getDiaSources(_circle(100, 45), None, time)
    here = apdb.getDiaSources(_circle(30, -20), None, time)
    assert there is not None
    assert here is not None
    assert (len(there), len(here)) == (10, 0)
    assert apdb._store.verify() == []


def test_a_full_circle_of_right_ascension_is_none(tmp_path: Path) -> None:
    apdb = _open(tmp_path)
    objects = makeObjectCatalog(LonLat.fromDegrees(0, 0), 1)
    objects["ra"] = 360.0

    apdb.store(visit_time(0), objects)

    assert apdb.getDiaObjects(_circle(0, 0))["ra"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"midpointMjdTai": 60_000.0}, InvalidCatalogError, "row 0: 60000.0 is .* min"),
        (
            {"detector": 1000},
            InvalidCatalogError,
            "row 0: 1000 is out of range",
        ),
        ({"diaObjectId": 77}, UnknownObjectError, "no object 77"),
        ({"fluxx": 1.0}, InvalidCatalogError, "unknown columns fluxx"),
        ({"ra": "east"}, InvalidCatalogError, "DiaSource column ra"),
        ({"diaSourceId": 1.5}, InvalidCatalogError, "DiaSource column diaSourceId"),
        ({"timeProcessedMjdTai": np.nan}, InvalidCatalogError, "NULL in rows"),
    ],
)
def test_a_bad_catalog_is_refused_whole(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    apdb = _open(tmp_path)
    time, objects, sources = _visit(0)

    with pytest.raises(error, match=words):
        apdb.store(time, objects, sources.assign(**change))

    assert len(apdb.getDiaObjects(_circle(30, -20))) == 0
    assert not apdb.containsVisitDetector(1, 1)


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    config = _open(tmp_path).getConfig()
    (tmp_path / "l1.db").unlink()

    with pytest.raises(DatabaseMissingError):
        L1Apdb(config)

    assert not (tmp_path / "l1.db").exists()


def test_regions_may_be_empty_or_the_whole_sky(tmp_path: Path) -> None:
    apdb = _open(tmp_path)
    apdb.store(*_visit(0))

    for region, expected in ((Circle.full(), 10), (Circle.empty(), 0)):
        assert len(apdb.getDiaObjects(region)) == expected
        found = apdb.getDiaSources(region, None, visit_time(1))
        assert found is not None
        assert len(found) == expected


def test_a_closed_object_is_there_before_its_end_and_not_after(tmp_path: Path) -> None:
    apdb = _open(tmp_path)
    apdb.store(*_visit(0))
    region, end = _circle(30, -20), visit_time(3)
    closed = [DiaObjectId(diaObjectId=n, ra=30, dec=-20) for n in (1, 2, 3)]

    assert apdb.setValidityEnd(closed, end) == 3

    store = apdb._store
    apdb.store(visit_time(5), _visit(5)[1].iloc[:1])  # one is seen again
    for time, expected in ((2, 10), (4, 7), (6, 8)):
        at = utc_of_mjd_tai(mjd_tai(visit_time(time)))
        assert len(store.read_objects(region, at=at)) == expected
    assert store.verify() == []
    store.rebuild_history()
    assert len(apdb.getDiaObjects(region)) == 8
    assert store.verify(repair=True) == []
    earlier = _visit(0)[1].iloc[1:2]
    apdb.store(visit_time(-1), earlier)  # a late visit opens nothing that was closed
    assert set(apdb.getDiaObjects(region)["diaObjectId"]) == {1, *range(4, 11)}
    assert store.verify() == []
