"""The L1 store on Cassandra: the protocol's methods, told in terms of its parts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
from lsst.sphgeom import Angle, Circle, LonLat, Region, UnitVector3d
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.model import Schema
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.store.backends.cassandra import merging, proving
from l1db_pipeline.store.backends.cassandra.answers import Answers
from l1db_pipeline.store.backends.cassandra.cells import Cells
from l1db_pipeline.store.backends.cassandra.journal import Journal, counts_of
from l1db_pipeline.store.backends.cassandra.keeping import (
    Keyspace,
    Settings,
    read_timings,
    write_timings,
)
from l1db_pipeline.store.backends.cassandra.ledger import (
    Ledger,
    as_saved,
)
from l1db_pipeline.store.backends.cassandra.reading import Reading
from l1db_pipeline.store.backends.cassandra.session import (
    CassandraSession,
)
from l1db_pipeline.store.backends.cassandra.storing import Storing
from l1db_pipeline.store.backends.cassandra.tables import (
    CHUNK_TABLES,
    FORCED,
    SAVED,
    SOURCES,
    VERSIONS,
)
from l1db_pipeline.store.base import (
    Finding,
    L1Store,
    LastVisit,
    LightCurve,
    StoreOutcome,
    Verification,
    VisitKey,
    VisitRecords,
)
from l1db_pipeline.store.tables.history import TimeWindow
from l1db_pipeline.store.tables.layout import VISIT_TIME, Layout
from l1db_pipeline.store.tables.objects import (
    with_ends,
)
from l1db_pipeline.store.tables.packed_objects import PackedObjects
from l1db_pipeline.store.tables.rows import (
    known_columns,
    object_columns,
    public_columns,
)
from l1db_pipeline.store.timing import StepTiming, Timings
from l1db_pipeline.store.token import ReadToken
from l1db_pipeline.store.validate import check_visit
from visit_tables.time_scales import utc64

__all__ = ["CassandraL1Store"]

_COVER_RANGES = 4096
_FEW_MONTHS = 24  # of a window: more are looked for in the journal
_MOST_ATTEMPTS = 50
_Ids = NDArray[np.int64]
_Pixels = NDArray[np.int32]


class CassandraL1Store(L1Store):
    """An L1 store on a keyspace of Cassandra.

    Parameters
    ----------
    session
        The cluster; the store closes it.
    schema, config
        Tables and options, those that the keyspace was made with.
    timings
        Where steps are recorded; `None` for a collector of its own.
    """

    def __init__(
        self,
        session: CassandraSession,
        schema: Schema,
        config: L1dbConfig,
        timings: Timings | None = None,
    ) -> None:
        self.timings = Timings() if timings is None else timings
        self.config = config
        self.layout = Layout.of(schema, config)
        self._session = session
        self._keyspace = Keyspace(session, schema, config)
        self._settings = Settings(session)
        self._ledger = Ledger(session)
        self._journal = Journal(session, self._ledger)
        self._cells = Cells(session, self._ledger, config.cell_level)
        self._unit: Reading | None = None
        self._packed = PackedObjects(self.layout.current)
        self._answers = Answers(
            session, self._ledger, self._journal, self.layout, config
        )
        self._storing = Storing(
            session,
            self._ledger,
            self._cells,
            self._packed,
            self._answers.homes_of,
            config,
            self.timings,
        )

    @override
    def close(self) -> None:
        self._session.close()

    @property
    @override
    def place(self) -> str:
        return str(self._session.place)

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.config}>"

    @override
    def create_schema(self, *, drop: bool = False) -> None:
        self._keyspace.create(drop=drop)
        if drop:
            self.forget()

    def forget(self) -> None:
        """Forget what was read, after the tables were emptied."""
        self._ledger.forget()
        self._answers.forget()

    def _reading(self) -> Reading:
        if self._unit is not None:
            return self._unit
        self._keyspace.check()
        return Reading(self._session, self._ledger)

    @override
    @contextmanager
    def reading_unit(self, visit_id: int, region: Region) -> Iterator[ReadToken]:
        self._keyspace.check()
        unit = Reading(self._session, self._ledger, visit_id)
        token = self._cells.token(self._keyspace.identity, visit_id, region)
        self._unit = unit
        try:
            yield token
        finally:
            self._unit = None

    # --- reading --------------------------------------------------------------

    @override
    def read_objects(
        self,
        region: Region,
        *,
        columns: Sequence[str] | None = None,
        at: datetime | None = None,
    ) -> Catalog:
        table = self.layout.current if at is None else self.layout.objects
        names = object_columns(table, columns, is_full=self.config.read_full_objects)
        with self.timings.step("DiaObject select") as step:
            reading = self._reading()
            if at is None:
                found = self._answers.current(reading, region, names)
            else:
                time = utc64(at, "read_objects at")
                found = self._answers.at(reading, region, names, time)
            step.n_rows = len(found)
        return found

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
        return self._read_history(SOURCES, region, object_ids, window, columns)

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
        return self._read_history(FORCED, region, object_ids, window, columns)

    def _read_history(
        self,
        name: str,
        region: Region | None,
        object_ids: _Ids | None,
        window: TimeWindow,
        columns: Sequence[str] | None,
    ) -> Catalog:
        table = self._answers.table_of(name)
        names = known_columns(table, columns)
        with self.timings.step(f"{table.name} select") as step:
            reading = self._reading()
            ids = self._answers.select_objects(reading, region, object_ids)
            found = self._answers.history_of(reading, name, ids, window, names)
            if region is not None and object_ids is None:
                lone = self._answers.lone(reading, name, region, window, names)
                found = Catalog.concat([found, lone])
            step.n_rows = len(found)
        return found

    @override
    def light_curve(self, object_id: int) -> LightCurve:
        ids = np.array([object_id], dtype=np.int64)
        reading = self._reading()
        objects = self.layout.objects
        names = public_columns(objects)
        versions = self._answers.history_of(reading, VERSIONS, ids, TimeWindow(), names)
        parts = []
        for name in (SOURCES, FORCED):
            names = [*public_columns(self._answers.table_of(name)), VISIT_TIME]
            rows = self._answers.history_of(reading, name, ids, TimeWindow(), names)
            rows = rows.take(np.argsort(rows[VISIT_TIME], kind="stable"))
            parts.append(rows.select(names[:-1]))
        return LightCurve(
            versions=with_ends(versions), sources=parts[0], forced_sources=parts[1]
        )

    @override
    def cone_search(
        self,
        ra_deg: float,
        dec_deg: float,
        radius_arcsec: float,
        *,
        columns: Sequence[str] | None = None,
    ) -> Catalog:
        centre = UnitVector3d(LonLat.fromDegrees(ra_deg, dec_deg))
        region = Circle(centre, Angle.fromDegrees(radius_arcsec / 3600))
        is_full = self.config.read_full_objects
        names = object_columns(self.layout.current, columns, is_full=is_full)
        found = self._answers.current(self._reading(), region, [*names, "ra", "decl"])
        direction = radec_to_xyz(np.array([ra_deg]), np.array([dec_deg]))[0]
        offsets = radec_to_xyz(found["ra"], found["decl"]) - direction
        order = np.argsort((offsets**2).sum(axis=1), kind="stable")
        return found.take(order).select(names)

    # --- storing --------------------------------------------------------------

    @override
    def store_visit(
        self, key: VisitKey, records: VisitRecords, token: ReadToken | None = None
    ) -> StoreOutcome:
        self._keyspace.check()
        visit = check_visit(self.layout, key, records)
        if token is not None:
            token.check(self._keyspace.identity, key.visit_id)
        return self._storing.store(visit, token)

    @override
    def save_visit(self, visit_id: int, time: datetime) -> None:
        self._keyspace.check()
        key = VisitKey(visit_id=visit_id, time=time, n_tiles=0)
        nothing = VisitRecords(
            objects=Catalog({}), sources=Catalog({}), forced_sources=Catalog({})
        )
        visit = check_visit(self.layout, key, nothing)
        self._storing.store(as_saved(visit))

    # --- visits ---------------------------------------------------------------

    @override
    def stored_tiles(self, visit_id: int) -> frozenset[str]:
        self._keyspace.check()
        tiles = {tag.tile for tag in self._ledger.tiles(visit_id)}
        return frozenset(tiles - {SAVED})

    @override
    def read_visits(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Catalog:
        self._keyspace.check()
        window = TimeWindow.between(since, until)
        visits = list(self._journal.complete(self._journal.months_of(window)))
        times = np.array([time for time, _ in visits], dtype="datetime64[us]")
        ids = np.array([visit_id for _, visit_id in visits], dtype=np.int64)
        found = Catalog({"visitId": ids, "visitTime": times})
        return found.take(window.holds(times))

    @override
    def visit_time(self, visit_id: int) -> datetime | None:
        self._keyspace.check()
        times = [time for time, _ in self._ledger.tiles(visit_id).values()]
        return _datetime(times[0]) if times else None

    @override
    def last_visit(self) -> LastVisit | None:
        self._keyspace.check()
        months = self._journal.months()
        visits = list(self._journal.complete(months))
        if not visits:
            return None
        time, visit_id = visits[-1]
        parts = self._journal.stored(months)
        return LastVisit(
            visit_id=visit_id,
            time=_datetime(time),
            last_object_id=max(part.last_object for part in parts),
            last_source_id=max(part.last_source for part in parts),
        )

    @override
    def row_counts(self) -> Mapping[str, int]:
        self._keyspace.check()
        return counts_of(self._journal.stored(self._journal.months()))

    @override
    def table_bytes(self) -> Mapping[str, int]:
        self._keyspace.check()
        return proving.table_bytes(self._session)

    # --- off-line work --------------------------------------------------------

    @override
    def merge_nightly(self) -> int:
        return 0

    @override
    def compact_history(self, *, before: datetime | None = None) -> int:
        self._keyspace.check()
        limit = None if before is None else utc64(before, "compact before")
        merger = merging.Merger(
            self._session, self._ledger, self.layout, self._packed, limit
        )
        self._cells.fold(merger.is_ripe)
        return sum(merger.merge(table) for table in CHUNK_TABLES)

    @override
    def rebuild_history(self) -> int:
        return 0

    @override
    def verify(
        self, *, repair: bool = False, scope: Verification | None = None
    ) -> list[Finding]:
        scope = Verification() if scope is None else scope
        verifier = self._prover(TimeWindow.between(scope.since, scope.until), scope)
        return list(verifier.findings(repair=repair))

    def _prover(self, window: TimeWindow, scope: Verification) -> "proving.Prover":
        return proving.Prover(
            self._session, self._ledger, self._journal, self._reading,
            layout=self.layout, packed=self._packed, window=window, scope=scope,
        )  # fmt: skip

    @override
    def science_digest(self) -> Mapping[str, str]:
        return self._prover(TimeWindow(), Verification()).science_digest()

    @override
    def get_setting(self, name: str) -> str | None:
        self._keyspace.check()
        return self._settings.get(name)

    @override
    def read_settings(self, prefix: str) -> Mapping[str, str]:
        self._keyspace.check()
        return self._settings.beginning_with(prefix)

    @override
    def put_setting(self, name: str, value: str, *, replace: bool = False) -> str:
        self._keyspace.check()
        return self._settings.put(name, value, replace=replace)

    @override
    def record_timings(
        self, visit_id: int, tile: str, steps: Sequence[StepTiming]
    ) -> None:
        self._keyspace.check()
        write_timings(self._session, visit_id, tile, steps)

    @override
    def read_timings(self) -> Catalog:
        self._keyspace.check()
        return read_timings(self._session)


def _datetime(time_us: int) -> datetime:
    found: datetime = np.datetime64(time_us, "us").astype(datetime)
    return found.replace(tzinfo=UTC)
