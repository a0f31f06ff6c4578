"""Columns that prune or steer a read, recomputed from the rows they stand for.

Nothing but these columns says which chunks and rows a read looks at: one that is
wrong hides rows without a trace. A new one gets its line here.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.errors import some
from l1db_pipeline.store.tables.chunks import group_chunks
from l1db_pipeline.store.tables.layout import VISIT_ID, VISIT_TIME, Layout
from l1db_pipeline.store.tables.tiers import ALL_TILE, TIER_MARK, TOP_TIER, Tiers

__all__ = ["check_tiers", "check_tile_counts", "check_times", "read_chunks"]


def read_chunks(
    database: Database,
    packed: Table,
    of_table: str,
    where: Sequence[Condition],
    tiles: Collection[tuple[int, str]],
) -> Iterator[tuple[int, Catalog, list[Finding]]]:
    """Yield pixel and rows of each chunk of some, and what its columns say wrongly.

    Parameters
    ----------
    packed, of_table
        The table of chunks, and the name of the one whose rows they hold.
    tiles
        Visits and tiles that the ledger has.

    Raises
    ------
    CorruptChunkError
        If a chunk cannot be read.
    """
    chunks = database.select(packed, packed.names, where)
    for place, pixel in enumerate(chunks["pixel"].tolist()):
        (group,) = group_chunks(of_table, [(pixel, chunks["data"][place])])
        rows = group.catalog(group.names)
        said = {column: chunks[column][place] for column in chunks.names}
        visit, tile = said["visitId"], said["tile"]
        name = f"{of_table} pixel {pixel} visit {visit} tile {tile!r}"
        yield (
            pixel,
            rows,
            [
                Finding(
                    invariant="chunk",
                    where=name,
                    detail=f"its {column} is {said[column]}, its rows say {expected}",
                )
                for column, expected in _denied(said, rows, tiles)
            ],
        )


def _denied(
    said: dict[str, Any], rows: Catalog, tiles: Collection[tuple[int, str]]
) -> Iterator[tuple[str, object]]:
    """Yield the columns of a chunk that its rows deny, and what these say."""
    times, visits = rows[VISIT_TIME], rows[VISIT_ID]
    for column, expected in (
        ("firstTime", times.min()), ("lastTime", times.max()), ("nRows", len(rows))
    ):  # fmt: skip
        if said[column] != expected:
            yield column, expected
    tile, tier = str(said["tile"]), int(said["tier"])
    mark = f"{TIER_MARK}{tier}" if tier else ""
    if tier == TOP_TIER:
        # of a month, or all, the last visit of the pixels that were merged together
        if said["visitId"] < visits.max():
            yield "visitId", f"{visits.max()} or later"
        month = f"{TIER_MARK}{times.min().astype('datetime64[M]')}"
        if tile not in {month, ALL_TILE}:
            yield "tile", f"{month} or {ALL_TILE}"
    elif not tier and (visits != said["visitId"]).any():
        yield "visitId", visits.max()
    elif (
        not tile.startswith(mark)
        or (said["visitId"], tile.removeprefix(mark)) not in tiles
    ):
        yield "tile", f"{mark!r} and one of the visit's tiles"


def check_tiers(
    database: Database, packed: Table, tiers: Tiers
) -> Iterator[tuple[int, Finding]]:
    """Find the pixels whose chunks are not merged as they should be."""
    names = ("pixel", "tile", "tier", "nRows", "lastTime")
    held = database.select(packed, names)
    for problem, pixel in tiers.broken(held):
        where = f"{packed.name} pixel {pixel}"
        yield pixel, Finding(invariant="tiers", where=where, detail=problem)


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
