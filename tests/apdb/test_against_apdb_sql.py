"""Equal frames from the same calls of `L1Apdb` and ApdbSql, with today's schema."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import astropy.time
import numpy as np
import pandas as pd
import pytest
from apdb.configurations import (
    CONFIGURATIONS,
    WEEKLY_CONFIGURATIONS,
    Catalogs,
    Chosen,
    new_place,
    schema_files,
    visit_time,
)
from lsst.dax.apdb import Apdb, DiaForcedSourceId, DiaObjectId, DiaSourceId
from lsst.dax.apdb.apdbSchema import ApdbTables
from lsst.dax.apdb.sql import ApdbSql
from lsst.sphgeom import Angle, Circle, LonLat, UnitVector3d

from l1db_pipeline.apdb.apdb import L1Apdb
from l1db_pipeline.apdb.registration import register

pytestmark = pytest.mark.filterwarnings(
    "ignore::pandas.errors.PerformanceWarning",
    "ignore::pandas.errors.Pandas4Warning",
    "ignore::FutureWarning",  # pandas.concat in ApdbSql
    "ignore::ResourceWarning",  # connections of ApdbSql
)
register()
N_OBJECTS = 45
CENTRE = LonLat.fromDegrees(359.99, -0.01)  # a corner of eight octants of the sky
NOW = astropy.time.Time("2026-11-02T15:00:00.123456", format="isot", scale="tai")


def _region(radius_deg: float) -> Circle:
    return Circle(UnitVector3d(CENTRE), Angle.fromDegrees(radius_deg))


class Night:
    """Three visits, stored in an APDB; some sources have no object."""

    def __init__(self, schema_file: str) -> None:
        catalogs = Catalogs(schema_file, 5)
        rng = np.random.default_rng(5)
        self.ids = np.arange(1, N_OBJECTS + 1) * 1_000_003
        ra = (CENTRE.getLon().asDegrees() + rng.uniform(-1, 1, N_OBJECTS)) % 360
        dec = CENTRE.getLat().asDegrees() + rng.uniform(-1, 1, N_OBJECTS)
        self.stored = []
        for number in range(3):
            time = visit_time(number)
            midpoint = np.full(N_OBJECTS, time.tai.mjd)
            place = {"ra": ra, "dec": dec, "diaObjectId": self.ids}
            image = {
                "visit": np.full(N_OBJECTS, 2026110100000 + number),
                "detector": np.full(N_OBJECTS, number * 7, dtype=np.int16),
                "midpointMjdTai": midpoint,
                "timeProcessedMjdTai": midpoint + 0.01,
                "timeWithdrawnMjdTai": np.full(N_OBJECTS, np.nan),
                "ssObjectReassocTimeMjdTai": np.full(N_OBJECTS, np.nan),
                "ssObjectId": pd.Series([None] * N_OBJECTS, dtype="Int64"),
            }
            numbers = np.arange(N_OBJECTS) + 10_000 * (number + 1)
            owners = pd.Series(self.ids, dtype="Int64")
            owners[number::17] = pd.NA
            objects = catalogs.make(
                ApdbTables.DiaObject,
                N_OBJECTS,
                {**place, "nDiaSources": np.full(N_OBJECTS, number + 1)},
            )
            sources = catalogs.make(
                ApdbTables.DiaSource,
                N_OBJECTS,
                {**place, **image, "diaSourceId": numbers, "diaObjectId": owners,
                 "ra": (ra + 1e-5) % 360},
            )  # fmt: skip
            forced = catalogs.make(
                ApdbTables.DiaForcedSource,
                N_OBJECTS,
                {**place, **image, "diaForcedSourceId": numbers},
            )
            self.stored.append((time, objects, sources, forced))


def _sorted(frame: pd.DataFrame | None, keys: list[str]) -> pd.DataFrame:
    assert frame is not None
    return frame.sort_values(keys).reset_index(drop=True)


def _inside(frame: pd.DataFrame, region: Circle) -> pd.DataFrame:
    """Return the rows in a region, which ApdbSql gives more of."""
    vectors = [
        UnitVector3d(LonLat.fromDegrees(ra, dec))
        for ra, dec in zip(frame["ra"], frame["dec"], strict=True)
    ]
    return frame[[region.contains(v) for v in vectors]]


def _read(apdb: Apdb, ids: list[int]) -> dict[str, Any]:
    """Return everything that a client can read."""
    region, time = _region(0.7), visit_time(4)
    by_region = apdb.getDiaSources(region, None, time)
    assert by_region is not None
    sources = apdb.getDiaSources(region, ids, time)
    assert sources is not None
    in_sky = _inside(by_region, region)
    # ApdbSql writes 0 where a source has no object
    in_sky = in_sky.assign(diaObjectId=in_sky["diaObjectId"].replace(0, pd.NA))
    current = apdb.getDiaObjects(_region(3))
    since = apdb.getDiaObjectsForDedup(visit_time(2))
    # in baseline mode ApdbSql gives closed ones, too
    since = since[since["diaObjectId"].isin(current["diaObjectId"])]
    found = [DiaObjectId(diaObjectId=int(i), ra=0, dec=0) for i in ids[:9]]
    return {
        "objects": _sorted(_inside(current, region), ["diaObjectId"]),
        "sources": _sorted(sources, ["diaSourceId"]),
        "sources of a region": _sorted(in_sky, ["diaSourceId"]),
        "forced": _sorted(
            apdb.getDiaForcedSources(region, ids, time), ["diaObjectId", "visit"]
        ),
        "to be merged": _sorted(since, ["diaObjectId"]),
        "sources of objects": _sorted(
            apdb.getDiaSourcesForDiaObjects(found, visit_time(1)), ["diaSourceId"]
        ),
        "lone": apdb.countUnassociatedObjects(),
        "images": [apdb.containsVisitDetector(2026110100000 + n, n * 7)
                   for n in range(4)],
    }  # fmt: skip


def _source_ids(frame: pd.DataFrame, places: slice) -> list[DiaSourceId]:
    rows = frame.iloc[places].itertuples()
    return [DiaSourceId.from_named_tuple(row) for row in rows]


def _updates(night: Night) -> Iterator[tuple[str, Callable[[Apdb], Any]]]:
    """Yield every kind of update, as a client makes them."""
    _, objects, sources, forced = night.stored[1]
    known = sources.dropna(subset=["diaObjectId"])
    moved = _source_ids(known, slice(0, 12))
    ids = [int(number) for number in night.ids]
    yield (
        "move",
        lambda apdb: apdb.reassignDiaSourcesToDiaObjects(
            {source: ids[40 + n % 5] for n, source in enumerate(moved)}
        ),
    )
    yield (
        "move again",
        lambda apdb: apdb.reassignDiaSourcesToDiaObjects(
            dict.fromkeys(moved[:4], ids[3]), decrement_nDiaSources=False
        ),
    )
    yield (
        "withdraw",
        lambda apdb: apdb.withdrawDiaSources(
            _source_ids(sources, slice(5, 25)), timeWithdrawn=NOW
        ),
    )
    fids = [
        DiaForcedSourceId.from_named_tuple(r) for r in forced.iloc[:20].itertuples()
    ]
    yield "withdraw forced", lambda apdb: apdb.withdrawDiaForcedSources(fids)
    yield (
        "to the solar system",
        lambda apdb: apdb.reassignDiaSources(
            {int(s.diaSourceId): 77 + n for n, s in enumerate(moved[6:])}
        ),
    )
    closed = [DiaObjectId.from_named_tuple(r) for r in objects.iloc[30:40].itertuples()]
    yield "close", lambda apdb: apdb.setValidityEnd(closed, NOW)
    yield "close again", lambda apdb: apdb.setValidityEnd(closed, visit_time(9))


@pytest.fixture(scope="module")
def reference(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Chosen], list[Any]]:
    """What ApdbSql reads after each step, in an index mode, with a schema."""
    made: dict[tuple[str, bool], list[Any]] = {}

    def read(chosen: Chosen) -> list[Any]:
        key = chosen.index, chosen.is_small
        if key not in made:
            file = tmp_path_factory.mktemp("sql") / "apdb.db"
            config = ApdbSql.init_database(
                f"sqlite:///{file}",
                dia_object_index=chosen.index,
                **schema_files(is_small=chosen.is_small),
            )
            made[key] = list(_steps(Apdb.from_config(config)))
        return made[key]

    return read


@cache
def _night(schema_file: str) -> Night:
    return Night(schema_file)


def _steps(apdb: Apdb) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Store, update, and read after each; yield the step's name and what it gave."""
    setattr(apdb, "_current_time", lambda: NOW)  # noqa: B010 - a method
    night = _night(apdb.getConfig().schema_file)
    ids = [int(number) for number in night.ids]
    for number, unit in enumerate(night.stored):
        time, *frames = unit
        apdb.store(time, *(frame.copy() for frame in frames))
        yield f"visit {number}", None, _read(apdb, ids)
    for name, update in _updates(night):
        yield name, update(apdb), _read(apdb, ids)


