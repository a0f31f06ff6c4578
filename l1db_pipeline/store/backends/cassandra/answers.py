"""Answers out of chunks: current and past objects, history, homes."""

from collections.abc import Collection, Sequence

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import sorted_unique
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.model import Table
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sky.pixelization import htm_ranges, in_region
from l1db_pipeline.store.backends.cassandra.journal import Journal
from l1db_pipeline.store.backends.cassandra.ledger import Ledger
from l1db_pipeline.store.backends.cassandra.reading import Reading
from l1db_pipeline.store.backends.cassandra.session import CassandraSession
from l1db_pipeline.store.backends.cassandra.tables import (
    CURRENT,
    FORCED,
    SOURCES,
    VERSIONS,
    month_of,
)
from l1db_pipeline.store.backends.cassandra.writing import (
    NAME_OF,
    OBJECT_IDS,
    ids_of_prefixes,
)
from l1db_pipeline.store.errors import InvalidCatalogError
from l1db_pipeline.store.tables.chunk_group import ChunkGroup
from l1db_pipeline.store.tables.chunks import group_chunks
from l1db_pipeline.store.tables.current import trim
from l1db_pipeline.store.tables.history import TimeWindow, rows_of, rows_of_objects
from l1db_pipeline.store.tables.layout import VISIT_ID, VISIT_TIME, Layout
from l1db_pipeline.store.tables.objects import (
    HomePixels,
    latest_versions,
    with_ends,
)
from l1db_pipeline.store.tables.packed_objects import PackedObjects
from l1db_pipeline.store.tables.rows import add_empty_columns

__all__ = ["Answers"]

_COVER_RANGES = 4096
_FEW_MONTHS = 24  # of a window: more are looked for in the journal
_Ids = NDArray[np.int64]
_Pixels = NDArray[np.int32]


