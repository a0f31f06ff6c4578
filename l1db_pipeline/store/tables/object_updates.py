"""Changes of objects: their latest versions, and current objects with them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.tables.bookkeeping import FilledColumns
from l1db_pipeline.store.tables.layout import HOME_PIXEL
from l1db_pipeline.store.tables.objects import ObjectTables, latest_versions

__all__ = ["ObjectUpdates"]


class ObjectUpdates:
    """Locks, reads and changes the latest versions of objects."""

    def __init__(
        self, database: Database, filled: FilledColumns, objects: ObjectTables
    ) -> None:
        self._database = database
        self._filled = filled
        self._objects = objects
        self.table = objects.version_tables[0]

    def hold(self, ids: NDArray[np.int64]) -> Catalog:
        """Return the latest versions of objects, all columns, and keep others off."""
        self._objects.current.hold(ids)
        return latest_versions(self._objects.of_objects(ids, self.table.names))

    def change(self, versions: Catalog, names: Sequence[str]) -> None:
        """Set columns of latest versions, and of current objects with them."""
        for name in names:
            self._filled.note_value(self.table, name)
        keys = (HOME_PIXEL, "diaObjectId", "validityStart")
        pixels = np.unique(versions[HOME_PIXEL]).astype(np.int64)
        within = Condition(HOME_PIXEL, Op.ONE_OF, pixels)
        rows = versions.select([*keys, *names])
        self._database.set_rows(self.table, rows, keys=keys, where=[within])
        self._objects.current.change(versions, names)
