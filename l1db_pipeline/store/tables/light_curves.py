"""Everything about one object, each part ordered by time."""

from collections.abc import Sequence

import numpy as np

from l1db_pipeline.store.base import LightCurve
from l1db_pipeline.store.tables.history import HistoryTable, TimeWindow
from l1db_pipeline.store.tables.layout import VISIT_TIME
from l1db_pipeline.store.tables.objects import ObjectTables, with_ends
from l1db_pipeline.store.tables.rows import public_columns

__all__ = ["light_curve_of"]


def light_curve_of(
    object_id: int, objects: ObjectTables, histories: Sequence[HistoryTable]
) -> LightCurve:
    """Return what a database has of an object; part of a transaction."""
    ids = np.array([object_id], dtype=np.int64)
    pixels, exists = objects.home_pixels_of(ids)
    known = ids[exists]
    versions = objects.of_objects(known, public_columns(objects.version_tables[0]))
    parts = []
    for history in histories:
        names = [*public_columns(history.table), VISIT_TIME]
        rows = history.read(known, pixels[exists], TimeWindow(), names)
        rows = rows.take(np.argsort(rows[VISIT_TIME], kind="stable"))
        parts.append(rows.select(names[:-1]))
    return LightCurve(
        versions=with_ends(versions), sources=parts[0], forced_sources=parts[1]
    )
