"""The L1 store in memory: a reference that is obvious rather than fast.

It keeps what each visit brought and works every answer out from all of it, so that it
has no index mode, no packed history and nothing that could disagree. Tests compare
the databases with it. Only the check of what comes in is shared with them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime
from typing import Any

import numpy as np
from lsst.sphgeom import LonLat, Region, UnitVector3d
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import VisitConflictError
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.store.backends.memory_contents import (
    Contents,
    catalog_of,
    rows_of,
)
from l1db_pipeline.store.backends.memory_expiry import expire, months_of
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
from l1db_pipeline.store.digest import TableDigest
from l1db_pipeline.store.errors import (
    DuplicateIdError,
    InvalidCatalogError,
    TooManyTilesError,
    UnknownObjectError,
    VersionExistsError,
)
from l1db_pipeline.store.expired import kept_window, refuse_expired
from l1db_pipeline.store.months import Month, aware
from l1db_pipeline.store.tables.history import TimeWindow
from l1db_pipeline.store.tables.layout import TIMINGS, VISIT_ID, VISIT_TIME, Layout
from l1db_pipeline.store.tables.rows import (
    object_columns,
    public_columns,
)
from l1db_pipeline.store.timing import StepTiming, Timings
from l1db_pipeline.store.token import CellClaim, ReadToken, cells_written
from l1db_pipeline.store.validate import CheckedVisit, check_visit, visit_time64
from visit_tables.time_scales import utc64

__all__ = ["MemoryL1Store"]

_Row = dict[str, Any]
_Ids = NDArray[np.int64]


class MemoryL1Store(L1Store):
    """Every visit since it was made, as rows of Python values.

    Parameters
    ----------
    config
        Of its options the schema, ``read_full_objects`` and what tables there are
        matter; the URL does not.
    """

    def __init__(self, config: L1dbConfig, timings: Timings | None = None) -> None:
        self.timings = Timings() if timings is None else timings
        self.config = config
        schema = load_schema(config.schema_file, column_map=config.column_map or None)
        self.layout = Layout.of(schema, config)
        self._contents = Contents.at_level(config.cell_level)
        self._frozen: Contents | None = None
        self._unit: int | None = None

    @property
    @override
    def place(self) -> str:
        return "the store in memory"

    def connect(self) -> "MemoryL1Store":
        """Return a store of its own with the same contents, as for another process."""
        other = copy(self)
        other.timings = Timings()
        return other

    @property
    def _state(self) -> Contents:
        """What is there: in a unit, what was there when it began."""
        return self._contents if self._frozen is None else self._frozen

    @override
    def close(self) -> None:
        """Keep everything: there is nothing to release."""

    @override
    def create_schema(self, *, drop: bool = False) -> None:
        if drop:
            self._contents.clear()

    @override
    @contextmanager
    def reading_unit(self, visit_id: int, region: Region) -> Iterator[ReadToken]:
        self._unit, self._frozen = visit_id, self._contents.frozen()
        try:
            yield self._state.cells.token(visit_id, region)
        finally:
            self._unit = self._frozen = None

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
        rows = self._current()
        if at is not None:
            time = _moment(at, "read_objects at")
            self._refuse("objects as of", time)
            versions = self._with_ends(self._state.versions)
            rows = [row for row in versions if _is_valid(row, time)]
        inside = [row for row in rows if _is_inside(row, region)]
        return catalog_of(table, inside, names)

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
        window = self._kept("DiaSource", since, until)
        wanted = self._selected(region, object_ids, window)
        rows = [row for row in self._state.sources if wanted(row)]
        return catalog_of(self.layout.sources, rows, columns)

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
        window = self._kept("DiaForcedSource", since, until)
        wanted = self._selected(region, object_ids, window)
        rows = [row for row in self._state.forced if wanted(row)]
        return catalog_of(self.layout.forced, rows, columns)

    def _selected(
        self,
        region: Region | None,
        object_ids: _Ids | None,
        window: TimeWindow,
    ) -> Callable[[_Row], bool]:
        """Return who tells whether a row of history is asked for."""
        if region is None and object_ids is None:
            raise InvalidCatalogError(
                "history", "neither region nor object_ids", "give one of them, or both"
            )
        ids = {row["diaObjectId"] for row in self._state.versions}
        if object_ids is not None:
            ids &= set(object_ids.tolist())
        if region is not None:
            ids &= {
                row["diaObjectId"] for row in self._current() if _is_inside(row, region)
            }

        def is_chosen(row: _Row) -> bool:
            if row.get("diaObjectId") is not None:
                return row["diaObjectId"] in ids
            return region is not None and object_ids is None and _is_inside(row, region)

        return lambda row: (
            is_chosen(row)
            and (window.since is None or row[VISIT_TIME] >= window.since)
            and (window.until is None or row[VISIT_TIME] < window.until)
        )

    def _kept(
        self, what: str, since: datetime | None, until: datetime | None
    ) -> TimeWindow:
        window, is_clipped = TimeWindow.between(since, until), self._unit is not None
        return kept_window(self._state.horizon, what, window, is_clipped=is_clipped)

    def _refuse(self, what: str, time: datetime) -> None:
        refuse_expired(self._contents.horizon, what, np.datetime64(time, "us"))

    @override
    def store_visit(
        self, key: VisitKey, records: VisitRecords, token: ReadToken | None = None
    ) -> StoreOutcome:
        visit = check_visit(self.layout, key, records)
        if token is not None:
            token.check(self._contents.cells.identity, key.read_as)
        if not self._is_new(visit):
            return StoreOutcome.ALREADY_STORED
        self._refuse(f"{key.words} of", _moment(key.time))
        contents = self._contents
        stored = contents.tiles(key.visit_id)
        if 0 < key.n_tiles <= len(stored):
            raise TooManyTilesError(
                f"visit {key.visit_id} tile {key.tile!r}",
                f"all {key.n_tiles} tiles are stored",
                "use another visit id",
            )
        objects, sources, forced = (
            rows_of(part, visit.time, key.visit_id)
            for part in (visit.objects, visit.sources, visit.forced)
        )
        for row in objects:
            row["validityStart"] = _moment(key.time)
        self._check(key.visit_id, objects, sources, forced)
        written = cells_written(self.config.cell_level, visit.objects, visit.sources)
        contents.cells.note(CellClaim.of(key.read_as, token, written))
        contents.versions += objects
        contents.sources += sources
        contents.forced += forced
        contents.n_nightly += len(objects) * self.config.dia_object_nightly
        contents.ledger[key.visit_id, key.tile] = _summary(visit)
        if key.n_tiles == len(stored) + 1:
            contents.visits[key.visit_id] = _moment(key.time)
        return StoreOutcome.STORED

    def _is_new(self, visit: CheckedVisit) -> bool:
        key, ours = visit.key, _summary(visit)
        for (visit_id, tile), theirs in self._contents.ledger.items():
            if visit_id != key.visit_id:
                continue
            n_same = len(ours) if tile == key.tile else 2  # time and number of tiles
            if theirs[:n_same] != ours[:n_same]:
                raise VisitConflictError(
                    visit_id, tile, " ".join(theirs), " ".join(ours)
                )
        return (key.visit_id, key.tile) not in self._contents.ledger

    def _check(
        self,
        visit_id: int,
        objects: list[_Row],
        sources: list[_Row],
        forced: list[_Row],
    ) -> None:
        contents = self._contents
        known: set[Any] = {row["diaObjectId"] for row in [*contents.versions, *objects]}
        used: set[Any] = {row.get("diaObjectId") for row in [*sources, *forced]}
        place, remedy = f"visit {visit_id}", "give other ids, or the missing objects"
        if unknown := used - known - {None}:
            raise UnknownObjectError(place, f"no object {min(unknown)}", remedy)
        start = ("diaObjectId", "validityStart")
        for kind, old, new, names in (
            (VersionExistsError, contents.versions, objects, start),
            (DuplicateIdError, contents.sources, sources, ("diaSourceId",)),
            (DuplicateIdError, contents.forced, forced, ("diaObjectId", "ccdVisitId")),
        ):
            stored = {tuple(row[name] for name in names) for row in old}
            for row in new:
                if (ids := tuple(row[name] for name in names)) in stored:
                    raise kind(place, f"{names} {ids} is stored already", remedy)

    @override
    def save_visit(self, visit_id: int, time: datetime) -> None:
        key = VisitKey(visit_id=visit_id, time=time)
        visit_time64(self.layout, key, f"visit {visit_id}")
        given = _moment(time)
        if visit_id not in self._contents.visits:
            self._refuse(f"{key.words} of", given)
        stored = self._contents.visits.setdefault(visit_id, given)
        if stored != given:
            raise VisitConflictError(visit_id, "", str(stored), str(given))

    @override
    def stored_tiles(self, visit_id: int) -> frozenset[str]:
        return self._state.tiles(visit_id)

    @override
    def read_visits(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Catalog:
        rows = sorted((time, visit) for visit, time in self._state.visits.items())
        times = np.array([time for time, _ in rows], dtype="datetime64[us]")
        ids = np.array([visit for _, visit in rows], dtype=np.int64)
        window = TimeWindow.between(since, until)
        found = Catalog({"visitId": ids, "visitTime": times})
        return found.take(window.holds(times))

    @override
    def visit_time(self, visit_id: int) -> datetime | None:
        times = (
            datetime.fromisoformat(entry[0]).replace(tzinfo=UTC)
            for (visit, _), entry in self._state.ledger.items()
            if visit == visit_id
        )
        return next(times, None)

    @override
    def last_visit(self) -> LastVisit | None:
        if not self._state.visits:
            return None
        time, visit_id = max((t, visit) for visit, t in self._state.visits.items())
        objects = [row["diaObjectId"] for row in self._state.versions]
        sources = [row["diaSourceId"] for row in self._state.sources]
        return LastVisit(
            visit_id=visit_id,
            time=time.replace(tzinfo=UTC),
            last_object_id=max(objects, default=0),
            last_source_id=max(sources, default=0),
        )

    @override
    def light_curve(self, object_id: int) -> LightCurve:
        state = self._state
        versions, sources, forced = (
            sorted(
                (row for row in rows if row.get("diaObjectId") == object_id),
                key=lambda row: row[VISIT_TIME],
            )
            for rows in (self._with_ends(state.versions), state.sources, state.forced)
        )
        return LightCurve(
            versions=catalog_of(self.layout.objects, versions),
            sources=catalog_of(self.layout.sources, sources),
            forced_sources=catalog_of(self.layout.forced, forced),
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
        apart = [
            (_direction(row).dot(centre), place, row)
            for place, row in enumerate(self._current())
        ]
        limit = np.cos(np.radians(radius_arcsec / 3600))
        near = [row for cosine, _, row in sorted(apart)[::-1] if cosine >= limit]
        table, is_full = self.layout.current, self.config.read_full_objects
        return catalog_of(table, near, object_columns(table, columns, is_full=is_full))

    @override
    def row_counts(self) -> Mapping[str, int]:
        counts = {
            "DiaObject": len(self._state.versions) - self._state.n_nightly,
            "DiaSource": len(self._state.sources),
            "DiaForcedSource": len(self._state.forced),
            "L1DbProtoVisits": len(self._state.visits),
            "L1Ledger": len(self._state.ledger),
        }
        if self.config.dia_object_index is ObjectIndex.LAST_OBJECT_TABLE:
            counts["DiaObjectLast"] = len(self._current())
        if self.config.dia_object_nightly:
            counts["DiaObjectNightly"] = self._state.n_nightly
        return counts

    @override
    def table_bytes(self) -> Mapping[str, int]:
        return dict.fromkeys(self.row_counts(), 0)

    @override
    def merge_nightly(self) -> int:
        contents = self._contents
        moved, contents.n_nightly = contents.n_nightly, 0
        return moved

    @override
    def compact_history(self, *, before: datetime | None = None) -> int:
        return 0

    @override
    def horizon(self) -> datetime | None:
        return aware(self._state.horizon)

    @override
    def months(self) -> list[Month]:
        return months_of(self._state)

    @override
    def expire(self, before: datetime) -> None:
        ended, limit = self._with_ends(self._contents.versions), utc64(before)
        expire(self._contents, ended, self.place, limit)

    @override
    def rebuild_history(self) -> int:
        return 0

    @override
    def verify(
        self, *, repair: bool = False, scope: Verification | None = None
    ) -> list[Finding]:
        return []

    @override
    def science_digest(self) -> Mapping[str, str]:
        layout = self.layout
        current = [name for name in public_columns(layout.current)
                   if name in layout.current_names]  # fmt: skip
        versions = self._with_ends(self._state.versions)
        parts = {
            "versions": catalog_of(layout.objects, versions),
            "objects": catalog_of(layout.current, self._current(), current),
            "DiaSource": catalog_of(layout.sources, self._state.sources),
            "DiaForcedSource": catalog_of(layout.forced, self._state.forced),
        }
        return {name: str(TableDigest.of(rows)) for name, rows in parts.items()}

    @override
    def get_setting(self, name: str) -> str | None:
        return self._state.settings.get(name)

    @override
    def read_settings(self, prefix: str) -> Mapping[str, str]:
        return {n: v for n, v in self._state.settings.items() if n.startswith(prefix)}

    @override
    def put_setting(self, name: str, value: str, *, replace: bool = False) -> str:
        if replace:
            self._contents.settings[name] = value
        return self._contents.settings.setdefault(name, value)

    @override
    def record_timings(
        self, visit_id: int, tile: str, steps: Sequence[StepTiming]
    ) -> None:
        self._contents.steps[visit_id, tile] = list(steps)

    @override
    def read_timings(self) -> Catalog:
        rows = [
            dict(zip(TIMINGS.names, (visit_id, tile, place, step.step, step.real_s,
                                     step.user_s, step.sys_s, step.n_rows,
                                     step.n_bytes), strict=True))
            for (visit_id, tile), steps in sorted(self._state.steps.items())
            for place, step in enumerate(steps)
        ]  # fmt: skip
        return catalog_of(TIMINGS, rows, TIMINGS.names)

    def _current(self) -> list[_Row]:
        """Return current objects, in a unit those that its visit found."""
        versions = [row for row in self._state.versions if row[VISIT_ID] != self._unit]
        return [row for row in self._with_ends(versions) if row["validityEnd"] is None]

    def _with_ends(self, versions: list[_Row]) -> list[_Row]:
        """Return versions in order, each with the start of the next as its end."""
        rows = sorted(versions, key=lambda r: (r["diaObjectId"], r["validityStart"]))
        following: list[_Row] = [*rows[1:], {}][: len(rows)]
        return [
            {
                **row,
                "validityEnd": after["validityStart"]
                if after.get("diaObjectId") == row["diaObjectId"]
                else None,
            }
            for row, after in zip(rows, following, strict=True)
        ]


def _moment(time: datetime, place: str = "") -> datetime:
    """Return an aware time as rows keep it, naive and UTC."""
    moment: Any = utc64(time, place).item()
    return moment  # type: ignore[no-any-return]  # microseconds are datetimes


def _summary(visit: CheckedVisit) -> tuple[str, ...]:
    return str(visit.time), str(visit.key.n_tiles), *map(str, visit.digests)


def _direction(row: _Row) -> UnitVector3d:
    return UnitVector3d(LonLat.fromDegrees(row["ra"], row["decl"]))


def _is_inside(row: _Row, region: Region) -> bool:
    return bool(region.contains(_direction(row)))


def _is_valid(row: _Row, time: datetime) -> bool:
    end = row["validityEnd"]
    return bool(row["validityStart"] <= time and (end is None or time < end))
