"""Current DIAObjects packed: what each visit wrote of a pixel, merged by tiers.

As rows of DiaObjectLast they cost the largest part of a visit: each UPDATE finds its
row, rewrites it and logs it. A chunk is written once, as one value. An object may
be in several chunks of its pixel: the latest is the current one, merges drop the
others. Every row says whether its object had a version before, and of an object's rows
at most one says no; so only objects with a row that says yes can have several.

Four tables take part (see `layout`): the chunks, in the format of packed history; the
home of each object, the pixel where it was first stored; the strays, the pixels in
which objects of another home were ever seen, so that a region misses no object that
moved over the edge of its home; and what those lock who add to a pixel. All follow
from the versions: `rebuild` restores them.
"""

from collections.abc import Sequence

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet, sorted_unique
from l1db_pipeline.schema.model import Table
from l1db_pipeline.sky.htm import home_pixel
from l1db_pipeline.sky.pixelization import htm_ranges
from l1db_pipeline.store.backends.database import (
    Condition,
    Database,
    KeyExistsError,
    Op,
)
from l1db_pipeline.store.errors import VersionExistsError, some
from l1db_pipeline.store.tables.chunk_table import ChunkTable
from l1db_pipeline.store.tables.current import (
    CurrentObjects,
    Homes,
    NewVersions,
    StaleHomesError,
)
from l1db_pipeline.store.tables.layout import (
    HOME_PIXEL,
    VISIT_ID,
    VISIT_TIME,
    PackedLast,
)
from l1db_pipeline.store.tables.packed_objects import IS_KNOWN, PackedObjects
from l1db_pipeline.store.tables.row_places import RowChanges
from l1db_pipeline.store.tables.rows import with_constants
from l1db_pipeline.store.tables.tiers import ALL_TILE, CURRENT_TIERS, TOP_TIER
from l1db_pipeline.store.timing import Timings

__all__ = ["LAST_NAME", "LastChunks"]

LAST_NAME = "DiaObjectLast"
_COVER_RANGES = 4096  # few pixels too many cost more than the ranges
_Ids = NDArray[np.int64]
_Pixels = NDArray[np.int32]


