"""One visit of the AP prototype: the story of alert production in one function.

Read the known objects of the field, keep those inside it, match the visit's sources
to them, measure the rest by forced photometry, read their history, store it all.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.ids import new_object_ids
from l1db_pipeline.schema.model import Schema
from l1db_pipeline.sky.geometry import cosines, fov_circle
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sky.matching import match_positions
from l1db_pipeline.store.base import L1Store, StoreOutcome, VisitKey, VisitRecords
from l1db_pipeline.store.errors import ConnectionLostError, StaleReadError
from l1db_pipeline.store.timing import StepTiming
from l1db_pipeline.store.token import ReadToken
from l1db_pipeline.visit.association import (
    Detections,
    forced_photometry_rows,
    forced_source_records,
    ids_by_catalog,
    object_records,
    source_records,
    with_required_columns,
)
from l1db_pipeline.visit.filling import fill_columns, row_keys
from visit_tables.time_scales import mjd_tai_from_utc, utc64

__all__ = [
    "AREA_STEPS",
    "Area",
    "MatchMode",
    "PreparedVisit",
    "Visit",
    "VisitOptions",
    "VisitSummary",
    "field_of_view",
    "prepare_visit",
    "process_visit",
    "store_fresh",
]

_log = logging.getLogger("ap_proto")

AREA_STEPS = ("Objects-read", "S2O-matching", "Source-read", "L1-store")
"""Steps of an area, in order; other steps lie within them."""

_MOST_READS = 10
_MONTH = timedelta(days=30)
_MATCH_REACH = 3
"""A match depends on nothing farther than so many radii, see `match_positions`."""


class MatchMode(Enum):
    """How a source finds its object."""

    ID = "id"
    """The generator's catalog row is the object's id, as in the original."""
    POSITION = "position"
    """The nearest known object within a radius."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One pointing at one time."""

    visit_id: int
    time: datetime
    """Mid-exposure time, aware."""
    centre: NDArray[np.float64]
    """Unit vector of the pointing, ICRS."""
    open_angle_deg: float
    """Full opening angle of the circular field of view."""
    band: str | None = None
    """``u`` to ``y``, `None` if it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitOptions:
    """What a visit does beyond the data; equal options give equal rows."""

    match: MatchMode = MatchMode.ID
    match_radius_arcsec: float = 1.0
    position_sigma_deg: float = 0.0
    """Error of a measured position in each direction, written to the records."""
    fill: bool = False
    """Fill every column with plausible values instead of the required ones only."""
    read_sources_months: int = 12
    """Window of history, months of 30 days before the visit; 0 reads none."""
    read_forced_sources_months: int = 12
    update: bool = True
    """False reads and computes, and stores nothing."""

    @property
    def margin_deg(self) -> float:
        """How far beyond an area objects and sources matter for matching in it."""
        if self.match is MatchMode.ID:
            return 0.0
        return _MATCH_REACH * self.match_radius_arcsec / 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Area:
    """The part of the sky that is processed as one: the field of view or a tile."""

    name: str
    """Empty for the whole field, else the tile's ``<ix>x<iy>``."""
    region: Region
    """What is read: the part and the margin that matching needs around it."""
    contains: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
    """Tells which unit vectors are in the part itself; each is in one tile only."""
    n_areas: int = 1
    """How many areas make the visit."""

    @property
    def prefix(self) -> str:
        """What log lines of the area begin with."""
        return f"tile={self.name} " if self.name else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitSummary:
    """Counts and timings of a visit, or of one tile of it."""

    visit_id: int
    tile: str
    outcome: StoreOutcome | None
    """`None` if nothing was to be stored."""
    n_detections: int
    n_objects_found: int
    """Objects that the database found, before trimming to the area."""
    n_objects_known: int
    n_matched: int
    n_new: int
    n_sources_found: int
    n_forced_sources_found: int
    n_objects: int
    """Object versions of the visit; equally many forced sources."""
    n_sources: int
    steps: tuple[StepTiming, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedVisit:
    """Records of a visit (or tile) before they are stored."""

    key: VisitKey
    area: Area
    records: VisitRecords
    token: ReadToken
    """What they follow from."""
    summary: VisitSummary


def field_of_view(visit: Visit, *, margin_deg: float = 0.0) -> Area:
    """Return the whole field of view of a visit as one area."""
    cos_radius = np.cos(np.radians(visit.open_angle_deg / 2))

    def contains(xyz: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(cosines(xyz, visit.centre) >= cos_radius)

    open_angle_deg = visit.open_angle_deg + 2 * margin_deg
    circle = fov_circle(visit.centre, np.radians(open_angle_deg))
    return Area(name="", region=circle, contains=contains)


def process_visit(
    store: L1Store,
    visit: Visit,
    detections: Detections,
    *,
    options: VisitOptions,
    schema: Schema,
    replay: bool = False,
) -> VisitSummary:
    """Process a visit in its whole field of view and store it in one transaction.

    Parameters
    ----------
    store
        Database; its ``timings`` receive the steps.
    visit
        Where and when.
    detections
        What difference imaging found, in and around the field of view.
    options
        Matching, filling, history, update.
    schema
        Tables of the database, for the columns that they require.
    replay
        The visit may be stored already, or later visits are: read the database as
        it was just before the visit, so that the same rows result.

    Returns
    -------
    summary
        Counts and timings.

    Raises
    ------
    VisitConflictError
        If other content is stored under the visit's id.
    StaleReadError
        If other visits have stored there while it was read, ten times in turn.
    L1dbError
        If the database cannot be read or written; it is then as before.
    """
    area = field_of_view(visit, margin_deg=options.margin_deg)

    def prepare() -> PreparedVisit:
        return prepare_visit(
            store,
            visit,
            detections,
            area=area,
            options=options,
            schema=schema,
            replay=replay,
        )

    prepared = prepare()
    return store_fresh(store, prepared, prepare) if options.update else prepared.summary


def prepare_visit(
    store: L1Store,
    visit: Visit,
    detections: Detections,
    *,
    area: Area,
    options: VisitOptions,
    schema: Schema,
    replay: bool = False,
) -> PreparedVisit:
    """Do all of a visit in one area but the storing; arguments as `process_visit`.

    ``detections`` are those of the whole visit, also for a tile: an object that
    another tile detects is not measured by forced photometry in this one.
    """
    detections = detections.take(field_of_view(visit).contains(detections.xyz))

    def read() -> PreparedVisit:
        with store.reading_unit(visit.visit_id, area.region) as token:
            return _prepare(
                store,
                visit,
                detections,
                token,
                area=area,
                options=options,
                schema=schema,
                replay=replay,
            )

    try:
        return read()
    except ConnectionLostError as error:
        _log.warning("%svisit %s is read again: %s", area.prefix, visit.visit_id, error)
        return read()


def _prepare(
    store: L1Store,
    visit: Visit,
    detections: Detections,
    token: ReadToken,
    *,
    area: Area,
    options: VisitOptions,
    schema: Schema,
    replay: bool,
) -> PreparedVisit:
    """Do what `prepare_visit` does, within one snapshot of the database."""
    first_step = store.timings.n_ended
    store.timings.prefix = area.prefix
    time = utc64(visit.time)
    with store.timings.step("Objects-read") as step:
        found, around, known = _read_known(store, visit, area, replay=replay)
        step.n_rows = len(known)
    with store.timings.step("S2O-matching") as step:
        detected_ids, is_new = _associate(visit, detections, around, options)
        own = area.contains(detections.xyz)
        detections, object_ids = detections.take(own), detected_ids[own]
        n_new = int(np.count_nonzero(is_new[own]))
        _log.info(
            "%sfound %d matching objects and %d transients/noise",
            area.prefix, len(detections) - n_new, n_new,
        )  # fmt: skip
        forced = known.take(forced_photometry_rows(known, detected_ids, time))
        records = _records(
            visit, detections, object_ids, forced, options=options, schema=schema
        )
        step.n_rows = len(records.objects)
    with store.timings.step("Source-read") as step:
        n_sources, n_forced = _read_histories(store, visit, area, known, options)
        step.n_rows = n_sources + n_forced
    key = VisitKey(
        visit_id=visit.visit_id, time=visit.time, tile=area.name, n_tiles=area.n_areas
    )
    summary = VisitSummary(
        visit_id=visit.visit_id,
        tile=area.name,
        outcome=None,
        n_detections=len(detections),
        n_objects_found=found,
        n_objects_known=len(known),
        n_matched=len(detections) - n_new,
        n_new=n_new,
        n_sources_found=n_sources,
        n_forced_sources_found=n_forced,
        n_objects=len(records.objects),
        n_sources=len(records.sources),
        steps=store.timings.since(first_step),
    )
    return PreparedVisit(
        key=key, area=area, records=records, token=token, summary=summary
    )


def store_fresh(
    store: L1Store, prepared: PreparedVisit, prepare: Callable[[], PreparedVisit]
) -> VisitSummary:
    """Store what was prepared, in one transaction; return its summary.

    If another visit has stored meanwhile where it was read, it is prepared again. Of
    two that collide one always gets through, so that nobody has to wait before.

    Raises
    ------
    StaleReadError
        If that happens ten times in turn.
    """
    for _ in range(_MOST_READS - 1):
        try:
            return _store(store, prepared)
        except StaleReadError as error:
            _log.info("%s%s", prepared.area.prefix, error)
            prepared = prepare()
    return _store(store, prepared)


def _store(store: L1Store, prepared: PreparedVisit) -> VisitSummary:
    first_step = store.timings.n_ended
    prefix = store.timings.prefix = prepared.area.prefix
    records = prepared.records
    with store.timings.step("L1-store") as step:
        counts = {
            "Objects": len(records.objects),
            "Sources": len(records.sources),
            "ForcedSources": len(records.forced_sources),
        }
        for what, n_rows in counts.items():
            _log.info("%swill store %d %s", prefix, n_rows, what)
        outcome = store.store_visit(prepared.key, records, prepared.token)
        step.n_rows = sum(counts.values())
    steps = (*prepared.summary.steps, *store.timings.since(first_step))
    return replace(prepared.summary, outcome=outcome, steps=steps)


def _read_known(
    store: L1Store, visit: Visit, area: Area, *, replay: bool
) -> tuple[int, Catalog, Catalog]:
    """Return the rows that the database found, objects with and without the margin."""
    first_step = store.timings.n_ended
    before = visit.time - timedelta(microseconds=1) if replay else None
    around = store.read_objects(area.region, at=before)
    # a database gives rows in any order; what we make of them has but one
    around = around.take(np.argsort(around["diaObjectId"], kind="stable"))
    rows = [s.n_rows for s in store.timings.since(first_step) if s.n_rows is not None]
    found = max(len(around), sum(rows))
    _log.info("%sdatabase found %d objects", area.prefix, found)
    inside = area.contains(radec_to_xyz(around["ra"], around["decl"]))
    known = around.take(inside)
    _log.info("%safter filtering %d objects", area.prefix, len(known))
    return found, around, known


def _associate(
    visit: Visit,
    detections: Detections,
    around: Catalog,
    options: VisitOptions,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the object of each detection, and whether it is a new one."""
    if options.match is MatchMode.ID:
        return ids_by_catalog(detections, visit.visit_id), detections.catalog_index < 0
    rows = match_positions(
        detections.xyz,
        radec_to_xyz(around["ra"], around["decl"]),
        options.match_radius_arcsec,
        one_source_per_object=True,
    )
    is_new = rows < 0
    object_ids = new_object_ids(visit.visit_id, detections.places)
    object_ids[~is_new] = around["diaObjectId"][rows[~is_new]]
    return object_ids, is_new


def _records(
    visit: Visit,
    detections: Detections,
    object_ids: NDArray[np.int64],
    forced: Catalog,
    *,
    options: VisitOptions,
    schema: Schema,
) -> VisitRecords:
    time = utc64(visit.time)
    sigma_deg = options.position_sigma_deg
    objects = object_records(
        detections, object_ids, forced, time, position_sigma_deg=sigma_deg
    )
    sources = source_records(
        detections, object_ids, visit.visit_id, time, position_sigma_deg=sigma_deg
    )
    forced_sources = forced_source_records(objects, visit.visit_id, detections)
    tables = {table.name: table for table in schema.tables}
    if options.fill:
        keys = row_keys(objects["diaObjectId"], forced_sources["ccdVisitId"])
        source_keys = row_keys(sources["diaSourceId"])
        mjd_tai = mjd_tai_from_utc(np.array(time))
        when = {"midPointTai": mjd_tai, "timeProcessedMjdTai": mjd_tai}
        # forced photometry is done where its object is
        where = {name: objects[name] for name in ("ra", "decl")}
        objects = fill_columns(objects, tables["DiaObject"], keys)
        sources = fill_columns(sources, tables["DiaSource"], source_keys, when)
        forced_sources = fill_columns(
            forced_sources, tables["DiaForcedSource"], keys, when | where
        )
    return VisitRecords(
        objects=with_required_columns(objects, tables["DiaObject"]),
        sources=with_required_columns(sources, tables["DiaSource"]),
        forced_sources=with_required_columns(forced_sources, tables["DiaForcedSource"]),
    )


def _read_histories(
    store: L1Store, visit: Visit, area: Area, known: Catalog, options: VisitOptions
) -> tuple[int, int]:
    """Read the history of the known objects; return the numbers of rows."""
    counts = []
    for read, months, what in (
        (store.read_sources, options.read_sources_months, "sources"),
        (
            store.read_forced_sources,
            options.read_forced_sources_months,
            "forced sources",
        ),
    ):
        n_rows = 0
        if months and len(known):
            rows = read(
                object_ids=known["diaObjectId"],
                since=visit.time - months * _MONTH,
                until=visit.time,
            )
            n_rows = len(rows)
        _log.info("%sdatabase found %d %s", area.prefix, n_rows, what)
        counts.append(n_rows)
    return counts[0], counts[1]
