"""What only databases of an APDB have to be checked: images, strays, the journal."""

from collections.abc import Iterator, Mapping

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.sky.htm import home_pixel
from l1db_pipeline.store.backends.database import Database
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.digest import TableDigest
from l1db_pipeline.store.errors import some
from l1db_pipeline.store.tables.daytime_tables import DaytimeTables
from l1db_pipeline.store.tables.images import DETECTORS, SourceStrays
from l1db_pipeline.store.tables.layout import HOME_PIXEL, Layout
from l1db_pipeline.store.tables.update_ledger import UpdateLedger

__all__ = ["DaytimeChecks"]


class DaytimeChecks:
    """Checks of the tables of `DaytimeTables`, rows given a part at a time."""

    def __init__(self, database: Database, tables: DaytimeTables, level: int) -> None:
        self._database = database
        self._tables = tables
        self._level = level
        self._strays = SourceStrays(database, tables, level).registered()
        self._images: set[int] = set()
        self._ledger = UpdateLedger(database, tables)

    @classmethod
    def of(
        cls, database: Database, layout: Layout, level: int
    ) -> "DaytimeChecks | None":
        """Return the checks of a database that has the tables."""
        tables = layout.daytime
        return None if tables is None else cls(database, tables, level)

    def check(self, table: Table, rows: Catalog) -> Iterator[Finding]:
        """Check sources or forced sources of a part of the sky."""
        self._images.update(np.unique(rows["ccdVisitId"]).tolist())
        if "htmId20" not in rows or not len(rows):
            return
        pixels = home_pixel(rows["htmId20"], self._level)
        homes = rows[HOME_PIXEL].astype(np.int64)
        pairs = pixels << 32 | homes
        away = pixels != homes
        lost = [pair not in self._strays for pair in pairs[away].tolist()]
        if any(lost):
            ids = rows["diaSourceId"][away][np.array(lost)]
            yield Finding(
                invariant="strays",
                where=f"{table.name} diaSourceId {some(ids.tolist())}",
                detail=f"{len(ids)} sources are out of their home, unregistered",
            )

    def check_images(self) -> Iterator[Finding]:
        """Compare the register of images with the rows that were given."""
        table = self._tables.images
        held = self._database.select(table, ["visit", "detector"])
        registered = set((held["visit"] * DETECTORS + held["detector"]).tolist())
        for images, detail in (
            (self._images - registered, "has sources, and is not registered"),
            (registered - self._images, "is registered without any source"),
        ):
            if images:
                named = [f"{i // DETECTORS}.{i % DETECTORS}" for i in sorted(images)]
                yield Finding(
                    invariant="images", where=f"image {some(named)}", detail=detail
                )

    def changes(self, table: Table) -> Mapping[int, TableDigest]:
        """Return what updates have added to the digest of each unit."""
        return self._ledger.changes(table.name)
