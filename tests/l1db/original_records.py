"""Records as callers of the original's class make them, and visits of them."""

# ruff: noqa: DTZ001  # times of the original's records are naive, UTC
from collections.abc import Callable
from datetime import datetime

import numpy as np
from lsst.sphgeom import Angle, Circle, LonLat, UnitVector3d

from l1db_pipeline.l1db import (
    DiaForcedSource,
    DiaObject,
    DiaSource,
    L1db,
)
from l1db_pipeline.sky.htm import htm_index, radec_to_xyz

T0 = datetime(2026, 1, 1, 3)
FIELD = Circle(UnitVector3d(LonLat.fromDegrees(10, -20)), Angle.fromDegrees(1.75))
MODES = ("baseline", "htm20_id_iov", "last_object_table")

Open = Callable[..., L1db]


def an_object(number: int, time: datetime, decl: float = -20.0) -> DiaObject:
    ra = 10 + number / 1000
    return DiaObject(
        number, time, None, time, ra, decl, *(0.0,) * 15, 0, 0, htm_of(ra, decl)
    )


def a_source(number: int, visit: int, decl: float = -20.0) -> DiaSource:
    ra = 10 + number / 1000
    return DiaSource(
        visit * 1000 + number, visit, number, 0, 0.0, ra, 0.0, decl, *(0.0,) * 9, 5.0,
        0, htm_of(ra, decl),
    )  # fmt: skip


def a_forced_source(number: int, visit: int) -> DiaForcedSource:
    return DiaForcedSource(number, visit, 1.5, None, 0.0, 0.0, 0)


def htm_of(ra: float, decl: float) -> int:
    return int(htm_index(radec_to_xyz(np.array([ra]), np.array([decl])))[0])


def store_a_visit(
    database: L1db, visit: int, time: datetime, n_objects: int = 3
) -> None:
    """Do what the original's ap_proto does for a visit."""
    numbers = range(1, n_objects + 1)
    database.storeDiaObjects([an_object(n, time) for n in numbers], time)
    database.storeDiaSources([a_source(n, visit) for n in numbers])
    database.storeDiaForcedSources([a_forced_source(n, visit) for n in numbers])
    database.saveVisit(visit, time)
