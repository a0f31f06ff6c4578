"""Objects that two visits made of one place, because neither saw the other's.

Two objects may lie within the match radius of each other: a visit that detects two
sources there gives the object to the nearer one and makes a new object of the other.
Such a visit has a source of each. An object has also moved when its later detections
are off: what counts is where it was when the other was made.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.tables.bookkeeping import Settings
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_ID, Layout
from l1db_pipeline.store.tables.objects import ObjectTables
from l1db_pipeline.store.upkeep.audit import sky_parts

__all__ = ["find_duplicates"]

# as `runs.settings` keeps them
_MATCH, _BY_POSITION, _RADIUS = "run.match", "position", "run.match_radius_arcsec"
_FIRST = ("diaObjectId", "ra", "decl", "validityStart", VISIT_ID)
_Ids = NDArray[np.int64]


def _match_radius(settings: Settings) -> float | None:
    """Return the radius in arcsec within which sources are matched, if they are."""
    radius = settings.get(_RADIUS)
    is_by_position = settings.get(_MATCH) == _BY_POSITION
    return float(radius) if is_by_position and radius is not None else None


def find_duplicates(
    database: Database,
    layout: Layout,
    objects: ObjectTables,
    horizon: np.datetime64 | None,
) -> Iterator[Finding]:
    """Yield the pairs of objects that no one visit has made.

    None if sources are not matched by position: then objects may be anywhere. Of
    pairs whose second was made by the horizon nothing tells any more who made them.
    """
    radius_arcsec = _match_radius(Settings(database, layout))
    if radius_arcsec is None:
        return
    duplicates = _Duplicates(database, layout, objects, radius_arcsec, horizon)
    for part in sky_parts(database, layout):
        duplicates.add(objects.read_versions([part.condition], _FIRST))
    yield from duplicates.findings()


class _Duplicates:
    """Gathers where objects were first seen, and finds those seen twice."""

    def __init__(
        self,
        database: Database,
        layout: Layout,
        objects: ObjectTables,
        radius_arcsec: float,
        horizon: np.datetime64 | None,
    ) -> None:
        self._database = database
        self._layout = layout
        self._objects = objects
        self._chord = 2 * math.sin(math.radians(radius_arcsec / 3600) / 2)
        self._first: list[Catalog] = []
        self._horizon = horizon

    def add(self, versions: Catalog) -> None:
        """Add all versions of some objects."""
        rows = versions.select(_FIRST)
        order = np.lexsort((rows["validityStart"], rows["diaObjectId"]))
        _, places = np.unique(rows["diaObjectId"][order], return_index=True)
        self._first.append(rows.take(order[places]))

    def findings(self) -> Iterator[Finding]:
        """Yield the pairs that no one visit has made."""
        # half a second to load, and only matching by position needs it
        from scipy.spatial import KDTree  # noqa: PLC0415

        if not self._first:
            return
        first = Catalog.concat(self._first)
        xyz = radec_to_xyz(first["ra"], first["decl"])
        pairs = KDTree(xyz).query_pairs(self._chord, output_type="ndarray")
        visits, times = first[VISIT_ID], first["validityStart"]
        pairs = pairs[visits[pairs[:, 0]] != visits[pairs[:, 1]]]
        if self._horizon is not None:
            pairs = pairs[times[pairs].max(axis=1) > self._horizon]
        if not len(pairs):
            return
        is_swapped = times[pairs[:, 0]] > times[pairs[:, 1]]
        pairs[is_swapped] = pairs[is_swapped][:, ::-1]
        ids = first["diaObjectId"]
        versions, seen = self._seen(np.unique(ids[pairs]))
        for one, other in pairs.tolist():
            both = {(ids[one], visits[other]), (ids[other], visits[one])}
            was_near = self._was_near(versions, ids[one], xyz[other], times[other])
            if was_near and not both & seen:
                yield Finding(
                    invariant="duplicate",
                    where=f"diaObjectId {ids[one]}, {ids[other]}",
                    detail=(
                        f"visits {visits[one]} and {visits[other]} created two "
                        "objects at the same position"
                    ),
                )

    def _seen(self, ids: _Ids) -> tuple[Catalog, set[tuple[int, int]]]:
        """Return versions of objects, and which visits have a source of which."""
        names = ["diaObjectId", "ra", "decl", "validityStart", HOME_PIXEL]
        versions = self._objects.of_objects(ids, names)
        where = [
            Condition(HOME_PIXEL, Op.ONE_OF, np.unique(versions[HOME_PIXEL])),
            Condition("diaObjectId", Op.ONE_OF, ids),
        ]
        table = self._layout.sources
        found = self._database.select(table, ["diaObjectId", VISIT_ID], where)
        columns = (found[name].tolist() for name in ("diaObjectId", VISIT_ID))
        return versions, set(zip(*columns, strict=True))

    def _was_near(
        self,
        versions: Catalog,
        object_id: int,
        xyz: NDArray[np.float64],
        time: np.datetime64,
    ) -> bool:
        """Tell whether all versions of an object up to a time are near a position."""
        is_before = versions["validityStart"] <= time
        rows = versions.take(is_before & (versions["diaObjectId"] == object_id))
        offsets = radec_to_xyz(rows["ra"], rows["decl"]) - xyz
        return bool(np.all((offsets**2).sum(axis=1) <= self._chord**2))
