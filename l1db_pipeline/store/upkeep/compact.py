"""Off-line work on packed tables: compaction into months, rebuilding from rows."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.tables.history import HistoryTable
from l1db_pipeline.store.tables.last_chunks import LastChunks
from l1db_pipeline.store.tables.layout import (
    HOME_PIXEL,
    VISIT_ID,
    VISIT_TIME,
)
from l1db_pipeline.store.tables.objects import ObjectTables, latest_versions
from l1db_pipeline.store.tables.rows import with_constants
from l1db_pipeline.store.tables.tiers import TIER_MARK, TOP_TIER

__all__ = ["compact", "compact_current", "rebuild", "rebuild_current"]

_PIXELS_AT_ONCE = 64


def compact(
    database: Database, history: HistoryTable, *, before: np.datetime64 | None
) -> int:
    """Merge the chunks of each pixel and calendar month (UTC) into one.

    Parameters
    ----------
    database, history
        What to compact; nothing happens without packed history.
    before
        Chunks that end before it are merged; `None` for all.

    Returns
    -------
    n_chunks
        How many chunks fewer there are.
    """
    packed = history.packed
    if packed is None:
        return 0
    n_before = database.count(packed)
    with database.transaction(write=False):
        pixels = np.array(sorted(database.count_by(packed, "pixel")), dtype=np.int32)
    for start in range(0, len(pixels), _PIXELS_AT_ONCE):
        part = pixels[start : start + _PIXELS_AT_ONCE]
        with database.transaction(write=True):
            database.lock(packed)
            _compact_pixels(database, history, part, before)
    return n_before - database.count(packed)


def _compact_pixels(
    database: Database,
    history: HistoryTable,
    pixels: NDArray[np.int32],
    before: np.datetime64 | None,
) -> None:
    packed = history.packed
    if packed is None:
        return
    where = [Condition("pixel", Op.ONE_OF, pixels)]
    if before is not None:
        where.append(Condition("lastTime", Op.LESS, before))
    chunks = database.select(packed, ["pixel", "firstTime", "lastTime"], where)
    months = chunks["firstTime"].astype("datetime64[M]")
    in_one = chunks["lastTime"].astype("datetime64[M]") == months
    for month in np.unique(months[in_one]):
        chosen = in_one & (months == month)
        counts = np.unique(chunks["pixel"][chosen], return_counts=True)
        several = counts[0][counts[1] > 1]
        if not len(several):
            continue
        begin = month.astype("datetime64[us]")
        end = (month + 1).astype("datetime64[us]")
        end = end if before is None else min(end, before)
        held = [
            Condition("pixel", Op.ONE_OF, several),
            Condition("firstTime", Op.AT_LEAST, begin),
            Condition("lastTime", Op.LESS, end),
        ]
        rows, row_pixels = history.read_packed_rows(held)
        database.delete(packed, held)
        _write_month(history, rows, row_pixels, str(month))


def compact_current(database: Database, objects: ObjectTables) -> int:
    """Merge the chunks of current objects of each pixel; return how many fewer."""
    chunks = objects.current
    if not isinstance(chunks, LastChunks):
        return 0
    counts = database.count_by(chunks.table, "pixel")
    several = sorted(pixel for pixel, n in counts.items() if n > 1)
    for start in range(0, len(several), _PIXELS_AT_ONCE):
        part = np.array(several[start : start + _PIXELS_AT_ONCE], dtype=np.int64)
        with database.transaction(write=True):
            database.lock(chunks.table)
            chunks.merge(part)
    return sum(counts.values()) - database.count(chunks.table)


def rebuild(
    database: Database, history: HistoryTable, pixels: Iterable[int] | None = None
) -> int:
    """Rebuild packed history from the rows; return the number of pixels.

    ``pixels`` limits it to some; the default is all that have rows or chunks.
    """
    packed = history.packed
    if packed is None:
        return 0
    if pixels is None:
        rows = database.count_by(history.table, HOME_PIXEL)
        pixels = rows.keys() | database.count_by(packed, "pixel").keys()
    chosen = np.array(sorted(pixels), dtype=np.int32)
    for start in range(0, len(chosen), _PIXELS_AT_ONCE):
        part = chosen[start : start + _PIXELS_AT_ONCE]
        with database.transaction(write=True):
            database.lock(packed)
            database.delete(packed, [Condition("pixel", Op.ONE_OF, part)])
            names = history.table.names
            here = Condition(HOME_PIXEL, Op.ONE_OF, part)
            found = database.select(history.table, names, [here])
            _write_months(history, found)
    return len(chosen)


def rebuild_current(
    database: Database, objects: ObjectTables, pixels: Iterable[int] | None = None
) -> None:
    """Rebuild the chunks of current objects from their versions.

    ``pixels``, of history, limits it to some; the default is all.
    """
    chunks = objects.current
    if not isinstance(chunks, LastChunks):
        return
    if pixels is None:
        counts = [database.count_by(t, HOME_PIXEL) for t in objects.version_tables]
        pixels = {*chunks.pixels_of_history(), *(p for count in counts for p in count)}
    chosen = np.array(sorted(pixels), dtype=np.int64)
    for start in range(0, len(chosen), _PIXELS_AT_ONCE):
        part = chosen[start : start + _PIXELS_AT_ONCE]
        with database.transaction(write=True):
            database.lock(chunks.table)
            names = objects.version_tables[0].names
            here = [Condition(HOME_PIXEL, Op.ONE_OF, part)]
            found = [database.select(t, names, here) for t in objects.version_tables]
            latest = latest_versions(Catalog.concat(found))
            chunks.rebuild(part, with_constants(
                latest, {VISIT_TIME: latest["validityStart"]}
            ))  # fmt: skip
    objects.forget()


def _write_months(history: HistoryTable, rows: Catalog) -> None:
    months = rows[VISIT_TIME].astype("datetime64[M]")
    for month in np.unique(months):
        part = rows.take(months == month)
        names = [name for name in part.names if name != HOME_PIXEL]
        _write_month(history, part.select(names), part[HOME_PIXEL], str(month))


def _write_month(
    history: HistoryTable, rows: Catalog, pixels: NDArray[np.int32], month: str
) -> None:
    order = np.lexsort((rows[VISIT_TIME], pixels))
    rows, pixels = rows.take(order), pixels[order]
    history.write_chunks(
        rows, pixels, int(rows[VISIT_ID].max()), TIER_MARK + month, tier=TOP_TIER
    )
