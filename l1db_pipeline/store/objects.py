"""DIAObject versions: what is current, what was, and what a visit adds, in every mode.

========================  =======================  ==============================
Index mode                current versions         end of a version
========================  =======================  ==============================
``baseline``,             ``validityEnd IS NULL``  written when the next comes
``htm20_id_iov``
``last_object_table``     rows of DiaObjectLast    the next version's start
========================  =======================  ==============================

With ``dia_object_nightly`` new versions are in DiaObjectNightly until the merge, and
everything here looks in both tables. A visit of an earlier time than one that is
stored already is put in its place: its versions end where the next ones start.
"""

from collections.abc import Sequence

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog import Catalog
from l1db_pipeline.config import L1dbConfig, ObjectIndex
from l1db_pipeline.htm import home_pixel, radec_to_xyz
from l1db_pipeline.id_set import IdSet
from l1db_pipeline.pixelization import htm_ranges, in_region
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.bookkeeping import FilledColumns
from l1db_pipeline.store.database import Condition, Database, KeyExistsError, Op
from l1db_pipeline.store.errors import UnknownObjectError, VersionExistsError, some
from l1db_pipeline.store.layout import HOME_PIXEL, VISIT_ID, VISIT_TIME, Layout
from l1db_pipeline.store.rows import by_pixel_and_object, read_rows, with_constants
from l1db_pipeline.store.validate import PreparedVisit
from l1db_pipeline.timing import Timings

__all__ = ["HomePixels", "ObjectTables", "StaleHomesError", "with_ends"]


