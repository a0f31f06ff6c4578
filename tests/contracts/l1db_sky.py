"""A small sky for the contract suite: visits of known content."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from lsst.sphgeom import Angle, Circle, LonLat, UnitVector3d
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sky.htm import htm_index, radec_to_xyz
from l1db_pipeline.store.base import VisitKey, VisitRecords

START = datetime(2026, 1, 1, 3, 0, 0, 123457, tzinfo=UTC)
RA_DEG, DEC_DEG, RADIUS_DEG = 40.0, -30.0, 1.0


def field(radius_deg: float = RADIUS_DEG) -> Circle:
    center = UnitVector3d(LonLat.fromDegrees(RA_DEG, DEC_DEG))
    return Circle(center, Angle.fromDegrees(radius_deg))


def visit_time(night: float) -> datetime:
    return START + timedelta(days=night)


def as_us(time: datetime) -> np.datetime64:
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")


def positions(ids: NDArray[np.int64]) -> tuple[Any, Any]:
    """Positions that depend on the id only, within half the field's radius."""
    rng = np.random.default_rng(7)
    table = rng.uniform(-0.5, 0.5, size=(100_000, 2))
    offset = table[ids % 100_000]
    decl = DEC_DEG + offset[:, 1]
    return RA_DEG + offset[:, 0] / np.cos(np.radians(decl)), decl


def key(visit_id: int, night: float | None = None, **more: Any) -> VisitKey:
    time = visit_time(visit_id if night is None else night)
    return VisitKey(visit_id=visit_id, time=time, **more)


def _required(table: str, n_rows: int) -> dict[str, NDArray[Any]]:
    skipped = {"validityStart", "validityEnd"}
    return {
        column.name: np.zeros(n_rows, dtype=column.numpy_dtype)
        for column in load_schema().table(table).columns
        if column.is_required and column.name not in skipped
    }


def records(
    visit_id: int,
    ids: Any,
    night: float | None = None,
    *,
    moved_deg: float = 0.0,
    first: int = 0,
) -> VisitRecords:
    """Return a visit in which each object has a source and a forced source.

    ``first`` is a number that tells the sources of its parts apart.
    """
    ids = np.asarray(ids, dtype=np.int64)
    n_rows, time = len(ids), as_us(key(visit_id, night).time)
    ra, decl = positions(ids)
    decl = decl + moved_deg
    sky = {"ra": ra, "decl": decl, "htmId20": htm_index(radec_to_xyz(ra, decl))}
    objects = {
        **_required("DiaObject", n_rows),
        **sky,
        "diaObjectId": ids,
        "lastNonForcedSource": np.full(n_rows, time),
        "gPSFluxMean": (ids * 0.25 + visit_id).astype(np.float32),
    }
    sources = {
        **_required("DiaSource", n_rows),
        **sky,
        "diaSourceId": visit_id * 1_000_000 + first * 1000 + np.arange(n_rows),
        "ccdVisitId": np.full(n_rows, visit_id),
        "diaObjectId": ids,
        "apFlux": (ids + visit_id * 0.5).astype(np.float32),
        "psFlux": np.where(ids % 3 == 0, np.nan, ids).astype(np.float32),
    }
    forced = {
        **_required("DiaForcedSource", n_rows),
        "diaObjectId": ids,
        "ccdVisitId": np.full(n_rows, visit_id),
        "psFlux": (ids - visit_id).astype(np.float32),
    }
    return VisitRecords(
        objects=Catalog(objects, {"gPSFluxMean": ids % 4 == 0}),
        sources=Catalog(sources, {"psFlux": ids % 5 == 0}),
        forced_sources=Catalog(forced),
    )


def empty() -> VisitRecords:
    return VisitRecords(
        objects=Catalog({}), sources=Catalog({}), forced_sources=Catalog({})
    )


def by(rows: Catalog, *keys: str) -> Catalog:
    """Return rows in the order of some columns."""
    return rows.take(np.lexsort([rows[name] for name in keys[::-1]]))