@pytest.mark.parametrize(
    "chosen",
    [
        *(
            pytest.param(
                c, id=str(c),
                marks=pytest.mark.postgresql if c.backend == "postgresql" else (),
            )
            for c in CONFIGURATIONS
        ),
        *(
            pytest.param(c, id=str(c), marks=pytest.mark.weekly)
            for c in WEEKLY_CONFIGURATIONS
        ),
    ],
)  # fmt: skip
def test_every_read_equals_that_of_apdb_sql_after_every_kind_of_update(
    chosen: Chosen,
    reference: Callable[[Chosen], list[Any]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    url = ""
    if chosen.backend == "postgresql":
        url = request.getfixturevalue("shared_database_url")
    place = new_place(chosen.backend, tmp_path, url)
    config = L1Apdb.init_database(**place, **chosen.options(), enable_replica=True)
    apdb = Apdb.from_config(config)
    assert isinstance(apdb, L1Apdb)

    expected = reference(chosen)
    for theirs, ours in zip(expected, _steps(apdb), strict=True):
        assert theirs[:2] == ours[:2]
        for name, value in theirs[2].items():
            where = f"{ours[0]}: {name}"
            if isinstance(value, pd.DataFrame):
                pd.testing.assert_frame_equal(
                    ours[2][name][list(value.columns)],
                    value,
                    check_exact=True,
                    obj=where,
                )
            else:
                assert ours[2][name] == value, where
        assert [str(f) for f in apdb._store.verify()] == [], ours[0]
