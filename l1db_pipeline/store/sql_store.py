"""The L1 store on a database: the protocol's methods, told in terms of its parts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import sorted_unique
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.model import Schema
from l1db_pipeline.schema.version import SCHEMA_REVISION
from l1db_pipeline.sky.geometry import fov_circle
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.store.attempts import attempted
from l1db_pipeline.store.backends.database import Database
from l1db_pipeline.store.base import (
    NO_RECORDS,
    Finding,
    L1Store,
    LastVisit,
    LightCurve,
    StoreOutcome,
    Verification,
    VisitKey,
    VisitRecords,
)
from l1db_pipeline.store.cells import Cells
from l1db_pipeline.store.daytime import Daytime
from l1db_pipeline.store.errors import InvalidCatalogError
from l1db_pipeline.store.ledger import Ledger
from l1db_pipeline.store.made_with import MadeWith
from l1db_pipeline.store.meter import ServerMeter
from l1db_pipeline.store.months import Month, aware
from l1db_pipeline.store.tables.bookkeeping import (
    FilledColumns,
    Settings,
    TimingsTable,
    one_row,
)
from l1db_pipeline.store.tables.history import HistoryTable, TimeWindow
from l1db_pipeline.store.tables.last_chunks import LAST_NAME
from l1db_pipeline.store.tables.layout import Layout
from l1db_pipeline.store.tables.light_curves import light_curve_of
from l1db_pipeline.store.tables.objects import ObjectTables
from l1db_pipeline.store.tables.rows import known_columns, object_columns
from l1db_pipeline.store.timing import StepTiming, Timings
from l1db_pipeline.store.token import CellClaim, ReadToken
from l1db_pipeline.store.upkeep.audit import science_digest
from l1db_pipeline.store.upkeep.compact import (
    compact,
    compact_current,
    rebuild,
    rebuild_current,
)
from l1db_pipeline.store.upkeep.expire import Retention
from l1db_pipeline.store.upkeep.repair import repair_findings
from l1db_pipeline.store.upkeep.verify import Verifier
from l1db_pipeline.store.validate import CheckedVisit, check_visit
from visit_tables.time_scales import utc64

__all__ = ["SqlL1Store"]

_Ids = NDArray[np.int64]


class SqlL1Store(L1Store):
    """An L1 store on a `Database`.

    Parameters
    ----------
    database
        Open connection; the store closes it.
    schema, config
        Tables and options, those that the database was made with.
    timings
        Where steps are recorded; `None` for a collector of its own.
    """

    def __init__(
        self,
        database: Database,
        schema: Schema,
        config: L1dbConfig,
        timings: Timings | None = None,
    ) -> None:
        self.timings = Timings() if timings is None else timings
        self.config = config
        self._database = database
        self._given = Layout.of(schema, config)
        self._made_with = MadeWith(database, self._given, schema, config)
        self._bind(self._given)

    def _bind(self, layout: Layout) -> None:
        """Take the tables and columns that the database has."""
        database, config, self.layout = self._database, self.config, layout
        self._filled = FilledColumns(database, self.layout)
        self._settings = Settings(database, self.layout)
        self._timings_table = TimingsTable(database, self.layout)
        self._ledger = Ledger(database, self.layout)
        self._cells = Cells(database, self.layout.cells, config.cell_level)
        self._unit: int | None = None  # its visit, -1 if none of that is stored
        self._objects = ObjectTables(database, self.layout, config, self._filled)
        history = partial(HistoryTable, database, self._filled)
        self._sources = history(layout.sources, layout.packed_sources)
        self._forced = history(layout.forced, layout.packed_forced)
        self._histories = (self._sources, self._forced)
        self.daytime = Daytime.of(
            database, self.layout, config, filled=self._filled, objects=self._objects,
            histories=self._histories, cells=self._cells,
            reading=self._reading)  # fmt: skip
        self._retention = Retention(database, self.layout, self._histories)

    @override
    def close(self) -> None:
        self._database.close()

    @property
    @override
    def place(self) -> str:
        return self._database.place

    @override
    def meter(self) -> ServerMeter:
        return self._database.meter()

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.config}>"

    @override
    def create_schema(self, *, drop: bool = False) -> None:
        with self._database.transaction(write=True):
            if drop:
                self._made_with.is_checked = False
                self._bind(self._given)
                for table in self.layout.tables:
                    self._database.drop(table)
            present = self._database.table_names()
            if present:
                self._made_with.check(are_complete=False)
            for table in self.layout.tables:
                if table.name not in present:
                    self._database.create(table)
            if self.layout.version.name not in present:
                row = one_row(self.layout.version, SCHEMA_REVISION)
                self._database.add_if_absent(self.layout.version, row)
        self._made_with.keep()
        self._check()

    def finish_migration(self) -> None:
        """Make the data that a revision of the layout has left to be made."""
        rebuild_current(self._database, self._objects)
        self._made_with.finish()

    def _check(self) -> None:
        if not self._made_with.is_checked:
            layout = self._made_with.check_once()
            if layout is not self.layout:
                self._bind(layout)

    @override
    @contextmanager
    def reading_unit(self, visit_id: int, region: Region) -> Iterator[ReadToken]:
        with self._reading(f"reads visit {visit_id}"):
            token = self._cells.token(self._made_with.identity, visit_id, region)
            self._unit = visit_id if self._ledger.has_parts(visit_id) else -1
            try:
                yield token
            finally:
                self._unit = None

    @contextmanager
    def _reading(self, unit: str = "") -> Iterator[None]:
        if self._unit is not None:  # in its transaction
            yield
            return
        self._check()
        with self._database.transaction(write=False, unit=unit):
            self._filled.refresh()
            yield

    @override
    def read_objects(
        self,
        region: Region,
        *,
        columns: Sequence[str] | None = None,
        at: datetime | None = None,
    ) -> Catalog:
        names = self._object_columns(columns, at)
        with self.timings.step("DiaObject select") as step, self._reading():
            if at is None:
                found = self._objects.found(region, names, self._unit)
            else:
                time = utc64(at, "read_objects at")
                self._retention.refuse("objects as of", time)
                found = self._objects.read_at(region, names, time)
            step.n_rows = len(found)
        return found

    def _object_columns(
        self, columns: Sequence[str] | None, at: datetime | None
    ) -> Sequence[str]:
        table = self.layout.current if at is None else self.layout.objects
        return object_columns(table, columns, is_full=self.config.read_full_objects)

    @override
    def read_sources(
        self,
        *,
        region: Region | None = None,
        object_ids: _Ids | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> Catalog:
        window = TimeWindow.between(since, until)
        return self._read_history(self._sources, region, object_ids, window, columns)

    @override
    def read_forced_sources(
        self,
        *,
        region: Region | None = None,
        object_ids: _Ids | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> Catalog:
        window = TimeWindow.between(since, until)
        return self._read_history(self._forced, region, object_ids, window, columns)

    def _read_history(
        self,
        history: HistoryTable,
        region: Region | None,
        object_ids: _Ids | None,
        window: TimeWindow,
        columns: Sequence[str] | None,
    ) -> Catalog:
        table = history.table
        names = known_columns(table, columns)
        with self.timings.step(f"{table.name} select") as step, self._reading():
            is_unit = self._unit is not None
            window = self._retention.kept(table.name, window, is_clipped=is_unit)
            ids = self._select_objects(region, object_ids)
            pixels, exists = self._objects.home_pixels_of(ids)
            ids, pixels = ids[exists], np.unique(pixels[exists])
            found = history.read(ids, pixels, window, names)
            if region is not None and object_ids is None and history.has_lone:
                lone = history.read_lone(region, self.config, window, names)
                found = Catalog.concat([found, lone])
            step.n_rows = len(found)
        return found

    def _select_objects(self, region: Region | None, object_ids: _Ids | None) -> _Ids:
        wanted = None
        if object_ids is not None:
            wanted = sorted_unique(np.asarray(object_ids, dtype=np.int64))
        if region is None and wanted is not None:
            return wanted
        if region is None:
            raise InvalidCatalogError(
                "history", "neither region nor object_ids", "give one of them, or both"
            )
        found = self._objects.found(region, ["diaObjectId"], self._unit)
        ids = np.sort(found["diaObjectId"])
        return ids if wanted is None else np.intersect1d(wanted, ids)

    @override
    def store_visit(
        self, key: VisitKey, records: VisitRecords, token: ReadToken | None = None
    ) -> StoreOutcome:
        self._check()
        visit = check_visit(self.layout, key, records)
        if token is not None:
            token.check(self._made_with.identity, key.read_as)
        claim = self._cells.claim(key.read_as, token, [visit.objects, visit.sources])
        return attempted(
            lambda trust_cache: self._store_once(visit, claim, trust_cache=trust_cache),
            self._objects.homes.clear,
        )

    def _store_once(
        self, visit: CheckedVisit, claim: CellClaim, *, trust_cache: bool
    ) -> StoreOutcome:
        try:
            with self._database.transaction(write=True, unit=visit.key.words):
                if not self._ledger.claim(visit):
                    return StoreOutcome.ALREADY_STORED
                self._filled.refresh()
                is_late = self._ledger.has_later_than(visit.time)
                if is_late:
                    self._retention.refuse(f"{visit.key.words} of", visit.time)
                homes, sources, forced = self._objects.resolve(
                    visit, trust_cache=trust_cache
                )
                if self.daytime is not None:
                    self.daytime.note(visit, sources)
                new = None
                if len(visit.objects):
                    steps = self.timings
                    new = self._objects.store(visit, homes, steps, is_late=is_late)
                self._sources.store(visit, visit.sources, sources, self.timings)
                self._forced.store(visit, visit.forced, forced, self.timings)
                # last, for tiles that share a pixel wait here for each other
                if new is not None:
                    self._objects.make_current(new, self.timings, is_late=is_late)
                self._ledger.complete(visit)
                self._cells.note(claim)  # then nothing is waited for: no deadlocks
        except BaseException:
            self._filled.forget()
            raise
        self._filled.commit()
        self._objects.remember(visit, homes)
        return StoreOutcome.STORED

    @override
    def save_visit(self, visit_id: int, time: datetime) -> None:
        self._check()
        key = VisitKey(visit_id=visit_id, time=time, n_tiles=0)
        visit = check_visit(self.layout, key, NO_RECORDS)
        with self._database.transaction(write=True):
            if self._ledger.save(visit):
                self._ledger.claim(visit)
                self._retention.refuse(f"{key.words} of", visit.time)

    @override
    def stored_tiles(self, visit_id: int) -> frozenset[str]:
        with self._reading():
            return self._ledger.tiles(visit_id)

    @override
    def read_visits(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Catalog:
        with self._reading():
            return self._ledger.visits(TimeWindow.between(since, until))

    @override
    def visit_time(self, visit_id: int) -> datetime | None:
        with self._reading():
            return self._ledger.time(visit_id)

    @override
    def last_visit(self) -> LastVisit | None:
        with self._reading():
            last = self._ledger.last()
            if last is None:
                return None
            object_id = self._objects.last_id()
            source_id = self._database.maximum(self.layout.sources, "diaSourceId")
        return LastVisit(
            visit_id=last[0],
            time=last[1],
            last_object_id=object_id,
            last_source_id=source_id or 0,
        )

    @override
    def light_curve(self, object_id: int) -> LightCurve:
        with self._reading():
            return light_curve_of(object_id, self._objects, self._histories)

    @override
    def cone_search(
        self,
        ra_deg: float,
        dec_deg: float,
        radius_arcsec: float,
        *,
        columns: Sequence[str] | None = None,
    ) -> Catalog:
        direction = radec_to_xyz(np.array([ra_deg]), np.array([dec_deg]))[0]
        region = fov_circle(direction, np.radians(radius_arcsec / 1800))
        names = self._object_columns(columns, None)
        with self._reading():
            found = self._objects.read_current(region, [*names, "ra", "decl"])
        offsets = radec_to_xyz(found["ra"], found["decl"]) - direction
        order = np.argsort((offsets**2).sum(axis=1), kind="stable")
        return found.take(order).select(names)

    @override
    def row_counts(self) -> Mapping[str, int]:
        with self._reading():
            counts = {t.name: self._database.count(t) for t in self.layout.tables}
        if self.layout.packed_last is not None:
            counts[LAST_NAME] = counts[self.layout.packed_last.homes.name]
        return counts

    @override
    def table_bytes(self) -> Mapping[str, int]:
        with self._reading():
            return {t.name: self._database.n_bytes(t) for t in self.layout.tables}

    @override
    def merge_nightly(self) -> int:
        self._check()
        n_rows, nightly = 0, self.layout.nightly
        if nightly is not None:
            with self._database.transaction(write=True):
                self._filled.refresh()
                self._filled.note_move(nightly, self.layout.objects)
                n_rows = self._database.move(nightly, self.layout.objects)
            self._filled.commit()
        self._database.tidy()
        return n_rows

    @override
    def verify(
        self, *, repair: bool = False, scope: Verification | None = None
    ) -> list[Finding]:
        scope = Verification() if scope is None else scope
        verifier = Verifier(
            self._database, self.layout, self._objects, self._histories,
            made_with=self._made_with,
            retention=self._retention,
            window=TimeWindow.between(scope.since, scope.until),
            scope=scope,
        )  # fmt: skip
        with self._reading():
            found = list(verifier.findings())
        if repair:
            return repair_findings(self._database, self._filled, verifier, found)
        return found

    @override
    def science_digest(self) -> Mapping[str, str]:
        with self._reading():
            return science_digest(
                self._database, self.layout, self._objects, self._histories,
                self._filled,
            )  # fmt: skip

    @override
    def compact_history(self, *, before: datetime | None = None) -> int:
        self._check()
        limit = None if before is None else utc64(before, "compact before")
        n_fewer = sum(compact(self._database, h, before=limit) for h in self._histories)
        return n_fewer + compact_current(self._database, self._objects)

    @override
    def rebuild_history(self) -> int:
        self._check()
        if self.layout.packed_last is not None:
            rebuild_current(self._database, self._objects)
        return sum(rebuild(self._database, history) for history in self._histories)

    @override
    def horizon(self) -> datetime | None:
        with self._reading():
            return aware(self._retention.horizon())

    @override
    def months(self) -> list[Month]:
        with self._reading():
            return self._retention.months()

    @override
    def expire(self, before: datetime) -> None:
        self._check()
        self._retention.expire(utc64(before, "expire before"))

    @override
    def get_setting(self, name: str) -> str | None:
        with self._reading():
            return self._settings.get(name)

    @override
    def read_settings(self, prefix: str) -> Mapping[str, str]:
        with self._reading():
            return self._settings.beginning_with(prefix)

    @override
    def put_setting(self, name: str, value: str, *, replace: bool = False) -> str:
        self._check()
        return self._settings.put(name, value, replace=replace)

    def sessions(self) -> list[tuple[Any, ...]] | None:
        """Return who else is connected, `None` if the database keeps no list."""
        return self._database.sessions()

    @override
    def record_timings(
        self, visit_id: int, tile: str, steps: Sequence[StepTiming]
    ) -> None:
        self._check()
        self._timings_table.write(visit_id, tile, steps)

    @override
    def read_timings(self) -> Catalog:
        self._check()
        return self._timings_table.read()
