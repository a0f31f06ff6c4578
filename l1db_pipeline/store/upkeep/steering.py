"""Columns that prune or steer a read, recomputed from the rows they stand for.

Nothing but these columns says which chunks and rows a read looks at: one that is
wrong hides rows without a trace. A new one gets its line here.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.digest import TableDigest, digest_by_group, row_hashes
from l1db_pipeline.store.errors import CorruptChunkError, some
from l1db_pipeline.store.tables.chunk_group import ChunkGroup
from l1db_pipeline.store.tables.chunks import group_with_places
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_ID, VISIT_TIME, Layout
from l1db_pipeline.store.tables.tiers import ALL_TILE, TIER_MARK, TOP_TIER, Tiers

__all__ = [
    "CorruptPixel",
    "ReadChunks",
    "check_tiers",
    "check_tile_counts",
    "check_times",
    "digests_of_rows",
    "read_chunks",
]


@dataclass(frozen=True, slots=True)
class ReadChunks:
    """Chunks of one layout: their rows, and what their columns say wrongly."""

    n_chunks: int
    pixels: NDArray[np.int32]
    """Pixel of each row."""
    rows: Catalog
    findings: list[tuple[int, Finding]]
    """Each with its pixel."""


@dataclass(frozen=True, slots=True)
class CorruptPixel:
    """A pixel of which a chunk cannot be read."""

    pixel: int
    error: CorruptChunkError

    @property
    def finding(self) -> Finding:
        """What is wrong with it."""
        error = self.error
        return Finding(invariant="chunk", where=error.where, detail=error.problem)


def read_chunks(
    database: Database,
    packed: Table,
    of_table: str,
    where: Sequence[Condition],
    tiles: Collection[tuple[int, str]],
) -> Iterator[ReadChunks]:
    """Yield the chunks of some pixels, those of one layout at once.

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
    pairs = list(zip(chunks["pixel"].tolist(), chunks["data"].tolist(), strict=True))
    said = chunks.select([name for name in chunks.names if name != "data"])
    for group, places in group_with_places(of_table, pairs):
        rows = group.catalog(group.names)
        denied = _denied_of_group(said.take(np.array(places)), group, rows, tiles)
        yield ReadChunks(
            n_chunks=len(places),
            pixels=group.pixel_of_row(),
            rows=rows,
            findings=[
                (
                    int(one["pixel"]),
                    Finding(
                        invariant="chunk",
                        where=f"{of_table} pixel {one['pixel']} visit {one['visitId']} "
                        f"tile {one['tile']!r}",
                        detail=f"its {column} is {one[column]}, its rows say {right}",
                    ),
                )
                for one, column, right in denied
            ],
        )


def _denied_of_group(
    said: Catalog, group: ChunkGroup, rows: Catalog, tiles: Collection[tuple[int, str]]
) -> Iterator[tuple[dict[str, Any], str, object]]:
    """Yield what a chunk says, the column that its rows deny, and what these say."""
    starts = np.cumsum(group.counts) - group.counts
    times, visits = rows[VISIT_TIME], rows[VISIT_ID]
    of_chunk = zip(
        np.minimum.reduceat(times, starts),
        np.maximum.reduceat(times, starts),
        np.minimum.reduceat(visits, starts).tolist(),
        np.maximum.reduceat(visits, starts).tolist(),
        group.counts.tolist(),
        strict=True,
    )
    for place, of_rows in enumerate(of_chunk):
        one = {name: column[place] for name, column in said.columns.items()}
        for column, right in _denied(one, *of_rows, tiles):
            yield one, column, right


def _denied(  # noqa: PLR0917 - what a chunk says, and what of its rows
    said: dict[str, Any],
    first: np.datetime64,
    last: np.datetime64,
    first_visit: int,
    last_visit: int,
    n_rows: int,
    tiles: Collection[tuple[int, str]],
) -> Iterator[tuple[str, object]]:
    """Yield the columns of a chunk that its rows deny, and what these say."""
    for column, expected in (("firstTime", first), ("lastTime", last),
                             ("nRows", n_rows)):  # fmt: skip
        if said[column] != expected:
            yield column, expected
    tile, tier, visit = str(said["tile"]), int(said["tier"]), int(said["visitId"])
    mark = f"{TIER_MARK}{tier}" if tier else ""
    if tier == TOP_TIER:
        # of a month, or all, the last visit of the pixels that were merged together
        if visit < last_visit:
            yield "visitId", f"{last_visit} or later"
        month = f"{TIER_MARK}{first.astype('datetime64[M]')}"
        if tile not in {month, ALL_TILE}:
            yield "tile", f"{month} or {ALL_TILE}"
    elif not tier and not first_visit == last_visit == visit:
        yield "visitId", last_visit
    elif not tile.startswith(mark) or (visit, tile.removeprefix(mark)) not in tiles:
        yield "tile", f"{mark!r} and one of the visit's tiles"


def digests_of_rows(
    rows: Catalog, pixels: NDArray[np.int32]
) -> dict[tuple[int, int], TableDigest]:
    """Return a digest of the rows of each pixel and visit, given with their pixels."""
    if not len(rows):
        return {}
    order = np.lexsort((rows[VISIT_ID], pixels))
    pixels, visits = pixels[order], rows[VISIT_ID][order]
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = (pixels[1:] != pixels[:-1]) | (visits[1:] != visits[:-1])
    hashes = row_hashes(rows, without=(HOME_PIXEL,))[order]
    by_group = digest_by_group(hashes, np.cumsum(is_first))
    keys = zip(pixels[is_first].tolist(), visits[is_first].tolist(), strict=True)
    return dict(zip(keys, by_group.values(), strict=True))


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
