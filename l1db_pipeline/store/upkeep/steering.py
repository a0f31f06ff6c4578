"""Columns that prune or steer a read, recomputed from the rows they stand for.

Nothing but these columns says which chunks and rows a read looks at: one that is
wrong hides rows without a trace. A new one gets its line here.
"""

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.errors import some
from l1db_pipeline.store.tables.chunks import group_chunks
from l1db_pipeline.store.tables.history import HistoryTable
from l1db_pipeline.store.tables.layout import VISIT_ID, VISIT_TIME, Layout

__all__ = ["check_tile_counts", "check_times", "read_chunks"]


def read_chunks(
    database: Database,
    history: HistoryTable,
    pixel: int,
    tiles: Collection[tuple[int, str]],
) -> Iterator[tuple[Catalog, list[Finding]]]:
    """Yield the rows of each chunk of a pixel, and what its columns say wrongly.

    Parameters
    ----------
    tiles
        Visits and tiles that the ledger has.

    Raises
    ------
    CorruptChunkError
        If a chunk cannot be read.
    """
    if history.packed is None:
        return
    where = [Condition("pixel", Op.EQUAL, pixel)]
    chunks = database.select(history.packed, history.packed.names, where)
    for place in range(len(chunks)):
        name = history.table.name
        (group,) = group_chunks(name, [(pixel, chunks["data"][place])])
        rows = group.catalog(group.names)
        said = {column: chunks[column][place] for column in chunks.names}
        yield rows, list(_check_chunk(f"{name} pixel {pixel}", said, rows, tiles))


def _check_chunk(
    where: str,
    said: dict[str, object],
    rows: Catalog,
    tiles: Collection[tuple[int, str]],
) -> Iterator[Finding]:
    times = rows[VISIT_TIME]
    visit_id, tile = int(rows[VISIT_ID].max()), str(said["tile"])
    expected: dict[str, object] = {
        "firstTime": times.min(),
        "lastTime": times.max(),
        "nRows": len(rows),
    }
    if tile.startswith("@"):
        expected["tile"] = f"@{times.min().astype('datetime64[M]')}"
        # the last visit of the pixels that were compacted together
        if int(str(said["visitId"])) < visit_id:
            expected["visitId"] = f"{visit_id} or later"
    else:
        expected["visitId"] = visit_id
        if (visit_id, tile) not in tiles:
            expected["tile"] = "one of the visit's tiles"
    for column, value in expected.items():
        if said[column] != value:
            yield Finding(
                invariant="chunk",
                where=f"{where} visit {said['visitId']} tile {tile!r}",
                detail=f"its {column} is {said[column]}, its rows say {value}",
            )


def check_times(
    table: str, column: str, rows: Catalog, entries: Catalog
) -> Iterator[Finding]:
    """Find the rows whose time is not that of their visit in the ledger."""
    visits, first = np.unique(entries["visitId"], return_index=True)
    if not len(visits) or not len(rows):
        return
    places = np.minimum(np.searchsorted(visits, rows[VISIT_ID]), len(visits) - 1)
    is_known = visits[places] == rows[VISIT_ID]  # others are told of elsewhere
    wrong = is_known & (rows[column] != entries["visitTime"][first][places])
    if wrong.any():
        ids: NDArray[np.int64] = np.unique(rows[VISIT_ID][wrong])
        yield Finding(
            invariant="time",
            where=f"{table} visit {some(ids.tolist())}",
            detail=f"{column} of {int(wrong.sum())} rows is not the visit's time",
        )


def check_tile_counts(
    database: Database, layout: Layout, entries: Catalog
) -> Iterator[Finding]:
    """Find the visits whose counter of tiles is not the number of those stored."""
    counters = database.select(layout.tile_counts, layout.tile_counts.names)
    counted = dict(
        zip(counters["visitId"].tolist(), counters["nStored"].tolist(), strict=True)
    )
    divided = entries["visitId"][entries["nTiles"] > 1]
    ids, n_tiles = np.unique(divided, return_counts=True)
    stored = dict(zip(ids.tolist(), n_tiles.tolist(), strict=True))
    for visit_id in sorted(counted.keys() | stored.keys()):
        if counted.get(visit_id, 0) != stored.get(visit_id, 0):
            yield Finding(
                invariant="tile count",
                where=f"visit {visit_id}",
                detail=(
                    f"the counter says {counted.get(visit_id, 0)} tiles, the ledger "
                    f"has {stored.get(visit_id, 0)}"
                ),
            )
