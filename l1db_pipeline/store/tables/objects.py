"""DIAObject versions: what is current, what was, and what a visit adds, in every mode.

========================  =======================  ==============================
Index mode                current versions         end of a version
========================  =======================  ==============================
``baseline``,             ``validityEnd IS NULL``  written when the next comes
``htm20_id_iov``
``last_object_table``     DiaObjectLast, in rows   the next version's start
                          or chunks
========================  =======================  ==============================

With ``dia_object_nightly`` new versions are in DiaObjectNightly until the merge, and
everything here looks in both tables. A visit of an earlier time than one that is
stored already is put in its place: its versions end where the next ones start.
"""

from collections.abc import Callable, Sequence

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.schema.model import Table
from l1db_pipeline.schema.times import TIME_RANGES
from l1db_pipeline.sky.htm import home_pixel
from l1db_pipeline.sky.pixelization import htm_ranges
from l1db_pipeline.store.backends.database import (
    Condition,
    Database,
    KeyExistsError,
    Op,
)
from l1db_pipeline.store.errors import UnknownObjectError, VersionExistsError, some
from l1db_pipeline.store.tables.bookkeeping import FilledColumns
from l1db_pipeline.store.tables.current import (
    CurrentObjects,
    LastRows,
    NewVersions,
    OpenVersions,
    trim,
)
from l1db_pipeline.store.tables.last_chunks import LastChunks
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_ID, VISIT_TIME, Layout
from l1db_pipeline.store.tables.rows import (
    by_pixel_and_object,
    read_rows,
    with_constants,
)
from l1db_pipeline.store.timing import Timings
from l1db_pipeline.store.validate import CheckedVisit

__all__ = [
    "HomePixels",
    "ObjectTables",
    "latest_versions",
    "pixels_of_sources",
    "with_ends",
]


_N_BLOCKS = 4
_Ids = NDArray[np.int64]


