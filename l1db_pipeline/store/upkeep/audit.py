"""Everything in the tables, a part of the sky at a time.

All that belongs to an object is under its home pixel, so each part can be checked
by itself and no part needs much memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.digest import TableDigest
from l1db_pipeline.store.tables.bookkeeping import FilledColumns
from l1db_pipeline.store.tables.history import HistoryTable, TimeWindow
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_TIME, Layout
from l1db_pipeline.store.tables.objects import ObjectTables, with_ends
from l1db_pipeline.store.tables.rows import public_columns

__all__ = ["SkyPart", "science_digest", "sky_parts"]

_ROWS_AT_ONCE = 200_000
_Pixels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SkyPart:
    """Some home pixels, ascending."""

    pixels: _Pixels

    @property
    def condition(self) -> Condition:
        """Condition on `HOME_PIXEL`."""
        return Condition(HOME_PIXEL, Op.ONE_OF, self.pixels)


def sky_parts(
    database: Database, layout: Layout, window: TimeWindow | None = None
) -> Iterator[SkyPart]:
    """Yield all pixels that any table knows, in parts of bounded content.

    With a window only those with rows or chunks of its times.
    """
    n_rows = (
        _rows_by_pixel(database, layout)
        if window is None or window == TimeWindow()
        else _rows_in_window(database, layout, window)
    )
    part: list[int] = []
    total = 0
    for pixel in sorted(n_rows):
        if part and total + n_rows[pixel] > _ROWS_AT_ONCE:
            yield SkyPart(np.array(part, dtype=np.int64))
            part, total = [], 0
        part.append(pixel)
        total += n_rows[pixel]
    if part:
        yield SkyPart(np.array(part, dtype=np.int64))


def _rows_by_pixel(database: Database, layout: Layout) -> dict[int, int]:
    tables = [layout.objects, layout.sources, layout.forced]
    tables += [table for table in (layout.nightly, layout.last) if table is not None]
    n_rows: dict[int, int] = {}
    for table in tables:
        for pixel, count in database.count_by(table, HOME_PIXEL).items():
            n_rows[pixel] = n_rows.get(pixel, 0) + count
    if layout.packed_last is not None:
        for pixel in database.count_by(layout.packed_last.chunks, "pixel"):
            n_rows.setdefault(pixel >> layout.packed_last.shift, 0)
    for packed in (layout.packed_sources, layout.packed_forced):
        if packed is not None:
            for pixel in database.count_by(packed, "pixel"):
                n_rows.setdefault(pixel, 0)
    return n_rows


def _rows_in_window(
    database: Database, layout: Layout, window: TimeWindow
) -> dict[int, int]:
    versions = [(layout.objects, "validityStart")]
    versions += [] if layout.nightly is None else [(layout.nightly, "validityStart")]
    history = [(layout.sources, VISIT_TIME), (layout.forced, VISIT_TIME)]
    found = [
        database.select(table, [HOME_PIXEL], window.conditions(time, time))[HOME_PIXEL]
        for table, time in (*versions, *history)
    ]
    for packed in (layout.packed_sources, layout.packed_forced):
        if packed is not None:
            where = window.conditions("firstTime", "lastTime")
            found.append(database.select(packed, ["pixel"], where)["pixel"])
    pixels, counts = np.unique(np.concatenate(found), return_counts=True)
    return dict(zip(pixels.tolist(), counts.tolist(), strict=True))


def science_digest(
    database: Database,
    layout: Layout,
    objects: ObjectTables,
    histories: Sequence[HistoryTable],
    filled: FilledColumns,
) -> dict[str, str]:
    """Digest versions, current objects and histories as the API reads them."""
    names = ["versions", "objects", *(history.table.name for history in histories)]
    total = dict.fromkeys(names, TableDigest())
    for part in sky_parts(database, layout):
        versions = with_ends(
            objects.read_versions([part.condition], public_columns(layout.objects))
        )
        total["versions"] += TableDigest.of(versions)
        current = [n for n in public_columns(layout.current)
                   if n in layout.current_names]  # fmt: skip
        total["objects"] += TableDigest.of(
            objects.current.in_pixels(part.pixels, current)
        )
        for history in histories:
            total[history.table.name] += _history_digest(
                database, history, part, filled
            )
    return {name: str(digest) for name, digest in total.items()}


def _history_digest(
    database: Database, history: HistoryTable, part: SkyPart, filled: FilledColumns
) -> TableDigest:
    columns = public_columns(history.table)
    if history.packed is None:
        present = filled.filled(history.table, columns)
        return TableDigest.of(database.select(history.table, present, [part.condition]))
    total = TableDigest()
    pixels = part.pixels.astype(np.int32)
    for group in history.read_chunks(pixels, TimeWindow()):
        total += TableDigest.of(group.catalog([n for n in columns if n in group.names]))
    return total
