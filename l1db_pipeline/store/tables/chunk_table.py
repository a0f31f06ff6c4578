"""A table of chunks: write-once, merged by tiers, deleted by key."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import sorted_unique
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.base import VisitKey
from l1db_pipeline.store.errors import DatabaseError
from l1db_pipeline.store.tables.chunk_group import ChunkGroup
from l1db_pipeline.store.tables.chunks import encode_chunks, group_chunks
from l1db_pipeline.store.tables.layout import VISIT_ID, VISIT_TIME
from l1db_pipeline.store.tables.tiers import TIER_MARK, TOP_TIER, Tiers

__all__ = ["ChunkTable", "Edit"]

_KEY = ("pixel", "visitId", "tile")
_HELD = ("pixel", "tier", "nRows", "firstTime", "lastTime")

Join = Callable[
    [Sequence[ChunkGroup], Catalog, NDArray[np.int32]],
    tuple[Catalog, NDArray[np.int32]],
]
"""From chunks, new rows and the pixels of these to all rows and their pixels."""
Edit = Callable[[ChunkGroup], Catalog | None]
"""From a chunk to all of its rows as they are to be, `None` to leave it."""


class ChunkTable:
    """The chunks of one table.

    Parameters
    ----------
    database, table
        Where they are.
    of_table
        Name of the table whose rows they hold.
    tiers
        When they are merged.
    dictionary
        Column of ids that merged chunks hold as places in a list.
    """

    def __init__(
        self,
        database: Database,
        table: Table,
        of_table: str,
        tiers: Tiers,
        dictionary: str = "",
    ) -> None:
        self.table = table
        self._database = database
        self._of_table = of_table
        self._tiers = tiers
        self._dictionary = dictionary

    def held(self, pixels: NDArray[np.int64]) -> Catalog:
        """Return what chunks pixels have: pixel, tier, rows and times of each."""
        here = [Condition("pixel", Op.ONE_OF, pixels)]
        return self._database.select(self.table, _HELD, here)

    def add(
        self,
        rows: Catalog,
        homes: NDArray[np.int32],
        key: VisitKey,
        join: Join,
        held: Catalog | None = None,
    ) -> int:
        """Write a chunk a pixel, joined with those that are due; return the bytes.

        Parameters
        ----------
        rows, homes
            A visit's rows, ordered by pixel, and the pixel of each.
        key
            The visit.
        join
            Makes one of the chunks to be merged and of the rows.
        held
            What `held` says of the pixels, if it was asked before.
        """
        pixels = sorted_unique(homes.astype(np.int64))
        time = rows[VISIT_TIME][0]
        held = self.held(pixels) if held is None else held
        due = self._tiers.due(pixels, self._tiers.mergeable(held, time))
        tiers = np.array([due.get(p, 0) for p in pixels.tolist()], dtype=np.int64)
        of_row = tiers[np.searchsorted(pixels, homes)]
        total = 0
        for tier in np.unique(tiers).tolist():
            part, part_homes = rows.take(of_row == tier), homes[of_row == tier]
            if tier:
                within = self._tiers.span(time)
                old = self.take(pixels[tiers == tier], tier, within)
                part, part_homes = join(old, part, part_homes)
            total += self.write(part, part_homes, key.visit_id, key.tile, tier=tier)
        return total

    def read(self, where: Sequence[Condition]) -> list[ChunkGroup]:
        """Return the checked chunks for which all conditions hold."""
        found = self._database.select(self.table, ("pixel", "data"), where)
        return self._grouped(found)

    def take(
        self, pixels: NDArray[np.int64], tier: int, within: Sequence[Condition] = ()
    ) -> list[ChunkGroup]:
        """Return the chunks of lower tiers than one, and delete just these.

        Those that another merge has in hand are left to it: what is deleted is what
        was read, key by key, so that no row is lost or kept twice.
        """
        lower = [Condition("pixel", Op.ONE_OF, pixels),
                 Condition("tier", Op.LESS, tier), *within]  # fmt: skip
        found = self._database.select_free(self.table, (*_KEY, "data"), lower)
        self._database.delete_keys(self.table, found.select(_KEY))
        return self._grouped(found)

    def change(self, where: Sequence[Condition], edit: Edit) -> int:
        """Give every chunk that conditions choose, and replace those that change.

        Chunks keep their keys and tiers; one that loses all rows is deleted.

        Parameters
        ----------
        where
            Which chunks.
        edit
            Returns all of a chunk's rows as they are to be, or `None` to leave it.

        Returns
        -------
        n_chunks
            How many were chosen.
        """
        found = self._hold(where)
        empty, replaced = [], []
        for place in range(len(found)):
            one = found.take(np.array([place]))
            (group,) = self._grouped(one)
            rows = edit(group)
            if rows is None:
                continue
            if not len(rows):
                empty.append(one.select(_KEY))
                continue
            pixels = np.full(len(rows), one["pixel"][0], dtype=np.int32)
            tier = int(one["tier"][0])
            packed = self._packed(rows, pixels, tier)
            names = ("firstTime", "lastTime", "nRows", "data")
            new = packed.select(names).columns
            replaced.append(Catalog({**one.select(_KEY).columns, **new}))
        if empty:
            self._database.delete_keys(self.table, Catalog.concat(empty))
        if replaced:
            every = Catalog.concat(replaced)
            n_set = self._database.set_rows(self.table, every, keys=_KEY)
            if n_set != len(every):
                raise DatabaseError(
                    f"{self._database.place} {self.table.name}",
                    f"{len(every) - n_set} chunks went away while they were changed",
                )
        return len(found)

    def _hold(self, where: Sequence[Condition]) -> Catalog:
        """Lock chunks and return them, when no merge has them in hand any more.

        What is locked is what was there when the statement began: a chunk that a
        merge has made meanwhile is found, and locked, by the next turn.
        """
        names = (*_KEY, "tier", "data")
        held = None
        while True:
            self._database.lock_rows(self.table, where)
            found = self._database.select(self.table, _KEY, where)
            keys = set(zip(*(found[n].tolist() for n in _KEY), strict=True))
            if keys == held:
                return self._database.select(self.table, names, where)
            held = keys

    def put(
        self, rows: Catalog, pixels: NDArray[np.int32], join: Join, tile: str
    ) -> None:
        """Add rows of any visits to a merged chunk of their pixel.

        Parameters
        ----------
        rows, pixels
            Ordered by pixel, and the pixel of each.
        join
            Makes one of a chunk and of rows.
        tile
            The name of the chunk.
        """
        for pixel in np.unique(pixels).tolist():
            part, here = rows.take(pixels == pixel), pixels[pixels == pixel]
            chunk_id = int(part[VISIT_ID].max())
            where = [
                Condition("pixel", Op.EQUAL, pixel),
                Condition("visitId", Op.EQUAL, chunk_id),
                Condition("tile", Op.EQUAL, tile),
            ]

            def joined(
                group: ChunkGroup, part: Catalog = part, here: Any = here
            ) -> Catalog:
                return join([group], part, here)[0]

            if not self.change(where, joined):
                whole, all_pixels = join([], part, here)
                self.write(whole, all_pixels, chunk_id, tile, tier=TOP_TIER)

    def _grouped(self, found: Catalog) -> list[ChunkGroup]:
        chunks = zip(found["pixel"].tolist(), found["data"].tolist(), strict=True)
        return group_chunks(self._of_table, list(chunks))

    def write(
        self,
        rows: Catalog,
        pixels: NDArray[np.int32],
        chunk_id: int,
        tile: str,
        *,
        tier: int = 0,
    ) -> int:
        """Pack rows that are ordered by pixel and visit; return the bytes.

        ``tile`` of a chunk of a higher tier gets the mark and the tier before it,
        unless it has the mark.
        """
        if not len(rows):
            return 0
        if tier and not tile.startswith(TIER_MARK):
            tile = f"{TIER_MARK}{tier}{tile}"
        packed = self._packed(rows, pixels, tier)
        n_chunks = len(packed)
        columns: dict[str, NDArray[Any]] = {
            "visitId": np.full(n_chunks, chunk_id, dtype=np.int64),
            "tile": _objects([tile] * n_chunks),
            "tier": np.full(n_chunks, tier, dtype=np.int32),
            **packed.columns,
        }
        self._database.append(self.table, Catalog(columns))
        return sum(map(len, packed["data"].tolist()))

    def _packed(self, rows: Catalog, pixels: NDArray[np.int32], tier: int) -> Catalog:
        """Return a chunk a pixel: its pixel, times, number of rows and bytes."""
        chunks = encode_chunks(
            self._of_table,
            rows,
            pixels,
            segments=rows[VISIT_ID] if tier else None,
            dictionary=self._dictionary if tier else "",
        )
        times = rows[VISIT_TIME]
        stops = np.cumsum([n_rows for _, n_rows, _ in chunks])
        starts = stops - [n_rows for _, n_rows, _ in chunks]
        return Catalog(
            {
                "pixel": np.array([pixel for pixel, _, _ in chunks], dtype=np.int32),
                "firstTime": np.minimum.reduceat(times, starts),
                "lastTime": np.maximum.reduceat(times, starts),
                "nRows": (stops - starts).astype(np.int32),
                "data": _objects([raw for _, _, raw in chunks]),
            }
        )


def _objects(items: Sequence[Any]) -> NDArray[np.object_]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array