class StaleHomesError(KeyExistsError):
    """An object that was taken for new is in the database: ask, and try again."""


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
        self.homes = HomePixels()

    @property
    def version_tables(self) -> tuple[Table, ...]:
        """The tables that hold versions: DiaObject, and DiaObjectNightly if used."""
        nightly = self._layout.nightly
        return (self._layout.objects,) if nightly is None else (
            self._layout.objects, nightly
        )  # fmt: skip

    def read_current(self, region: Region, columns: Sequence[str]) -> Catalog:
        """Return current versions inside a region, exactly trimmed."""
        where = [self._in_region(region)]
        extra = ("ra", "decl", "diaObjectId", HOME_PIXEL)
        found = self.read_all_current(where, [*columns, *extra])
        self.homes.add(found["diaObjectId"], found[HOME_PIXEL])
        return _trim(found, region).select(columns)

    def read_all_current(
        self, where: Sequence[Condition], columns: Sequence[str]
    ) -> Catalog:
        """Return the current versions for which conditions hold, in no order."""
        if self._layout.last is not None:
            return read_rows(
                self._database, self._filled, self._layout.last, columns, where
            )
        is_open = Condition("validityEnd", Op.IS_NULL)
        return self.read_versions([*where, is_open], columns)

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
        started = Condition("validityStart", Op.LESS, time + 1)
        inside = self.read_versions(
            [self._in_region(region), started], ["diaObjectId", HOME_PIXEL]
        )
        ids = np.unique(inside["diaObjectId"])
        needed = [*columns, "ra", "decl", "diaObjectId", "validityStart", "validityEnd"]
        versions = with_ends(self.of_objects(ids, needed))
        valid = versions["validityStart"] <= time
        ended = ~versions.null_mask("validityEnd") & (versions["validityEnd"] <= time)
        return _trim(versions.take(valid & ~ended), region).select(columns)

    def of_objects(self, ids: _Ids, columns: Sequence[str]) -> Catalog:
        """Return all versions of objects, in no order."""
        where = [Condition("diaObjectId", Op.ONE_OF, ids)]
        if self._layout.last is not None:
            pixels = np.unique(self.home_pixels_of(ids)[0])
            where = [Condition(HOME_PIXEL, Op.ONE_OF, pixels), *where]
        return self.read_versions(where, columns)

    def home_pixels_of(self, ids: _Ids) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return home pixels of objects and which of the objects exist."""
        pixels, known = self.homes.find(ids)
        rows = np.flatnonzero(~known)
        if len(rows):
            where = [Condition("diaObjectId", Op.ONE_OF, ids[rows])]
            found = self.read_all_current(where, ["diaObjectId", HOME_PIXEL])
            self.homes.add(found["diaObjectId"], found[HOME_PIXEL])
            # not from `homes`, which may have forgotten for these what it knew above
            read = HomePixels()
            read.add(found["diaObjectId"], found[HOME_PIXEL])
            pixels[rows], known[rows] = read.find(ids[rows])
        return pixels, known

    def resolve(
        self, visit: PreparedVisit, *, trust_cache: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Return home pixels of a visit's objects, sources and forced sources.

        An object that the database lacks has its home where the visit saw it; a
        source without object has its own. With ``trust_cache`` objects that were not
        read lately are taken for new without asking, if others were read lately:
        `store` raises `StaleHomesError` if one is not.

        Raises
        ------
        UnknownObjectError
            If a source's object is neither in the visit nor in the database.
        """
        level = self._config.history_pixel_level
        ids = visit.objects["diaObjectId"]
        homes, known = self.homes.find(ids)
        if not (trust_cache and known.any() and self._layout.last is not None):
            homes, known = self.home_pixels_of(ids)
        new = ~known
        homes[new] = home_pixel(visit.objects["htmId20"][new], level)
        own = HomePixels()
        own.add(ids, homes)
        sources = self._of_sources("DiaSource", visit, visit.sources, own)
        forced = self._of_sources("DiaForcedSource", visit, visit.forced, own)
        return homes, sources, forced

    def _of_sources(
        self, name: str, visit: PreparedVisit, rows: Catalog, own: HomePixels
    ) -> NDArray[np.int32]:
        if "diaObjectId" not in rows:
            lone = np.ones(len(rows), dtype=np.bool_)
            ids = np.zeros(len(rows), dtype=np.int64)
        else:
            lone, ids = rows.null_mask("diaObjectId"), rows["diaObjectId"]
        pixels, known = own.find(ids)
        known &= ~lone
        others = ~known & ~lone
        if others.any():
            pixels[others], exists = self.home_pixels_of(ids[others])
            if not exists.all():
                unknown = np.unique(ids[others][~exists])
                raise UnknownObjectError(
                    f"visit {visit.key.visit_id} {name} column diaObjectId",
                    f"no object {some(unknown.tolist())} is in the visit or stored",
                    "give the object's version too, or NULL for a source without one",
                )
        if lone.any():
            level = self._config.history_pixel_level
            pixels[lone] = home_pixel(rows["htmId20"][lone], level)
        return pixels

    def remember(self, visit: PreparedVisit, homes: NDArray[np.int32]) -> None:
        """Remember the homes of a visit that was committed."""
        self.homes.add(visit.objects["diaObjectId"], homes)

    def store(
        self,
        visit: PreparedVisit,
        homes: NDArray[np.int32],
        timings: Timings,
        *,
        is_late: bool,
    ) -> None:
        """Add a visit's versions and bring the current ones up to date."""
        order = by_pixel_and_object(visit.objects, homes)
        objects = visit.objects.take(order)
        rows = with_constants(
            objects,
            {
                "validityStart": visit.time,
                VISIT_ID: np.int64(visit.key.visit_id),
                HOME_PIXEL: homes[order],
            },
        )
        if self._layout.last is None:
            with timings.step("DiaObject truncate") as step:
                rows, step.n_rows = self._close(rows, visit.time, is_late=is_late)
        target = self._layout.nightly or self._layout.objects
        is_keyed_by_place = self._config.dia_object_index is ObjectIndex.HTM20_ID_IOV
        if is_late or is_keyed_by_place or self._layout.nightly is not None:
            self._refuse_same_time(visit, rows)
        with timings.step(f"{target.name} insert") as step:
            step.n_rows = len(rows)
            self._filled.note(target, rows)
            try:
                self._database.append(target, rows)
            except KeyExistsError as error:
                raise _same_time_error(visit, error.problem) from error
        if self._layout.last is not None:
            self._store_last(self._layout.last, rows, visit, timings)

    def _refuse_same_time(self, visit: PreparedVisit, rows: Catalog) -> None:
        """Look where no key does: nightly table, other places, late visits."""
        ids = Condition("diaObjectId", Op.ONE_OF, rows["diaObjectId"])
        start = Condition("validityStart", Op.EQUAL, visit.time)
        ledger = self._layout.ledger
        same_time = [Condition("visitTime", Op.EQUAL, visit.time)]
        if self._database.count(ledger, same_time) < 2:
            return
        for table in self.version_tables:
            found = self._database.select(table, ["diaObjectId"], [start, ids])
            if len(found):
                shown = some(found["diaObjectId"].tolist())
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

    def _store_last(
        self,
        last: Table,
        rows: Catalog,
        visit: PreparedVisit,
        timings: Timings,
    ) -> None:
        is_known = self.homes.find(rows["diaObjectId"])[1]
        kept = {column.name for column in last.columns}
        rows = with_constants(rows, {VISIT_TIME: visit.time})
        rows = rows.select([name for name in rows.names if name in kept])
        self._filled.note(last, rows)
        if self._config.object_last_replace:
            with timings.step("DiaObjectLast insert") as step:
                step.n_rows = len(rows)
                self._replace_last(last, rows, is_known, visit)
                self._append_last(last, rows.take(~is_known))
            return
        ids = Condition("diaObjectId", Op.ONE_OF, rows["diaObjectId"][is_known])
        with timings.step("DiaObjectLast delete") as step:
            older = Condition(VISIT_TIME, Op.LESS, visit.time)
            step.n_rows = self._database.delete(last, [ids, older])
        newer = self._database.select(last, ["diaObjectId"], [ids])["diaObjectId"]
        if len(newer):
            rows = rows.take(~np.isin(rows["diaObjectId"], newer))
        with timings.step("DiaObjectLast insert") as step:
            step.n_rows = len(rows)
            self._append_last(last, rows)

    def _replace_last(
        self,
        last: Table,
        rows: Catalog,
        is_known: NDArray[np.bool_],
        visit: PreparedVisit,
    ) -> None:
        ids = rows["diaObjectId"][is_known]
        if not len(ids):
            return
        nullable = [c.name for c in last.columns if c.nullable]
        blank = [n for n in self._filled.filled(last, nullable) if n not in rows]
        # of a tile not: the versions of the time are those of all tiles so far
        if self._layout.nightly is None and visit.key.n_tiles == 1:
            own = {VISIT_TIME, "validityEnd"}  # one is set, the other is derived
            columns = [n for n in (*rows.names, *blank) if n not in own]
            n_updated = self._database.update_from(
                last, self._layout.objects, columns, time=visit.time, ids=ids
            )
            if n_updated == len(ids):
                return
        # versions are in the nightly table, which has no key, or some object has a
        # later version, or none: find out one by one
        known = rows.take(is_known)
        self._database.upsert(last, known, newest_by=VISIT_TIME, blank=blank)

    def _append_last(self, last: Table, rows: Catalog) -> None:
        try:
            self._database.append(last, rows)
        except KeyExistsError as error:
            raise StaleHomesError(error.place, error.problem) from error

    def _in_region(self, region: Region) -> Condition:
        ranges = htm_ranges(region, max_ranges=self._config.htm_max_ranges)
        return Condition("htmId20", Op.IN_RANGES, ranges)


def with_ends(versions: Catalog) -> Catalog:
    """Order versions by object and time, and end each where the next one starts."""
    ids, starts = versions["diaObjectId"], versions["validityStart"]
    ordered = versions.take(np.lexsort((starts, ids)))
    ids, starts = ordered["diaObjectId"], ordered["validityStart"]
    ends = np.roll(starts, -1)
    is_last = np.ones(len(ids), dtype=np.bool_)
    is_last[:-1] = ids[1:] != ids[:-1]
    nulls = {
        name: mask for name, mask in ordered.nulls.items() if name != "validityEnd"
    }
    return Catalog(
        {**ordered.columns, "validityEnd": ends}, {**nulls, "validityEnd": is_last}
    )


def _trim(rows: Catalog, region: Region) -> Catalog:
    inside = in_region(radec_to_xyz(rows["ra"], rows["decl"]), region)
    return rows.take(inside)


def _same_time_error(visit: PreparedVisit, problem: str) -> VersionExistsError:
    return VersionExistsError(
        f"visit {visit.key.visit_id} DiaObject",
        f"an object has a version that starts at {visit.time} already ({problem})",
        "visits and tiles that share an object need different times",
    )