class HomePixels:
    """Home pixels of objects read lately; never wrong, for they never change."""

    def __init__(self) -> None:
        self._blocks: list[tuple[IdSet, NDArray[np.int32]]] = []

    def clear(self) -> None:
        """Forget all, after the tables were dropped."""
        self._blocks.clear()

    def add(self, ids: _Ids, pixels: NDArray[np.int32]) -> None:
        """Remember the objects of one read."""
        if len(ids):
            self._blocks = [(IdSet(ids), pixels.copy()), *self._blocks[: _N_BLOCKS - 1]]

    def find(self, ids: _Ids) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return the pixels of objects and which of them are known."""
        pixels = np.zeros(len(ids), dtype=np.int32)
        known = np.zeros(len(ids), dtype=np.bool_)
        for block_ids, block_pixels in self._blocks:
            rows = np.flatnonzero(~known)
            if not len(rows):
                break
            places = block_ids.places(ids[rows])
            same = places >= 0
            pixels[rows[same]] = block_pixels[places[same]]
            known[rows[same]] = True
        return pixels, known


def pixels_of_sources(
    name: str,
    visit: CheckedVisit,
    rows: Catalog,
    own: HomePixels,
    *,
    level: int,
    look_up: Callable[[_Ids], tuple[NDArray[np.int32], NDArray[np.bool_]]],
) -> NDArray[np.int32]:
    """Return the pixel of history to which each source of a visit belongs.

    Parameters
    ----------
    name, visit, rows
        The table, and the visit's rows of it.
    own
        Pixels of the visit's own objects.
    level
        HTM level of pixels of history: a source without object has its own pixel.
    look_up
        Returns the pixels of other objects, and which of them exist.

    Raises
    ------
    UnknownObjectError
        If a source's object is neither in the visit nor in the database.
    """
    if "diaObjectId" not in rows:
        lone = np.ones(len(rows), dtype=np.bool_)
        ids = np.zeros(len(rows), dtype=np.int64)
    else:
        lone, ids = rows.null_mask("diaObjectId"), rows["diaObjectId"]
    pixels, known = own.find(ids)
    others = ~known & ~lone
    if others.any():
        pixels[others], exists = look_up(ids[others])
        if not exists.all():
            unknown = np.unique(ids[others][~exists])
            raise UnknownObjectError(
                f"visit {visit.key.visit_id} {name} column diaObjectId",
                f"no object {some(unknown.tolist())} is in the visit or stored",
                "give the object's version too, or NULL for a source without one",
            )
    if lone.any():
        pixels[lone] = home_pixel(rows["htmId20"][lone], level)
    return pixels


class ObjectTables:
    """DiaObject, DiaObjectNightly and DiaObjectLast as one."""

    def __init__(
        self,
        database: Database,
        layout: Layout,
        config: L1dbConfig,
        filled: FilledColumns,
    ) -> None:
        self._database = database
        self._layout = layout
        self._config = config
        self._filled = filled
        self.current = self._choose()
        self.homes = HomePixels()

    def _choose(self) -> CurrentObjects:
        layout, common = self._layout, (self._database, self._config, self._filled)
        if layout.packed_last is not None:
            return LastChunks(self._database, layout.current, layout.packed_last)
        if layout.last is not None:
            return LastRows(*common, layout, layout.last)
        can_close = layout.daytime is not None
        return OpenVersions(*common, self.version_tables, can_close=can_close)

    @property
    def history_level(self) -> int:
        """HTM level of the pixels of history."""
        return self._config.history_pixel_level

    @property
    def _is_last_mode(self) -> bool:
        return self._config.dia_object_index is ObjectIndex.LAST_OBJECT_TABLE

    def forget(self) -> None:
        """Forget what was read, after the tables were dropped."""
        self.homes.clear()
        self.current.forget()

    @property
    def version_tables(self) -> tuple[Table, ...]:
        """The tables that hold versions: DiaObject, and DiaObjectNightly if used."""
        nightly = self._layout.nightly
        return (self._layout.objects,) if nightly is None else (
            self._layout.objects, nightly
        )  # fmt: skip

    @property
    def naming_tables(self) -> tuple[Table, ...]:
        """The smallest tables that between them name every object."""
        if self._layout.packed_last is not None:
            return (self._layout.packed_last.homes,)
        last = self._layout.last
        return self.version_tables if last is None else (last,)

    def last_id(self) -> int:
        """Return the largest id of an object, 0 if there is none."""
        found = [self._database.maximum(t, "diaObjectId") for t in self.naming_tables]
        return max((i for i in found if i is not None), default=0)

    def read_current(self, region: Region, columns: Sequence[str]) -> Catalog:
        """Return current versions inside a region, exactly trimmed."""
        found, homes = self.current.in_region(region, columns)
        self.homes.add(homes.ids, homes.pixels)
        return found

    def found(
        self, region: Region, columns: Sequence[str], hidden_visit: int | None
    ) -> Catalog:
        """Return what is current, without a visit's own if its id is given."""
        if hidden_visit is None or hidden_visit < 0:
            return self.read_current(region, columns)
        return self.read_without(region, columns, hidden_visit)

    def read_without(
        self, region: Region, columns: Sequence[str], visit_id: int
    ) -> Catalog:
        """Return what `read_current` would, had a visit stored nothing."""
        needed = list(dict.fromkeys([*columns, "diaObjectId", "ra", "decl", VISIT_ID]))
        current = self.read_current(region, needed)
        current = current.take(current[VISIT_ID] != visit_id)
        # what it has superseded is among the versions only; it may have moved an
        # object out of the region, or into it
        ranges = htm_ranges(region, max_ranges=self._config.htm_max_ranges)
        within = Condition("htmId20", Op.IN_RANGES, ranges)
        versions = self.read_versions([within], ["diaObjectId", VISIT_ID])
        ids = np.unique(versions["diaObjectId"][versions[VISIT_ID] != visit_id])
        others = np.setdiff1d(ids, current["diaObjectId"])
        versions = self.of_objects(others, [*needed, "validityStart"])
        latest = latest_versions(versions)
        changed = latest["diaObjectId"][latest[VISIT_ID] == visit_id]
        is_older = versions[VISIT_ID] != visit_id
        is_older &= np.isin(versions["diaObjectId"], changed)
        older = trim(latest_versions(versions.take(is_older)), region).select(columns)
        if "validityEnd" in columns:  # the visit has closed them
            nulls = {"validityEnd": np.ones(len(older), dtype=np.bool_)}
            older = Catalog(older.columns, {**older.nulls, **nulls})
        return Catalog.concat([current.select(columns), older])

    def read_versions(
        self, where: Sequence[Condition], columns: Sequence[str]
    ) -> Catalog:
        """Return versions as the tables hold them, old and new, in no order."""
        return Catalog.concat(
            [
                read_rows(self._database, self._filled, table, columns, where)
                for table in self.version_tables
            ]
        )

    def read_at(
        self, region: Region, columns: Sequence[str], time: np.datetime64
    ) -> Catalog:
        """Return the versions valid at a past time inside a region."""
        start = self._layout.objects.column("validityStart")
        time = min(time, TIME_RANGES[start.datatype][1])  # drivers know no later ones
        started = Condition("validityStart", Op.LESS, time + 1)
        ranges = htm_ranges(region, max_ranges=self._config.htm_max_ranges)
        within = Condition("htmId20", Op.IN_RANGES, ranges)
        inside = self.read_versions([within, started], ["diaObjectId", HOME_PIXEL])
        ids = np.unique(inside["diaObjectId"])
        needed = [*columns, "ra", "decl", "diaObjectId", "validityStart", "validityEnd"]
        versions = with_ends(self.of_objects(ids, needed))
        valid = versions["validityStart"] <= time
        ended = ~versions.null_mask("validityEnd") & (versions["validityEnd"] <= time)
        return trim(versions.take(valid & ~ended), region).select(columns)

    def of_objects(self, ids: _Ids, columns: Sequence[str]) -> Catalog:
        """Return all versions of objects, in no order."""
        where = [Condition("diaObjectId", Op.ONE_OF, ids)]
        if self._is_last_mode:
            pixels = np.unique(self.home_pixels_of(ids)[0])
            where = [Condition(HOME_PIXEL, Op.ONE_OF, pixels), *where]
        return self.read_versions(where, columns)

    def home_pixels_of(self, ids: _Ids) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return the pixels that hold objects' history and which objects exist."""
        homes, known = self._homes_of(ids)
        return self._of_history(homes), known

    def _of_history(self, homes: NDArray[np.int32]) -> NDArray[np.int32]:
        shift = 2 * (self.current.level - self._config.history_pixel_level)
        return homes >> np.int32(shift)

    def _homes_of(self, ids: _Ids) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        homes, known = self.homes.find(ids)
        rows = np.flatnonzero(~known)
        if len(rows):
            found = self.current.homes_of(ids[rows])
            self.homes.add(found.ids, found.pixels)
            # not from `homes`, which may have forgotten for these what it knew above
            read = HomePixels()
            read.add(found.ids, found.pixels)
            homes[rows], known[rows] = read.find(ids[rows])
        return homes, known

    def resolve(
        self, visit: CheckedVisit, *, trust_cache: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Return homes of a visit's objects, pixels of its sources and forced sources.

        An object that the database lacks has its home where the visit saw it; a
        source without object has its own. With ``trust_cache`` objects that were not
        read lately are taken for new without asking, if others were read lately:
        `store` raises `StaleHomesError` if one is not.

        Raises
        ------
        UnknownObjectError
            If a source's object is neither in the visit nor in the database.
        """
        ids = visit.objects["diaObjectId"]
        homes, known = self.homes.find(ids)
        if not (trust_cache and known.any() and self._is_last_mode):
            homes, known = self._homes_of(ids)
        new = ~known
        homes[new] = home_pixel(visit.objects["htmId20"][new], self.current.level)
        own = HomePixels()
        own.add(ids, self._of_history(homes))
        level = self._config.history_pixel_level
        sources, forced = (
            pixels_of_sources(
                name, visit, rows, own, level=level, look_up=self.home_pixels_of
            )
            for name, rows in (
                ("DiaSource", visit.sources),
                ("DiaForcedSource", visit.forced),
            )
        )
        return homes, sources, forced

    def remember(self, visit: CheckedVisit, homes: NDArray[np.int32]) -> None:
        """Remember the homes of a visit that was committed."""
        self.homes.add(visit.objects["diaObjectId"], homes)

    def store(
        self,
        visit: CheckedVisit,
        homes: NDArray[np.int32],
        timings: Timings,
        *,
        is_late: bool,
    ) -> NewVersions:
        """Add a visit's versions; `make_current` is to follow, last of its tables."""
        order = by_pixel_and_object(visit.objects, homes)
        objects, homes = visit.objects.take(order), homes[order]
        rows = with_constants(
            objects,
            {
                "validityStart": visit.time,
                VISIT_ID: np.int64(visit.key.visit_id),
                HOME_PIXEL: self._of_history(homes),
            },
        )
        is_known = self.homes.find(rows["diaObjectId"])[1]
        if not self._is_last_mode:
            with timings.step("DiaObject truncate") as step:
                rows, step.n_rows = self._close(rows, visit.time, is_late=is_late)
        target = self._layout.nightly or self._layout.objects
        is_keyed_by_place = self._config.dia_object_index is ObjectIndex.HTM20_ID_IOV
        if is_late or is_keyed_by_place or self._layout.nightly is not None:
            self._refuse_same_time(visit, rows, most=0)
        with timings.step(f"{target.name} insert") as step:
            step.n_rows = len(rows)
            self._filled.note(target, rows)
            try:
                self._database.append(target, rows)
            except KeyExistsError as error:
                raise _same_time_error(visit, error.problem) from error
        rows = with_constants(rows, {VISIT_TIME: visit.time})
        return NewVersions(visit=visit, rows=rows, homes=homes, is_known=is_known)

    def make_current(
        self, new: NewVersions, timings: Timings, *, is_late: bool
    ) -> None:
        """Make versions that were added the current ones, where no later one is."""
        self.current.store(new, timings)
        if is_late and self._layout.packed_last is not None:
            # now that its pixels are locked: a visit of the same time may have been
            # stored since it looked, and its versions not be in the chunks any more
            self._refuse_same_time(new.visit, new.rows, most=1)

    def _refuse_same_time(
        self, visit: CheckedVisit, rows: Catalog, *, most: int
    ) -> None:
        """Look where no key does: nightly table, other places, late visits.

        ``most`` is how many versions of this time an object has if all is right.
        """
        ids = Condition("diaObjectId", Op.ONE_OF, rows["diaObjectId"])
        start = Condition("validityStart", Op.EQUAL, visit.time)
        ledger = self._layout.ledger
        same_time = [Condition("visitTime", Op.EQUAL, visit.time)]
        if self._database.count(ledger, same_time) < 2:
            return
        homes = Condition(HOME_PIXEL, Op.ONE_OF, np.unique(rows[HOME_PIXEL]))
        where = [start, homes, ids]
        found = self.read_versions(where, ["diaObjectId"])["diaObjectId"]
        each, counts = np.unique(found, return_counts=True)
        if (counts > most).any():
            shown = some(each[counts > most].tolist())
            raise _same_time_error(visit, f"objects {shown}")

    def _close(
        self, rows: Catalog, time: np.datetime64, *, is_late: bool
    ) -> tuple[Catalog, int]:
        """End the versions that a visit follows; return its rows with their ends."""
        ids = Condition("diaObjectId", Op.ONE_OF, rows["diaObjectId"])
        before = Condition("validityStart", Op.LESS, time)
        is_open = Condition("validityEnd", Op.IS_NULL)
        where = [[ids, before, is_open]]
        if is_late:
            rows = self._with_late_ends(rows, time)
            where.append([ids, before, Condition("validityEnd", Op.AFTER, time)])
        n_closed = 0
        for table in self.version_tables:
            for conditions in where:
                n_closed += self._database.set_value(
                    table, "validityEnd", time, conditions
                )
            if n_closed:
                self._filled.note_value(table, "validityEnd")
        return rows, n_closed

    def _with_late_ends(self, rows: Catalog, time: np.datetime64) -> Catalog:
        where = [
            Condition("diaObjectId", Op.ONE_OF, rows["diaObjectId"]),
            Condition("validityStart", Op.AFTER, time),
        ]
        later = self.read_versions(where, ["diaObjectId", "validityStart"])
        ids, starts = later["diaObjectId"], later["validityStart"]
        order = np.lexsort((starts, ids))
        first_ids, places = np.unique(ids[order], return_index=True)
        first_starts = starts[order][places]
        place = np.searchsorted(first_ids, rows["diaObjectId"])
        place[place == len(first_ids)] = 0
        if not len(first_ids):
            return rows
        has_later = first_ids[place] == rows["diaObjectId"]
        return Catalog(
            {**rows.columns, "validityEnd": first_starts[place]},
            {**rows.nulls, "validityEnd": ~has_later},
        )


def with_ends(versions: Catalog) -> Catalog:
    """Order versions by object and time, and end each where the next one starts.

    An end that was set before that is kept: the object was closed then.
    """
    ids, starts = versions["diaObjectId"], versions["validityStart"]
    ordered = versions.take(np.lexsort((starts, ids)))
    ids, starts = ordered["diaObjectId"], ordered["validityStart"]
    ends, own = np.roll(starts, -1), ordered["validityEnd"]
    is_last = np.ones(len(ids), dtype=np.bool_)
    is_last[:-1] = ids[1:] != ids[:-1]
    is_set = ~ordered.null_mask("validityEnd")
    is_own = is_set & (is_last | (own < ends))
    nulls = {**ordered.nulls, "validityEnd": is_last & ~is_set}
    ends = np.where(is_own, own, ends)
    return Catalog({**ordered.columns, "validityEnd": ends}, nulls)


def _same_time_error(visit: CheckedVisit, problem: str) -> VersionExistsError:
    return VersionExistsError(
        f"visit {visit.key.visit_id} DiaObject",
        f"an object has a version that starts at {visit.time} already ({problem})",
        "visits and tiles that share an object need different times",
    )


def latest_versions(versions: Catalog) -> Catalog:
    """Return the latest version of each object, ordered by object."""
    ids = versions["diaObjectId"]
    order = np.lexsort((versions["validityStart"], ids))
    is_last = np.ones(len(ids), dtype=np.bool_)
    is_last[:-1] = ids[order][1:] != ids[order][:-1]
    return versions.take(order[is_last])