class LastChunks(CurrentObjects):
    """The chunks of current objects."""

    def __init__(
        self,
        database: Database,
        current: Table,
        tables: PackedLast,
    ) -> None:
        self.level = tables.level
        self._shift = tables.shift
        self._database = database
        self._packed = PackedObjects(current, has_ends=tables.has_ends)
        self._tables = tables
        self._chunks = ChunkTable(database, tables.chunks, LAST_NAME, CURRENT_TIERS)
        self._strays: set[int] = set()

    @property
    def table(self) -> Table:
        """The table of chunks."""
        return self._tables.chunks

    def pixels_of_history(self) -> set[int]:
        """Return the pixels of history that have a chunk."""
        pixels = self._database.count_by(self._tables.chunks, "pixel")
        return {pixel >> self._shift for pixel in pixels}

    @override
    def forget(self) -> None:
        self._strays.clear()

    @override
    def in_region(
        self, region: Region, columns: Sequence[str]
    ) -> tuple[Catalog, Homes]:
        ranges = htm_ranges(region, self.level, _COVER_RANGES)
        groups = self._chunks.read([Condition("pixel", Op.IN_RANGES, ranges)])
        more = self._homes_of_strays(ranges)
        if len(more):
            groups += self._chunks.read([Condition("pixel", Op.ONE_OF, more)])
        return self._packed.in_region(groups, region, columns)

    def _homes_of_strays(self, ranges: _Ids) -> _Ids:
        """Return the homes out of some ranges of objects that may be in them."""
        where = [Condition("pixel", Op.IN_RANGES, ranges)]
        found = self._database.select(self._tables.strays, ["homePixel"], where)
        homes = np.unique(found["homePixel"]).astype(np.int64)
        place = np.searchsorted(ranges[:, 0], homes, side="right") - 1
        is_inside = (place >= 0) & (homes < ranges[place, 1])
        outside: _Ids = homes[~is_inside]
        return outside

    @override
    def homes_of(self, ids: _Ids) -> Homes:
        where = [Condition("diaObjectId", Op.ONE_OF, ids)]
        return self._homes(where)

    def homes_in(self, pixels: _Ids) -> Homes:
        """Return the homes within pixels of history."""
        return self._homes([self.of_history(pixels)])

    def _homes(self, where: Sequence[Condition]) -> Homes:
        table = self._tables.homes
        found = self._database.select(table, table.names, where)
        return Homes(found["diaObjectId"], found["pixel"])

    @override
    def in_pixels(self, pixels: _Ids, columns: Sequence[str]) -> Catalog:
        groups = self._chunks.read([self.of_history(pixels)])
        return self._packed.current(groups, columns)[0]

    @override
    def since(self, time: np.datetime64 | None, columns: Sequence[str]) -> Catalog:
        # an object whose latest version is of the time is in a chunk of that time
        where = [] if time is None else [Condition("lastTime", Op.AT_LEAST, time)]
        return self._packed.current(self._chunks.read(where), columns, since=time)[0]

    def of_history(self, pixels: _Ids) -> Condition:
        """Return the condition that a pixel of ours is within some of history."""
        lows = pixels.astype(np.int64) << self._shift
        ranges = np.stack([lows, lows + (1 << self._shift)], axis=1)
        return Condition("pixel", Op.IN_RANGES, ranges)

    @override
    def lock(self, homes: _Pixels) -> None:
        table = self._tables.locks
        pixels = sorted_unique(homes.astype(np.int64))
        where = [Condition("pixel", Op.ONE_OF, pixels)]
        present = self._database.select(table, ["pixel"], where)["pixel"]
        missing = np.setdiff1d(pixels, present)
        if len(missing):
            rows = Catalog({"pixel": missing.astype(np.int32)})
            self._database.add_if_absent(table, rows)
        self._database.lock_rows(table, where)

    @override
    def store(self, new: NewVersions, timings: Timings) -> None:
        with timings.step("DiaObjectLast insert") as step:
            step.n_rows = len(new.rows)
            is_new = ~new.is_known
            self._append_homes(new.rows["diaObjectId"][is_new], new.homes[is_new])
            self._note_strays(new.rows, new.homes)
            self.lock(new.homes)
            step.n_bytes = self._add(new)

    def _append_homes(self, ids: _Ids, homes: _Pixels) -> None:
        order = np.argsort(ids)
        rows = Catalog({"diaObjectId": ids[order], "pixel": homes[order]})
        try:
            self._database.append(self._tables.homes, rows)
        except KeyExistsError as error:
            raise StaleHomesError(error.place, error.problem) from error

    def _note_strays(self, rows: Catalog, homes: _Pixels) -> None:
        """Register objects that are out of their home, once for each two pixels."""
        pixels = home_pixel(rows["htmId20"], self.level)
        away = np.flatnonzero(pixels != homes)
        pairs = np.unique(pixels[away] << 32 | homes[away].astype(np.int64))
        unknown = [pair for pair in pairs.tolist() if pair not in self._strays]
        if not unknown:
            return
        both = np.array(unknown, dtype=np.int64)
        columns = {"pixel": both >> 32, "homePixel": both & 0xFFFFFFFF}
        table = self._tables.strays
        of_pixels = [Condition("pixel", Op.ONE_OF, np.unique(columns["pixel"]))]
        present = self._database.select(table, table.names, of_pixels)
        registered = present["pixel"].astype(np.int64) << 32 | present["homePixel"]
        missing = Catalog(columns).take(~np.isin(both, registered))
        as_stored = {name: column.astype(np.int32)
                     for name, column in missing.columns.items()}  # fmt: skip
        self._database.add_if_absent(table, Catalog(as_stored))
        # only what was there before: our own may yet be rolled back
        self._strays.update(registered.tolist())

    def _add(self, new: NewVersions) -> int:
        """Write a chunk a pixel, merged with those of the pixel that are due."""
        chunks, key, homes = self._chunks, new.visit.key, new.homes
        rows = new.rows.select(
            [n for n in new.rows.names if n in self._packed.kept.by_name]
        )
        rows = with_constants(rows, {IS_KNOWN: new.is_known.astype(np.int8)})
        pixels = sorted_unique(homes.astype(np.int64))
        held = chunks.held(pixels)
        self._refuse_same_time(new, held)
        return chunks.add(rows, homes, key, self._packed.merged, held)

    def _refuse_same_time(self, new: NewVersions, held: Catalog) -> None:
        """Look in the chunks, as a rule none, whose times meet the visit's.

        Raises
        ------
        VersionExistsError
            If an object has a version of the same time already.
        """
        time = new.visit.time
        meets = (held["firstTime"] <= time) & (held["lastTime"] >= time)
        if not meets.any():
            return
        ids = IdSet(new.rows["diaObjectId"])
        where = [
            Condition("pixel", Op.ONE_OF, np.unique(held["pixel"][meets])),
            Condition("lastTime", Op.AT_LEAST, time),
        ]
        for group in self._chunks.read(where):
            theirs = group.column("diaObjectId")[0]
            same = ids.holds(theirs) & (group.column(VISIT_TIME)[0] == time)
            if same.any():
                _refuse(new, theirs[same])

    @override
    def hold(self, ids: _Ids) -> None:
        self.lock(self.homes_of(ids).pixels)

    @override
    def change(self, versions: Catalog, names: Sequence[str]) -> None:
        kept = self._packed.kept
        wanted = [name for name in names if name in kept]
        if not wanted or not len(versions):
            return
        starts = versions["validityStart"]
        rows = with_constants(versions, {VISIT_TIME: starts})
        changes = RowChanges(kept, rows, ("diaObjectId", VISIT_TIME), wanted)
        pixels = sorted_unique(
            self.homes_of(versions["diaObjectId"]).pixels.astype(np.int64)
        )
        where = [
            Condition("pixel", Op.ONE_OF, pixels),
            Condition("lastTime", Op.AT_LEAST, starts.min()),
        ]
        self._chunks.change(where, changes.changed)

    def merge(self, pixels: _Ids) -> None:
        """Leave one chunk in each pixel, with the latest row of each object."""
        groups = self._chunks.take(pixels, TOP_TIER + 1)
        rows, homes = self._packed.merged(groups, None, np.empty(0, dtype=np.int32))
        last_visit = int(rows[VISIT_ID].max())
        self._chunks.write(rows, homes, last_visit, ALL_TILE, tier=TOP_TIER)

    def unregistered_strays(self, latest: Catalog, homes: Homes) -> _Ids:
        """Return objects that a search of the region where they are would miss."""
        places = IdSet(homes.ids).places(latest["diaObjectId"])
        known = latest.take(places >= 0)
        home = homes.pixels[places[places >= 0]].astype(np.int64)
        now = home_pixel(known["htmId20"], self.level)
        table = self._tables.strays
        where = [Condition("homePixel", Op.ONE_OF, np.unique(home))]
        found = self._database.select(table, table.names, where)
        registered = found["pixel"].astype(np.int64) << 32 | found["homePixel"]
        is_lost = (now != home) & ~np.isin(now << 32 | home, registered)
        lost: _Ids = known["diaObjectId"][is_lost]
        return lost

    def rebuild(self, pixels: _Ids, latest: Catalog) -> None:
        """Rebuild what belongs to pixels of history, in a transaction of its own.

        Parameters
        ----------
        pixels
            Pixels of history.
        latest
            The latest version of each object of theirs, with own columns.
        """
        homes, within = self._new_homes(latest), [self.of_history(pixels)]
        old = self.homes_in(pixels)
        chunks = self._database.select(self._tables.chunks, ["pixel"], within)
        held = np.unique(chunks["pixel"])
        ids = np.concatenate([old.ids, latest["diaObjectId"]])
        for table, name, values in (
            (self._tables.chunks, "pixel", held),
            (self._tables.homes, "diaObjectId", ids),
        ):
            self._database.delete(table, [Condition(name, Op.ONE_OF, values)])
        if not len(latest):
            return
        order = np.lexsort((latest["diaObjectId"], homes))
        rows, homes = latest.take(order), homes[order]
        self._append_homes(rows["diaObjectId"], homes)
        self._note_strays(rows, homes)
        kept = rows.select(
            [name for name in rows.names if name in self._packed.kept.by_name]
        )
        kept = with_constants(kept, {IS_KNOWN: np.int8(0)})
        order = np.lexsort((kept[VISIT_ID], homes))
        last_visit = int(kept[VISIT_ID].max())
        self._chunks.write(
            kept.take(order), homes[order], last_visit, ALL_TILE, tier=TOP_TIER
        )

    def _new_homes(self, latest: Catalog) -> _Pixels:
        """Return homes as they were; of objects that have none, where they are now."""
        known = self.homes_of(latest["diaObjectId"])
        places = IdSet(known.ids).places(latest["diaObjectId"])
        now = home_pixel(latest["htmId20"], self.level)
        was = np.append(known.pixels, 0)[places].astype(np.int64)
        homes = np.where(places >= 0, was, now)
        coarse = latest[HOME_PIXEL].astype(np.int64)
        inside = homes >> self._shift == coarse
        return np.where(inside, homes, coarse << self._shift).astype(np.int32)


def _refuse(new: NewVersions, ids: _Ids) -> None:
    visit = new.visit
    raise VersionExistsError(
        f"visit {visit.key.visit_id} DiaObject",
        f"an object has a version that starts at {visit.time} already "
        f"(objects {some(ids.tolist())})",
        "visits and tiles that share an object need different times",
    )
