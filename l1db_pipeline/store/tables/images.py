"""Which images are stored, and where their sources lie out of their home pixels."""

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import VisitConflictError
from l1db_pipeline.sky.htm import home_pixel
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.tables.daytime_tables import DaytimeTables
from l1db_pipeline.store.validate import CheckedVisit

__all__ = ["DETECTORS", "Images", "SourceStrays"]

DETECTORS = 1000
"""``ccdVisitId`` is the visit times this, plus the detector."""


class Images:
    """The register of images."""

    def __init__(self, database: Database, tables: DaytimeTables) -> None:
        self._database = database
        self._table = tables.images

    def note(self, visit: CheckedVisit) -> None:
        """Register the images of a unit's sources, in its transaction.

        Raises
        ------
        VisitConflictError
            If the unit must be its images' only one, and another has stored one.
        """
        both = [rows["ccdVisitId"] for rows in (visit.sources, visit.forced)]
        ids = np.unique(np.concatenate(both))
        if not len(ids):
            return
        key, n_rows = visit.key, len(ids)
        tiles = np.empty(n_rows, dtype=object)
        tiles[:] = key.tile
        rows = Catalog(
            {
                "visit": ids // DETECTORS,
                "detector": (ids % DETECTORS).astype(np.int32),
                "visitId": np.full(n_rows, key.visit_id, dtype=np.int64),
                "tile": tiles,
            }
        )
        if self._database.add_if_absent(self._table, rows) < n_rows and key.is_only:
            self._refuse(visit, rows)

    def _refuse(self, visit: CheckedVisit, rows: Catalog) -> None:
        where = [
            Condition("visit", Op.ONE_OF, rows["visit"]),
            Condition("detector", Op.ONE_OF, rows["detector"].astype(np.int64)),
        ]
        held = self._database.select(self._table, self._table.names, where)
        own = (visit.key.visit_id, visit.key.tile)
        for number, detector, *unit in zip(
            *(held[name].tolist() for name in self._table.names), strict=True
        ):
            if tuple(unit) != own:
                raise VisitConflictError(
                    number, str(detector), f"unit {unit[0]} {unit[1]}", str(own)
                )

    def holds(self, visit: int, detector: int) -> bool:
        """Tell whether a source of an image is stored."""
        where = [
            Condition("visit", Op.EQUAL, visit),
            Condition("detector", Op.EQUAL, detector),
        ]
        return self._database.count(self._table, where) > 0


class SourceStrays:
    """The pixels in which sources are that are kept under another one.

    A source is kept under the home of its object; a search by its own position needs
    to know of those over the edge.
    """

    def __init__(self, database: Database, tables: DaytimeTables, level: int) -> None:
        self._database = database
        self._table = tables.source_strays
        self._level = level
        self._known: set[int] = set()

    def note(self, sources: Catalog, homes: NDArray[np.int32]) -> None:
        """Register sources about to be written, once for each two pixels."""
        if not len(sources):
            return
        pixels = home_pixel(sources["htmId20"], self._level)
        away = np.flatnonzero(pixels != homes)
        pairs = np.unique(pixels[away] << 32 | homes[away].astype(np.int64))
        new = [pair for pair in pairs.tolist() if pair not in self._known]
        if not new:
            return
        both = np.array(new, dtype=np.int64)
        rows = Catalog(
            {
                "pixel": (both >> 32).astype(np.int32),
                "homePixel": (both & 0xFFFFFFFF).astype(np.int32),
            }
        )
        if not self._database.add_if_absent(self._table, rows):
            # only what was there before: our own may yet be rolled back
            self._known.update(new)

    def homes_of(self, ranges: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the pixels out of some ranges that keep sources within them."""
        where = [Condition("pixel", Op.IN_RANGES, ranges)]
        found = self._database.select(self._table, ["homePixel"], where)
        return np.unique(found["homePixel"]).astype(np.int64)

    def registered(self) -> set[int]:
        """Return every registered pair, pixel times 2^32 plus home."""
        found = self._database.select(self._table, self._table.names)
        pairs = found["pixel"].astype(np.int64) << 32 | found["homePixel"]
        return set(pairs.tolist())
