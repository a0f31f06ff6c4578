"""Source history: written as rows and packed chunks, read from either."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.model import Table
from l1db_pipeline.sky.htm import home_pixel
from l1db_pipeline.sky.pixelization import htm_ranges
from l1db_pipeline.store.backends.database import (
    Condition,
    Database,
    KeyExistsError,
    Op,
)
from l1db_pipeline.store.errors import DuplicateIdError
from l1db_pipeline.store.tables.bookkeeping import FilledColumns
from l1db_pipeline.store.tables.chunk_group import ChunkGroup, join_groups
from l1db_pipeline.store.tables.chunk_table import ChunkTable
from l1db_pipeline.store.tables.current import trim
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_ID, VISIT_TIME
from l1db_pipeline.store.tables.row_places import RowChanges
from l1db_pipeline.store.tables.rows import (
    add_empty_columns,
    by_pixel_and_object,
    read_rows,
    with_constants,
)
from l1db_pipeline.store.tables.tiers import ALL_TILE, HISTORY_TIERS
from l1db_pipeline.store.timing import Timings
from l1db_pipeline.store.validate import CheckedVisit
from visit_tables.time_scales import utc64

__all__ = ["HistoryTable", "TimeWindow", "rows_of", "rows_of_objects"]

_FEW = 2000  # so many ids are selected by the database, more by us


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Half-open window in visit time; `None` leaves a side open."""

    since: np.datetime64 | None = None
    until: np.datetime64 | None = None

    @classmethod
    def between(cls, since: datetime | None, until: datetime | None) -> "TimeWindow":
        """Return the window between two aware times."""
        return cls(
            None if since is None else utc64(since, "history since"),
            None if until is None else utc64(until, "history until"),
        )

    def conditions(self, first: str, last: str) -> list[Condition]:
        """Return conditions on the columns of a row's (or chunk's) first and last."""
        since = self.since, Condition(last, Op.AT_LEAST, self.since)
        until = self.until, Condition(first, Op.LESS, self.until)
        return [condition for limit, condition in (since, until) if limit is not None]

    def holds(self, times: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """Tell which times are in the window."""
        inside = np.ones(len(times), dtype=np.bool_)
        if self.since is not None:
            inside &= times >= self.since
        if self.until is not None:
            inside &= times < self.until
        return inside


class HistoryTable:
    """DiaSource or DiaForcedSource, its rows and, if there is one, its packed table."""

    def __init__(
        self,
        database: Database,
        filled: FilledColumns,
        table: Table,
        packed: Table | None,
    ) -> None:
        self._database = database
        self._filled = filled
        self.table = table
        self.packed = packed
        self._chunks = None
        if packed is not None:
            self._chunks = ChunkTable(
                database, packed, table.name, HISTORY_TIERS, "diaObjectId"
            )

    def store(
        self,
        visit: CheckedVisit,
        rows: Catalog,
        homes: NDArray[np.int32],
        timings: Timings,
    ) -> None:
        """Add a visit's rows, ordered by pixel, and their chunks."""
        if not len(rows):
            return
        order = by_pixel_and_object(rows, homes)
        homes = homes[order]
        rows = with_constants(
            rows.take(order),
            {
                VISIT_ID: np.int64(visit.key.visit_id),
                VISIT_TIME: visit.time,
            },
        )
        with timings.step(f"{self.table.name} insert") as step:
            step.n_rows = len(rows)
            self._filled.note(self.table, with_constants(rows, {HOME_PIXEL: homes}))
            try:
                self._database.append(
                    self.table, with_constants(rows, {HOME_PIXEL: homes})
                )
            except KeyExistsError as error:
                raise DuplicateIdError(
                    f"visit {visit.key.visit_id} {self.table.name}",
                    f"an id is in the database already ({error.problem})",
                    "give every source an id of its own",
                ) from error
        if self._chunks is not None:
            with timings.step(f"{self._chunks.table.name} insert") as step:
                step.n_bytes = self._chunks.add(rows, homes, visit.key, self._joined)

    def change(
        self, old: Catalog, new: Catalog, *, keys: Sequence[str], names: Sequence[str]
    ) -> None:
        """Change rows, in the table and in the chunks that hold them.

        Parameters
        ----------
        old, new
            The rows with all columns, as they are and as they are to be; a row whose
            home pixel changes moves to a chunk there.
        keys
            Columns that together name a row.
        names
            Columns that change.
        """
        for name in names:
            self._filled.note_value(self.table, name)
        rows = new.select(list(dict.fromkeys([*keys, *names])))
        pixels = np.unique(old[HOME_PIXEL]).astype(np.int64)
        within = (
            [] if HOME_PIXEL in keys else [Condition(HOME_PIXEL, Op.ONE_OF, pixels)]
        )
        self._database.set_rows(self.table, rows, keys=keys, where=within)
        if self._chunks is None:
            return
        inner = [name for name in names if name != HOME_PIXEL]
        chunk_keys = [key for key in keys if key != HOME_PIXEL]
        stays = old[HOME_PIXEL] == new[HOME_PIXEL]
        kept, gone = new.take(stays), old.take(~stays)
        if len(kept):
            changes = RowChanges(self.table, kept, chunk_keys, inner)
            self._chunks.change(_held_by(kept), changes.changed)
        if len(gone):
            changes = RowChanges(self.table, gone, chunk_keys, inner)
            self._chunks.change(_held_by(gone), changes.without)
        moved = new.take(~stays)
        if len(moved):
            moved = moved.take(np.argsort(moved[HOME_PIXEL], kind="stable"))
            present = [n for n in moved.names if n != HOME_PIXEL]
            self._chunks.put(
                moved.select(present), moved[HOME_PIXEL], self._joined, ALL_TILE
            )

    def _joined(
        self, groups: Sequence[ChunkGroup], new: Catalog, homes: NDArray[np.int32]
    ) -> tuple[Catalog, NDArray[np.int32]]:
        """Return rows of chunks and new ones, ordered by pixel and visit."""
        if not groups:
            return new, homes
        old, old_pixels = rows_of(self.table, groups)
        present = {*old.names, *new.names}
        names = [name for name in self.table.names if name in present]
        both = [add_empty_columns(self.table, rows, names) for rows in (old, new)]
        rows, pixels = Catalog.concat(both), np.concatenate([old_pixels, homes])
        order = np.lexsort((rows[VISIT_ID], pixels))
        return rows.take(order), pixels[order]

    def write_chunks(
        self,
        rows: Catalog,
        homes: NDArray[np.int32],
        chunk_id: int,
        tile: str,
        tier: int,
    ) -> int:
        """Pack rows that are ordered by pixel and visit; return the bytes."""
        if self._chunks is None:
            return 0
        return self._chunks.write(rows, homes, chunk_id, tile, tier=tier)

    def read(
        self,
        ids: NDArray[np.int64],
        pixels: NDArray[np.int32],
        window: TimeWindow,
        columns: Sequence[str],
    ) -> Catalog:
        """Return the history of objects, given with the pixels that hold it.

        Parameters
        ----------
        ids
            Objects, ascending, each once.
        pixels
            Home pixels of the objects, each once.
        window
            In visit time.
        columns
            To return; own ones are allowed.
        """
        if self.packed is None:
            return self._read_rows(ids, pixels, window, columns)
        groups = self.read_chunks(pixels, window)
        return rows_of_objects(self.table, groups, ids, window, columns)

    def _read_rows(
        self,
        ids: NDArray[np.int64],
        pixels: NDArray[np.int32],
        window: TimeWindow,
        columns: Sequence[str],
    ) -> Catalog:
        where = [
            Condition(HOME_PIXEL, Op.ONE_OF, pixels),
            *window.conditions(VISIT_TIME, VISIT_TIME),
        ]
        if len(ids) <= _FEW:
            where.append(Condition("diaObjectId", Op.ONE_OF, ids))
            return read_rows(self._database, self._filled, self.table, columns, where)
        names = [*columns, "diaObjectId"]
        present = self._filled.filled(self.table, list(dict.fromkeys(names)))
        rows = self._database.select(
            self.table, present, where, null_free=self._filled.null_free(self.table)
        )
        wanted = IdSet(ids).holds(rows["diaObjectId"]) & ~rows.null_mask("diaObjectId")
        return add_empty_columns(
            self.table, rows.take(np.flatnonzero(wanted)), list(dict.fromkeys(columns))
        )

    @property
    def has_lone(self) -> bool:
        """Whether a source without object was ever stored, such as an asteroid's."""
        name = "diaObjectId"
        is_nullable = self.table.column(name).nullable
        return is_nullable and name not in self._filled.null_free(self.table)

    def read_lone(
        self,
        region: Region,
        config: L1dbConfig,
        window: TimeWindow,
        columns: Sequence[str],
    ) -> Catalog:
        """Return the rows without object whose own position is in a region.

        They are few, and in no object's history: the rows have them in any layout.
        """
        ranges = htm_ranges(region, max_ranges=config.htm_max_ranges)
        pixels = home_pixel(ranges - (0, 1), config.history_pixel_level)
        pixels[:, 1] += 1
        pixels[1:, 0] = np.maximum(pixels[1:, 0], pixels[:-1, 1])  # each pixel once
        where = [
            Condition(HOME_PIXEL, Op.IN_RANGES, pixels[pixels[:, 0] < pixels[:, 1]]),
            Condition("diaObjectId", Op.IS_NULL),
            *window.conditions(VISIT_TIME, VISIT_TIME),
        ]
        names = list(dict.fromkeys([*columns, "ra", "decl"]))
        rows = read_rows(self._database, self._filled, self.table, names, where)
        return trim(rows, region).select(list(dict.fromkeys(columns)))

    def read_chunks(
        self, pixels: NDArray[np.int32], window: TimeWindow
    ) -> list[ChunkGroup]:
        """Return the checked chunks of pixels that meet a time window."""
        where = [
            Condition("pixel", Op.ONE_OF, pixels),
            *window.conditions("firstTime", "lastTime"),
        ]
        return self._groups(where)

    def read_packed_rows(
        self, where: Sequence[Condition]
    ) -> tuple[Catalog, NDArray[np.int32]]:
        """Return all columns of the chunks that conditions choose, and their pixels."""
        return rows_of(self.table, self._groups(where))

    def _groups(self, where: Sequence[Condition]) -> list[ChunkGroup]:
        return [] if self._chunks is None else self._chunks.read(where)


def rows_of(
    table: Table, groups: Sequence[ChunkGroup]
) -> tuple[Catalog, NDArray[np.int32]]:
    """Return all rows of chunks, with the columns that any has, and their pixels."""
    names = list(dict.fromkeys(name for g in groups for name in g.names))
    rows = join_groups(groups, [None] * len(groups), names, _dtype_in(table))
    return rows, np.concatenate([group.pixel_of_row() for group in groups])


def rows_of_objects(
    table: Table,
    groups: Sequence[ChunkGroup],
    ids: NDArray[np.int64],
    window: TimeWindow,
    columns: Sequence[str],
) -> Catalog:
    """Return the rows of objects, ascending and each once, within a time window."""
    names = list(dict.fromkeys(columns))
    wanted = IdSet(ids)
    # else all its sources are without object
    groups = [group for group in groups if "diaObjectId" in group.names]
    keeps = [_rows_wanted(group, wanted, window) for group in groups]
    first = list(dict.fromkeys(["diaObjectId", *names]))
    rows = join_groups(groups, keeps, first, _dtype_in(table))
    nulls = {n: mask for n, mask in rows.nulls.items() if n != "diaObjectId"}
    return add_empty_columns(table, Catalog(rows.columns, nulls), names)


def _dtype_in(table: Table) -> Callable[[str], np.dtype[Any]]:
    return lambda name: table.column(name).numpy_dtype


def _held_by(rows: Catalog) -> list[Condition]:
    """Return conditions on the chunks that hold rows."""
    times = rows[VISIT_TIME]
    return [
        Condition("pixel", Op.ONE_OF, np.unique(rows[HOME_PIXEL]).astype(np.int64)),
        Condition("lastTime", Op.AT_LEAST, times.min()),
        Condition("firstTime", Op.LESS, times.max() + np.timedelta64(1, "us")),
    ]


def _rows_wanted(
    group: ChunkGroup, ids: IdSet, window: TimeWindow
) -> NDArray[np.intp] | None:
    """Return the rows of wanted objects within a window; `None` for all."""
    masks = []
    listed = group.entries("diaObjectId")
    if listed is not None:
        distinct, places = listed  # asked once an object, not once a row
        of_entry = ids.holds(distinct)
        if not of_entry.all():
            masks.append(of_entry[places])
    else:
        object_ids, is_null = group.column("diaObjectId")
        of_row = ids.holds(object_ids)
        if is_null is not None:
            of_row &= ~is_null
        if not of_row.all():
            masks.append(of_row)
    if window != TimeWindow():
        times = group.constant(VISIT_TIME)
        each = group.column(VISIT_TIME)[0] if times is None else times
        inside = window.holds(each)
        if not inside.all():
            masks.append(
                inside if times is None else np.repeat(inside, group.segment_counts)
            )
    return np.flatnonzero(np.logical_and.reduce(masks)) if masks else None
