"""What clients of an APDB ask of a store, beside the visit's own reads and writes."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.cells import Cells
from l1db_pipeline.store.tables.bookkeeping import FilledColumns
from l1db_pipeline.store.tables.daytime_tables import DaytimeTables
from l1db_pipeline.store.tables.history import HistoryTable, TimeWindow
from l1db_pipeline.store.tables.images import Images, SourceStrays
from l1db_pipeline.store.tables.layout import Layout
from l1db_pipeline.store.tables.objects import ObjectTables
from l1db_pipeline.store.tables.positions import SourcePositions
from l1db_pipeline.store.tables.replica import PendingChunk, UpdateRecord
from l1db_pipeline.store.updates import Updates
from l1db_pipeline.store.validate import CheckedVisit
from visit_tables.time_scales import utc64

__all__ = ["Daytime"]

_Reading = Callable[[], AbstractContextManager[None]]


class Daytime:
    """The part of a store that only databases of an APDB have; see `of`.

    Parameters
    ----------
    database, tables, layout
        The database, this part's tables, and all of the store's.
    objects, positions, strays
        What the store has of objects and sources.
    reading
        Opens a reading transaction of the store.
    """

    def __init__(
        self,
        database: Database,
        tables: DaytimeTables,
        layout: Layout,
        *,
        objects: ObjectTables,
        positions: SourcePositions,
        strays: SourceStrays,
        updates: Updates,
        reading: _Reading,
    ) -> None:
        self._database = database
        self._layout = layout
        self._objects = objects
        self._positions = positions
        self._strays = strays
        self._images = Images(database, tables)
        self.updates = updates
        self._replica = updates.replica
        self._reading = reading

    @classmethod
    def of(
        cls,
        database: Database,
        layout: Layout,
        config: L1dbConfig,
        *,
        filled: FilledColumns,
        objects: ObjectTables,
        histories: Sequence[HistoryTable],
        cells: Cells,
        reading: _Reading,
    ) -> "Daytime | None":
        """Return the part of a store that has these; `None` without its tables."""
        tables = layout.daytime
        if tables is None:
            return None
        level = config.history_pixel_level
        strays = SourceStrays(database, tables, level)
        positions = SourcePositions(database, filled, histories[0], strays, level)
        updates = Updates(
            database, tables, config, filled=filled, objects=objects,
            histories=histories, strays=strays, cells=cells,
        )  # fmt: skip
        return cls(
            database, tables, layout, objects=objects, positions=positions,
            strays=strays, updates=updates, reading=reading,
        )  # fmt: skip

    def note(self, visit: CheckedVisit, homes: NDArray[np.int32]) -> None:
        """Register a unit: images, sources (with their homes) that stray, replica.

        Part of the store's transaction; errors as `Images.note`.
        """
        self._images.note(visit)
        self._strays.note(visit.sources, homes)
        self._replica.note(visit.key)

    def has_image(self, visit: int, detector: int) -> bool:
        """Tell whether a source or forced source of an image is stored."""
        with self._reading():
            return self._images.holds(visit, detector)

    def sources_inside(
        self, region: Region, *, since: datetime, columns: Sequence[str]
    ) -> Catalog:
        """Return the sources whose own position is in a region, by any object.

        ``since`` is in visit time.
        """
        window = TimeWindow(utc64(since, "sources since"))
        with self._reading():
            return self._positions.read(region, window, columns)

    def objects_since(
        self, time: datetime | None, *, columns: Sequence[str]
    ) -> Catalog:
        """Return the current objects stored at or after a time; `None` for all."""
        since = None if time is None else utc64(time, "objects since")
        with self._reading():
            return self._objects.current.since(since, columns).select(columns)

    def count_objects(self, column: str, value: int) -> int:
        """Return how many current objects have a value in a column of integers."""
        with self._reading():
            found = self._objects.current.since(None, [column])
        return int((~found.null_mask(column) & (found[column] == value)).sum())

    def replica_chunks(self) -> list[PendingChunk]:
        """Return the replica chunks that were not deleted, or came again."""
        with self._reading():
            return self._replica.chunks()

    def replica_rows(
        self, table: Table, chunks: NDArray[np.int64], columns: Sequence[str]
    ) -> tuple[Catalog, NDArray[np.int64]]:
        """Return what units of replica chunks stored in a table, and their chunks."""
        with self._reading():
            return self._replica.rows(table, chunks, columns)

    def replica_records(self, chunks: NDArray[np.int64]) -> list[UpdateRecord]:
        """Return the update records of replica chunks, in order."""
        with self._reading():
            return self._replica.records(chunks)

    def delete_replica_chunks(self, chunks: NDArray[np.int64]) -> None:
        """Forget replica chunks; the rows themselves stay."""
        with self._database.transaction(write=True):
            self._replica.delete(chunks)

    def delete_setting(self, name: str) -> bool:
        """Delete a setting; false if there is none."""
        where = [Condition("name", Op.EQUAL, name)]
        with self._database.transaction(write=True):
            return self._database.delete(self._layout.settings, where) > 0
