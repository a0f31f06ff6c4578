"""Current DIAObjects as rows: open versions, or the table DiaObjectLast."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.model import Table
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sky.pixelization import htm_ranges, in_region
from l1db_pipeline.store.backends.database import (
    Condition,
    Database,
    KeyExistsError,
    Op,
)
from l1db_pipeline.store.tables.bookkeeping import FilledColumns
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_TIME, Layout
from l1db_pipeline.store.tables.rows import read_rows
from l1db_pipeline.store.timing import Timings
from l1db_pipeline.store.validate import CheckedVisit

__all__ = [
    "CurrentObjects",
    "Homes",
    "LastRows",
    "NewVersions",
    "OpenVersions",
    "StaleHomesError",
    "trim",
]

_Ids = NDArray[np.int64]


class StaleHomesError(KeyExistsError):
    """An object that was taken for new is in the database: ask, and try again."""


@dataclass(frozen=True, slots=True)
class Homes:
    """Objects and the pixels in which they are kept, for ever."""

    ids: _Ids
    pixels: NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewVersions:
    """The versions that a visit has added, ordered by pixel and object."""

    visit: CheckedVisit
    rows: Catalog
    homes: NDArray[np.int32]
    is_known: NDArray[np.bool_]
    """Whether the object had a version before."""


class CurrentObjects(Protocol):
    """Where the current version of each object is found."""

    level: int
    """HTM level of the pixels in `Homes`, at least that of history."""

    def forget(self) -> None:
        """Forget what was read, after the tables were dropped."""

    def in_region(
        self, region: Region, columns: Sequence[str]
    ) -> tuple[Catalog, Homes]:
        """Return current objects, exactly trimmed, and the homes of all seen."""

    def homes_of(self, ids: _Ids) -> Homes:
        """Return the homes of those objects that exist."""

    def in_pixels(self, pixels: _Ids, columns: Sequence[str]) -> Catalog:
        """Return the current objects of pixels of history."""

    def since(self, time: np.datetime64 | None, columns: Sequence[str]) -> Catalog:
        """Return the current objects that were stored at or after a time."""

    def lock(self, homes: NDArray[np.int32]) -> None:
        """Wait for, and keep off, others who add versions to pixels."""

    def store(self, new: NewVersions, timings: Timings) -> None:
        """Make new versions the current ones, where no later one is.

        Raises
        ------
        StaleHomesError
            If an object that was taken for new exists.
        """

    def hold(self, ids: _Ids) -> None:
        """Keep others from changing objects, or adding versions to them."""

    def change(self, versions: Catalog, names: Sequence[str]) -> None:
        """Set columns of current objects as their latest versions have them now.

        ``versions`` has all columns; objects whose end is set are closed.
        """


def trim(rows: Catalog, region: Region) -> Catalog:
    """Return the rows whose position is inside a region."""
    inside = in_region(radec_to_xyz(rows["ra"], rows["decl"]), region)
    return rows.take(inside)


class OpenVersions(CurrentObjects):
    """The versions without end, in the tables of versions.

    With ``can_close`` an object may have none: its home is then that of the others.
    """

    _time = "validityStart"

    def __init__(
        self,
        database: Database,
        config: L1dbConfig,
        filled: FilledColumns,
        tables: Sequence[Table],
        *,
        can_close: bool = False,
    ) -> None:
        self.level = config.history_pixel_level
        self._database = database
        self._config = config
        self._filled = filled
        self._tables = tables
        self._can_close = can_close
        self._conditions = [Condition("validityEnd", Op.IS_NULL)]

    @override
    def forget(self) -> None:
        """Do nothing: nothing is kept."""

    def _read(self, where: Sequence[Condition], columns: Sequence[str]) -> Catalog:
        return Catalog.concat(
            [
                read_rows(self._database, self._filled, table, columns, where)
                for table in self._tables
            ]
        )

    @override
    def in_region(
        self, region: Region, columns: Sequence[str]
    ) -> tuple[Catalog, Homes]:
        ranges = htm_ranges(region, max_ranges=self._config.htm_max_ranges)
        needed = [*columns, "ra", "decl", "diaObjectId", HOME_PIXEL]
        within = Condition("htmId20", Op.IN_RANGES, ranges)
        found = self._read([within, *self._conditions], needed)
        homes = Homes(found["diaObjectId"], found[HOME_PIXEL])
        return trim(found, region).select(columns), homes

    @override
    def homes_of(self, ids: _Ids) -> Homes:
        names = ["diaObjectId", HOME_PIXEL]
        where = Condition("diaObjectId", Op.ONE_OF, ids)
        found = self._read([where, *self._conditions], names)
        if self._can_close:
            others = np.setdiff1d(ids, found["diaObjectId"])
            where = Condition("diaObjectId", Op.ONE_OF, others)
            closed = self._read([where], names)
            first = np.unique(closed["diaObjectId"], return_index=True)[1]
            found = Catalog.concat([found, closed.take(first)])
        return Homes(found["diaObjectId"], found[HOME_PIXEL])

    @override
    def in_pixels(self, pixels: _Ids, columns: Sequence[str]) -> Catalog:
        within = Condition(HOME_PIXEL, Op.ONE_OF, pixels)
        return self._read([within, *self._conditions], columns)

    @override
    def since(self, time: np.datetime64 | None, columns: Sequence[str]) -> Catalog:
        later = [] if time is None else [Condition(self._time, Op.AT_LEAST, time)]
        return self._read([*later, *self._conditions], columns)

    @override
    def lock(self, homes: NDArray[np.int32]) -> None:
        """Do nothing: keys find what another visit adds."""

    @override
    def store(self, new: NewVersions, timings: Timings) -> None:
        """Do nothing: a version without end is the current one."""

    @override
    def hold(self, ids: _Ids) -> None:
        for table in self._tables:
            where = [Condition("diaObjectId", Op.ONE_OF, ids)]
            self._database.lock_rows(table, where)

    @override
    def change(self, versions: Catalog, names: Sequence[str]) -> None:
        """Do nothing: the versions are what is read."""


class LastRows(OpenVersions):
    """The rows of DiaObjectLast, one an object; one that was closed has an end."""

    _time = VISIT_TIME

    def __init__(
        self,
        database: Database,
        config: L1dbConfig,
        filled: FilledColumns,
        layout: Layout,
        last: Table,
    ) -> None:
        can_close = layout.daytime is not None
        super().__init__(database, config, filled, (last,), can_close=can_close)
        self._conditions = self._conditions if can_close else []
        self._layout = layout
        self._last = last

    @override
    def store(self, new: NewVersions, timings: Timings) -> None:
        last = self._last
        kept = {column.name for column in last.columns}
        rows = new.rows.select([name for name in new.rows.names if name in kept])
        self._filled.note(last, rows)
        if self._config.object_last_replace:
            with timings.step("DiaObjectLast insert") as step:
                step.n_rows = len(rows)
                self._replace(rows, new)
                self._append(rows.take(~new.is_known))
            return
        known = rows["diaObjectId"][new.is_known]
        ids = Condition("diaObjectId", Op.ONE_OF, known)
        with timings.step("DiaObjectLast delete") as step:
            older = Condition(VISIT_TIME, Op.LESS, new.visit.time)
            step.n_rows = self._database.delete(last, [ids, older])
        newer = self._database.select(last, ["diaObjectId"], [ids])["diaObjectId"]
        if len(newer):
            rows = rows.take(~np.isin(rows["diaObjectId"], newer))
        with timings.step("DiaObjectLast insert") as step:
            step.n_rows = len(rows)
            self._append(rows)

    def _replace(self, rows: Catalog, new: NewVersions) -> None:
        ids = rows["diaObjectId"][new.is_known]
        if not len(ids):
            return
        last = self._last
        nullable = [c.name for c in last.columns if c.nullable]
        blank = [n for n in self._filled.filled(last, nullable) if n not in rows]
        # of a tile not: the versions of the time are those of all tiles so far
        if self._layout.nightly is None and new.visit.key.n_tiles == 1:
            own = {VISIT_TIME, "validityEnd"}  # one is set, the other is derived
            columns = [n for n in (*rows.names, *blank) if n not in own]
            n_updated = self._database.update_from(
                last, self._layout.objects, columns, time=new.visit.time, ids=ids
            )
            if n_updated == len(ids):
                return
        # versions are in the nightly table, which has no key, or some object has a
        # later version, or none: find out one by one
        known = rows.take(new.is_known)
        self._database.upsert(last, known, newest_by=VISIT_TIME, blank=blank)

    def _append(self, rows: Catalog) -> None:
        try:
            self._database.append(self._last, rows)
        except KeyExistsError as error:
            raise StaleHomesError(error.place, error.problem) from error

    @override
    def change(self, versions: Catalog, names: Sequence[str]) -> None:
        last = self._last
        wanted = [name for name in names if name in last]
        for name in wanted:
            self._filled.note_value(last, name)
        if wanted:
            rows = versions.select(["diaObjectId", *wanted])
            self._database.set_rows(last, rows, keys=["diaObjectId"])