class Answers:
    """Reads within a `Reading`, and remembers homes, which never change."""

    def __init__(
        self,
        session: CassandraSession,
        ledger: Ledger,
        journal: Journal,
        layout: Layout,
        config: L1dbConfig,
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._journal = journal
        self._packed = PackedObjects(layout.current)
        self._level = config.history_pixel_level
        self._tables = {
            CURRENT: layout.current,
            VERSIONS: layout.objects,
            SOURCES: layout.sources,
            FORCED: layout.forced,
        }
        self._homes = HomePixels()

    def forget(self) -> None:
        """Forget the homes, after the tables were emptied."""
        self._homes.clear()

    def _groups(
        self,
        reading: Reading,
        table: str,
        pixels: Collection[int],
        months: Sequence[int],
    ) -> list[ChunkGroup]:
        return group_chunks(NAME_OF[table], reading.chunks(table, pixels, months))

    def pixels_of(self, region: Region) -> list[int]:
        """Return the pixels where objects of a region may have their home."""
        ranges = htm_ranges(region, self._level, _COVER_RANGES)
        pixels = [p for low, high in ranges.tolist() for p in range(low, high)]
        text = "SELECT home FROM {}strays WHERE pixel = ?"
        found = self._session.many([(text, (pixel,)) for pixel in pixels])
        return sorted({*pixels, *(row[0] for rows in found for row in rows)})

    def months_of(self, window: TimeWindow) -> list[int]:
        """Return the months of a window in which there may be visits."""
        if window.since is not None and window.until is not None:
            first, last = month_of(window.since), month_of(window.until)
            if last - first < _FEW_MONTHS:
                return list(range(first, last + 1))
        return self._journal.months_of(window)

    def current(
        self, reading: Reading, region: Region, columns: Sequence[str]
    ) -> Catalog:
        """Return current objects of a region, exactly trimmed."""
        pixels = self.pixels_of(region)
        groups = self._groups(reading, CURRENT, pixels, [0])
        if reading.is_hidden_merged:
            return self._unhidden(reading, pixels, region, columns)
        found, homes = self._packed.in_region(groups, region, columns)
        self._homes.add(homes.ids, homes.pixels)
        return found

    def _unhidden(
        self,
        reading: Reading,
        pixels: Sequence[int],
        region: Region,
        columns: Sequence[str],
    ) -> Catalog:
        """Return current objects as they would be without the hidden visit's rows."""
        needed = [*columns, "ra", "decl", "diaObjectId", "validityStart", VISIT_ID]
        groups = self._groups(reading, VERSIONS, pixels, self._journal.months())
        versions = self._all_rows(self._tables[VERSIONS], groups, needed)
        others = versions.take(versions[VISIT_ID] != reading.hidden_visit)
        return trim(latest_versions(others), region).select(columns)

    def at(
        self,
        reading: Reading,
        region: Region,
        columns: Sequence[str],
        time: np.datetime64,
    ) -> Catalog:
        """Return the versions of a past time in a region."""
        needed = [*columns, "ra", "decl", "diaObjectId", "validityStart", "validityEnd"]
        pixels, months = self.pixels_of(region), self._journal.months()
        groups = self._groups(reading, VERSIONS, pixels, months)
        versions = with_ends(self._all_rows(self._tables[VERSIONS], groups, needed))
        is_valid = versions["validityStart"] <= time
        ended = ~versions.null_mask("validityEnd") & (versions["validityEnd"] <= time)
        valid = versions.take(is_valid & ~ended)
        inside = in_region(radec_to_xyz(valid["ra"], valid["decl"]), region)
        return valid.take(inside).select(columns)

    def _all_rows(
        self, table: Table, groups: Sequence[ChunkGroup], columns: Sequence[str]
    ) -> Catalog:
        names = list(dict.fromkeys(columns))
        if not groups:
            return add_empty_columns(table, Catalog({}), names)
        return add_empty_columns(table, rows_of(table, groups)[0], names)

    def table_of(self, name: str) -> Table:
        """Return the columns of a table of chunks."""
        return self._tables[name]

    def history_of(
        self,
        reading: Reading,
        name: str,
        ids: _Ids,
        window: TimeWindow,
        columns: Sequence[str],
    ) -> Catalog:
        """Return the rows of objects, ascending and each once, within a window."""
        homes, exists = self.homes_of(ids)
        pixels = np.unique(homes[exists]).tolist()
        months = self.months_of(window) if pixels else []
        groups = self._groups(reading, name, pixels, months)
        table = self.table_of(name)
        return rows_of_objects(table, groups, ids[exists], window, columns)

    def select_objects(
        self, reading: Reading, region: Region | None, object_ids: _Ids | None
    ) -> _Ids:
        """Return the objects that are asked for by region, ids or both."""
        wanted = None
        if object_ids is not None:
            wanted = sorted_unique(np.asarray(object_ids, dtype=np.int64))
        if region is None and wanted is not None:
            return wanted
        if region is None:
            raise InvalidCatalogError(
                "history", "neither region nor object_ids", "give one of them, or both"
            )
        found = self.current(reading, region, ["diaObjectId"])["diaObjectId"]
        return np.sort(found) if wanted is None else np.intersect1d(wanted, found)

    def lone(
        self,
        reading: Reading,
        name: str,
        region: Region,
        window: TimeWindow,
        columns: Sequence[str],
    ) -> Catalog:
        """Return the rows without object whose own position is in a region."""
        table = self.table_of(name)
        if not table.column("diaObjectId").nullable:
            return add_empty_columns(table, Catalog({}), list(dict.fromkeys(columns)))
        ranges = htm_ranges(region, self._level, _COVER_RANGES)
        pixels = [p for low, high in ranges.tolist() for p in range(low, high)]
        groups = self._groups(reading, name, pixels, self.months_of(window))
        needed = [*columns, "ra", "decl", "diaObjectId", VISIT_TIME]
        rows = self._all_rows(table, groups, needed)
        is_lone = rows.null_mask("diaObjectId") & window.holds(rows[VISIT_TIME])
        lone = rows.take(is_lone)
        inside = in_region(radec_to_xyz(lone["ra"], lone["decl"]), region)
        return lone.take(inside).select(list(dict.fromkeys(columns)))

    def homes_of(self, ids: _Ids) -> tuple[_Pixels, NDArray[np.bool_]]:
        """Return the pixels that hold objects, and which objects exist."""
        homes, known = self._homes.find(ids)
        rows = np.flatnonzero(~known)
        if len(rows):
            read = self._read_homes(ids[rows])
            homes[rows], known[rows] = read.find(ids[rows])
        return homes, known

    def _read_homes(self, ids: _Ids) -> HomePixels:
        found = ids_of_prefixes(self._session, OBJECT_IDS, ids)
        stored = self._ledger.stored_tags({tag for tag, *_ in found})
        parts = [(named, pixels) for tag, _, named, pixels in found if tag in stored]
        read = HomePixels()
        if parts:
            named, pixels = (np.concatenate(p) for p in zip(*parts, strict=True))
            read.add(named, pixels)
            self._homes.add(named, pixels)
        return read
