"""Sources by their own position, wherever their object is kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sky.pixelization import Interior, htm_ranges, in_region
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.tables.bookkeeping import FilledColumns
from l1db_pipeline.store.tables.chunk_group import ChunkGroup, join_groups
from l1db_pipeline.store.tables.current import trim
from l1db_pipeline.store.tables.history import HistoryTable, TimeWindow
from l1db_pipeline.store.tables.images import SourceStrays
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_TIME
from l1db_pipeline.store.tables.rows import add_empty_columns, read_rows

__all__ = ["SourcePositions"]

_COVER_RANGES = 4096  # few pixels too many cost more than the ranges


class SourcePositions:
    """Reads sources of a region, those without object and of closed ones too."""

    def __init__(
        self,
        database: Database,
        filled: FilledColumns,
        history: HistoryTable,
        strays: SourceStrays,
        level: int,
    ) -> None:
        self._database = database
        self._filled = filled
        self._history = history
        self._strays = strays
        self._level = level

    def read(
        self, region: Region, window: TimeWindow, columns: Sequence[str]
    ) -> Catalog:
        """Return sources of a region, exactly trimmed; the window is in visit time."""
        pixels = self._pixels(region)
        names = list(dict.fromkeys(columns))
        if self._history.packed is None:
            found = self._read_rows(pixels, region, window, names)
        else:
            found = self._read_packed(pixels, region, window, names)
        return found.select(names)

    def _pixels(self, region: Region) -> NDArray[np.int32]:
        """Return the pixels that may keep a source of a region, and have any."""
        ranges = htm_ranges(region, self._level, _COVER_RANGES)
        history = self._history
        table, column = (
            (history.table, HOME_PIXEL)
            if history.packed is None
            else (history.packed, "pixel")
        )
        within = Condition(column, Op.IN_RANGES, ranges)
        held = np.unique(self._database.select(table, [column], [within])[column])
        return np.union1d(held, self._strays.homes_of(ranges)).astype(np.int32)

    def _read_rows(
        self,
        pixels: NDArray[np.int32],
        region: Region,
        window: TimeWindow,
        names: Sequence[str],
    ) -> Catalog:
        where = [
            Condition(HOME_PIXEL, Op.ONE_OF, pixels),
            *window.conditions(VISIT_TIME, VISIT_TIME),
        ]
        needed = [*names, "ra", "decl"]
        table = self._history.table
        rows = read_rows(self._database, self._filled, table, needed, where)
        return trim(rows, region)

    def _read_packed(
        self,
        pixels: NDArray[np.int32],
        region: Region,
        window: TimeWindow,
        names: Sequence[str],
    ) -> Catalog:
        table, interior = self._history.table, Interior(region)
        groups = self._history.read_chunks(pixels, window)
        keeps = [_rows_inside(group, region, interior) for group in groups]

        def dtype_of(name: str) -> np.dtype[Any]:
            return table.column(name).numpy_dtype

        first = list(dict.fromkeys(["diaSourceId", *names]))
        rows = join_groups(groups, keeps, first, dtype_of)
        return add_empty_columns(table, rows, first)


def _rows_inside(
    group: ChunkGroup, region: Region, interior: Interior
) -> NDArray[np.intp]:
    inside = interior.holds(group.column("htmId20")[0])
    rest = np.flatnonzero(~inside)
    if len(rest):
        ra, decl = (group.column(name, rest)[0] for name in ("ra", "decl"))
        inside[rest] = in_region(radec_to_xyz(ra, decl), region)
    return np.flatnonzero(inside)
