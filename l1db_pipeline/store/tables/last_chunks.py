"""Current DIAObjects packed: one chunk a pixel, rewritten whole by each visit to it.

As rows of DiaObjectLast they cost the largest part of a visit: each UPDATE finds its
row, writes it anew and logs it. A chunk is written as one value, and read as one.

Three tables take part (see `layout`): the chunks, in the format of packed history; the
home of each object, the pixel where it was first stored; and the strays, the pixels in
which objects of another home were ever seen, so that a region misses no object that
moved over the edge of its home. All follow from the versions: `rebuild` makes them
anew.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet, sorted_unique
from l1db_pipeline.schema.model import Table
from l1db_pipeline.sky.htm import home_pixel, radec_to_xyz
from l1db_pipeline.sky.pixelization import htm_ranges, in_region
from l1db_pipeline.store.backends.database import (
    Condition,
    Database,
    KeyExistsError,
    Op,
)
from l1db_pipeline.store.errors import VersionExistsError, some
from l1db_pipeline.store.tables.chunks import ChunkGroup, encode_chunks, group_chunks
from l1db_pipeline.store.tables.current import (
    CurrentObjects,
    Homes,
    NewVersions,
    StaleHomesError,
)
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_TIME, PackedLast
from l1db_pipeline.store.tables.rows import add_empty_columns
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
        self._current = current
        self._tables = tables
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
        groups = self._groups(Condition("pixel", Op.IN_RANGES, ranges))
        more = self._homes_of_strays(ranges)
        if len(more):
            groups += self._groups(Condition("pixel", Op.ONE_OF, more))
        parts, ids = [], []
        for group in groups:
            ra, decl = (group.column(name)[0] for name in ("ra", "decl"))
            keep = np.flatnonzero(in_region(radec_to_xyz(ra, decl), region))
            parts.append(self._unpack(group, columns, keep))
            ids.append(group.column("diaObjectId")[0])
        homes = Homes(_joined(ids, np.int64), _joined(map(_pixels, groups), np.int32))
        return self._concat(parts, columns), homes

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
        return self._homes([Condition("pixel", Op.IN_RANGES, self._ranges(pixels))])

    def _homes(self, where: Sequence[Condition]) -> Homes:
        table = self._tables.homes
        found = self._database.select(table, table.names, where)
        return Homes(found["diaObjectId"], found["pixel"])

    @override
    def in_pixels(self, pixels: _Ids, columns: Sequence[str]) -> Catalog:
        groups = self._groups(Condition("pixel", Op.IN_RANGES, self._ranges(pixels)))
        every = [self._unpack(g, columns, np.arange(len(g))) for g in groups]
        return self._concat(every, columns)

    def _ranges(self, pixels: _Ids) -> _Ids:
        lows = pixels.astype(np.int64) << self._shift
        return np.stack([lows, lows + (1 << self._shift)], axis=1)

    def _groups(self, where: Condition) -> list[ChunkGroup]:
        found = self._database.select(self._tables.chunks, ["pixel", "data"], [where])
        chunks = zip(found["pixel"].tolist(), found["data"].tolist(), strict=True)
        return group_chunks(LAST_NAME, [(pixel, raw) for pixel, raw in chunks if raw])

    def _unpack(
        self, group: ChunkGroup, columns: Sequence[str], keep: NDArray[np.intp]
    ) -> Catalog:
        held = set(group.names)
        present = [name for name in dict.fromkeys(columns) if name in held]
        if not present:
            return Catalog({"diaObjectId": group.column("diaObjectId", keep)[0]})
        return group.catalog(present, keep)

    def _concat(self, parts: Sequence[Catalog], columns: Sequence[str]) -> Catalog:
        names = list(dict.fromkeys(columns))
        full = [add_empty_columns(self._current, part, names) for part in parts]
        if not full:
            empty = {n: np.empty(0, self._current.column(n).numpy_dtype) for n in names}
            return Catalog(empty)
        return Catalog.concat(full) if len(full) > 1 else full[0]

    @override
    def lock(self, homes: _Pixels) -> None:
        table = self._tables.chunks
        pixels = sorted_unique(homes.astype(np.int64))
        where = [Condition("pixel", Op.ONE_OF, pixels)]
        present = self._database.select(table, ["pixel"], where)["pixel"]
        missing = np.setdiff1d(pixels, present)
        if len(missing):
            # a chunk of nothing, for who else writes the first one to wait for
            nothing = self._chunks(missing, np.zeros(len(missing), "M8[us]"))
            self._database.add_if_absent(table, nothing)
        self._database.lock_rows(table, where)

    @staticmethod
    def _chunks(
        pixels: _Ids,
        times: NDArray[np.datetime64],
        counts: Sequence[int] = (),
        data: Sequence[bytes] = (),
    ) -> Catalog:
        raw = np.empty(len(pixels), dtype=object)
        raw[:] = data or [b""] * len(pixels)
        return Catalog(
            {
                "pixel": pixels.astype(np.int32),
                "lastTime": times,
                "nRows": np.array(counts or [0] * len(pixels), dtype=np.int32),
                "data": raw,
            }
        )

    @override
    def store(self, new: NewVersions, timings: Timings) -> None:
        with timings.step("DiaObjectLast insert") as step:
            step.n_rows = len(new.rows)
            is_new = ~new.is_known
            self._append_homes(new.rows["diaObjectId"][is_new], new.homes[is_new])
            self._note_strays(new.rows, new.homes)
            self.lock(new.homes)
            step.n_bytes = self._write(*self._merged(new))

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

    def _merged(self, new: NewVersions) -> tuple[Catalog, _Pixels]:
        """Return the current objects of the visit's pixels, and their pixels.

        Raises
        ------
        VersionExistsError
            If an object has a version of the same time already.
        """
        names = [n for n in new.rows.names if n in self._kept_names]
        rows, homes = new.rows.select(names), new.homes
        ids = IdSet(rows["diaObjectId"])
        stays = np.ones(len(rows), dtype=np.bool_)
        others, other_homes = [], []
        pixels = sorted_unique(homes.astype(np.int64))
        for group in self._groups(Condition("pixel", Op.ONE_OF, pixels)):
            places = ids.places(group.column("diaObjectId")[0])
            times = group.column(VISIT_TIME)[0]
            same = places[(places >= 0) & (times == new.visit.time)]
            if len(same):
                _refuse(new, rows["diaObjectId"][same])
            is_later = (places >= 0) & (times > new.visit.time)
            stays[places[is_later]] = False
            keep = np.flatnonzero((places < 0) | is_later)
            if len(keep):
                others.append(group.catalog(group.names, keep))
                other_homes.append(_pixels(group)[keep])
        if not others:
            return rows, homes
        every = [rows.take(stays), *others]
        present = {name for part in every for name in part.names}
        names = [name for name in self._current.names if name in present]
        merged = self._concat(every, names)
        pixels_of = np.concatenate([homes[stays], *other_homes])
        order = np.lexsort((merged["diaObjectId"], pixels_of))
        return merged.take(order), pixels_of[order]

    @property
    def _kept_names(self) -> set[str]:
        return {*self._current.names} - {"validityEnd", HOME_PIXEL}

    def _write(self, rows: Catalog, homes: _Pixels) -> int:
        chunks = encode_chunks(LAST_NAME, rows, homes)
        if not chunks:
            return 0
        pixels, counts, data = zip(*chunks, strict=True)
        starts = np.cumsum([0, *counts[:-1]])
        times = np.maximum.reduceat(rows[VISIT_TIME], starts)
        written = self._chunks(np.array(pixels), times, counts, data)
        self._database.upsert(
            self._tables.chunks, written, newest_by="lastTime", blank=()
        )
        return sum(map(len, data))

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
        """Make anew what belongs to pixels of history, in a transaction of its own.

        Parameters
        ----------
        pixels
            Pixels of history.
        latest
            The latest version of each object of theirs, with own columns.
        """
        homes, ranges = self._new_homes(latest), self._ranges(pixels)
        within = [Condition("pixel", Op.IN_RANGES, ranges)]
        old = self.homes_in(pixels)
        chunks = self._database.select(self._tables.chunks, ["pixel"], within)
        ids = np.concatenate([old.ids, latest["diaObjectId"]])
        for table, name, values in (
            (self._tables.chunks, "pixel", chunks["pixel"]),
            (self._tables.homes, "diaObjectId", ids),
        ):
            self._database.delete(table, [Condition(name, Op.ONE_OF, values)])
        if not len(latest):
            return
        order = np.lexsort((latest["diaObjectId"], homes))
        rows, homes = latest.take(order), homes[order]
        self._append_homes(rows["diaObjectId"], homes)
        self._note_strays(rows, homes)
        kept = [name for name in rows.names if name in self._kept_names]
        self._write(rows.select(kept), homes)

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


def _pixels(group: ChunkGroup) -> _Pixels:
    return np.repeat(group.pixels, group.counts)


def _joined(parts: Iterator[Any] | list[Any], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts])


def _refuse(new: NewVersions, ids: _Ids) -> None:
    visit = new.visit
    raise VersionExistsError(
        f"visit {visit.key.visit_id} DiaObject",
        f"an object has a version that starts at {visit.time} already "
        f"(objects {some(ids.tolist())})",
        "visits and tiles that share an object need different times",
    )
