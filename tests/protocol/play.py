"""Plays a course on a database and tells whether it kept the store's promises.

What is stored must be what the units would have stored one after the other in the
order of their COMMITs, each once; what a unit read must be one of the states between.
"""

import atexit
import functools
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import yaml
from lsst.sphgeom import Region
from numpy.typing import NDArray
from protocol.course import N_PLACES, Course, Unit
from protocol.databases import World
from protocol.scheduler import Actor, Killed, Scheduler

from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.load import OWN_SCHEMA, load_schema, read_yaml
from l1db_pipeline.sky.geometry import fov_circle
from l1db_pipeline.sky.htm import htm_index, radec_to_xyz, xyz_to_radec
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.errors import DatabaseError, StaleReadError
from l1db_pipeline.visit.association import Detections
from l1db_pipeline.visit.process import (
    Area,
    MatchMode,
    Visit,
    VisitOptions,
    prepare_visit,
    store_fresh,
)

__all__ = ["CONFIG", "BrokenPromiseError", "play"]

_RA_DEG, _DEC_DEG = 40.0, -30.0
_RADIUS_ARCSEC = 1.0
_OPEN_ANGLE_DEG = 0.3
_START = datetime(2026, 1, 1, 3, tzinfo=UTC)
_TRIES = 9  # more than a course has faults
_OPTIONS = VisitOptions(match=MatchMode.POSITION, match_radius_arcsec=_RADIUS_ARCSEC)


def _small_schema() -> str:
    """Return a file with our tables, of which only few columns are left."""
    tables: Any = read_yaml(OWN_SCHEMA)
    for table in tables["tables"]:
        kept = _COLUMNS.get(table["name"])
        if kept is not None:
            table["columns"] = [c for c in table["columns"] if c["name"] in kept]
    with NamedTemporaryFile("w", suffix=".yaml", delete=False) as file:
        yaml.safe_dump(tables, file)
    atexit.register(Path(file.name).unlink)
    return file.name


_SKY = {"ra", "decl", "htmId20"}
_OF_OBJECTS = {
    *_SKY, "diaObjectId", "validityStart", "validityEnd", "lastNonForcedSource",
    "raSigma", "declSigma", "ra_decl_Cov", "radecTai",
}  # fmt: skip
_COLUMNS = {
    "DiaObject": _OF_OBJECTS,
    "DiaObjectLast": _OF_OBJECTS,
    "DiaObjectNightly": _OF_OBJECTS,
    "DiaSource": {*_SKY, "diaSourceId", "ccdVisitId", "diaObjectId",
                  "midPointTai", "ssObjectId"},
    "DiaForcedSource": {"diaObjectId", "ccdVisitId", "psFlux"},
}  # fmt: skip
CONFIG = L1dbConfig(url="memory:", cell_level=10, schema_file=_small_schema())
"""Of all databases of courses: few columns, for these are about order and not size."""
_SCHEMA = load_schema(CONFIG.schema_file)
_CENTRE = radec_to_xyz(np.array([_RA_DEG]), np.array([_DEC_DEG]))[0]
_STEPS = np.arange(N_PLACES) - N_PLACES // 2
_PLACES = radec_to_xyz(_RA_DEG + 0.04 * _STEPS, _DEC_DEG + 0.02 * _STEPS)
"""Of the variables, some cells of the sky apart."""
# beyond this, the field is the second part of a divided visit
_MIDDLE = _RA_DEG - 0.01

Read = tuple[frozenset[tuple[int, ...]], ...]


class BrokenPromiseError(AssertionError):
    """The store did not do what it promises."""


@dataclass(slots=True)
class _Diary:
    """What the processes have seen."""

    reads: list[tuple[int, int, int, Read]] = field(default_factory=list)
    """Commits before and after, whose unit it was, and what was read."""
    findings: list[str] = field(default_factory=list)


def play(course: Course, world: World) -> None:
    """Play a course and check what it leaves.

    Raises
    ------
    BrokenPromiseError
        If the store broke one of its promises.
    """
    diary = _Diary()
    works = [
        functools.partial(_write, course, world, units) for units in course.writers
    ]
    works.append(functools.partial(_read, course, world, diary))
    works.append(functools.partial(_keep, course, world, diary))
    Scheduler(course.faults, course.turns, works).run()
    with closing(world.connect(None)) as store:
        for unit in course.units:  # in the morning, all that is left
            if _tile(unit) not in store.stored_tiles(_visit_id(unit)):
                _process(course, unit, store)
                world.commits.units.append((_visit_id(unit), _tile(unit)))
        _check(course, world, store, diary)


def _check(course: Course, world: World, store: L1Store, diary: _Diary) -> None:
    commits = world.commits.units
    promised = sorted((_visit_id(unit), _tile(unit)) for unit in course.units)
    if sorted(commits) != promised:
        raise BrokenPromiseError(f"stored {commits}, not each of {promised} once")
    if diary.findings:
        raise BrokenPromiseError(f"verify meanwhile: {diary.findings}")
    findings = store.verify()
    if findings:
        raise BrokenPromiseError(f"verify: {[str(finding) for finding in findings]}")
    serial = _model()
    serial.create_schema(drop=True)
    units = {(_visit_id(unit), _tile(unit)): unit for unit in course.units}
    readers = {_NOBODY, *(visit for _, _, visit, _ in diary.reads)}
    states = [_read_as_each(serial, readers)]
    for commit in commits:
        _process(course, units[commit], serial)
        states.append(_read_as_each(serial, readers))
    for first, last, visit, seen in diary.reads:
        if seen not in [state[visit] for state in states[first : last + 1]]:
            raise BrokenPromiseError(
                f"a unit of visit {visit} read {seen}, "
                f"no state after {first} to {last} of {commits}"
            )
    ours, theirs = store.science_digest(), serial.science_digest()
    if ours != theirs:
        raise BrokenPromiseError(
            f"after {commits}: {_read_all(store)}, one by one: {_read_all(serial)}"
        )
    n_places = len(
        {place for unit in course.units for place in course.seen[unit.visit]}
    )
    n_objects = len(_read_all(serial)[0])
    if _is_whole(course) and n_objects != n_places:
        raise BrokenPromiseError(f"{n_objects} objects of {n_places} places")


def _is_whole(course: Course) -> bool:
    """Tell whether no visit lacks a part (that was left out of a smaller course)."""
    n_parts = {unit.visit: 0 for unit in course.units}
    for unit in course.units:
        n_parts[unit.visit] += 2 if unit.part is None else 1
    return all(n == 2 for n in n_parts.values())


def _write(course: Course, world: World, units: tuple[Unit, ...], actor: Actor) -> None:
    left = list(units)
    n_tries = 0
    while left:  # each time as a new process
        n_tries += 1
        with closing(world.connect(actor)) as store, suppress(Killed):
            while left:
                try:
                    if _tile(left[0]) not in store.stored_tiles(_visit_id(left[0])):
                        _process(course, left[0], store)
                except (DatabaseError, StaleReadError):
                    n_tries += 1
                    if n_tries > _TRIES:
                        raise
                else:
                    del left[0]


def _read(course: Course, world: World, diary: _Diary, actor: Actor) -> None:
    for number in range(course.n_reads):
        visit = _NOBODY if number else 1 + len(course.turns) % len(course.seen)
        with closing(world.connect(actor)) as store:
            first = len(world.commits.units)
            try:
                seen = _read_as(visit, store)
            except (DatabaseError, Killed):
                continue
            diary.reads.append((first, len(world.commits.units), visit, seen))


def _keep(course: Course, world: World, diary: _Diary, actor: Actor) -> None:
    for act in course.upkeep:
        with closing(world.connect(actor)) as store:
            try:
                match act:
                    case "compact":
                        store.compact_history()
                    case "rebuild":
                        store.rebuild_history()
                    case "merge":
                        store.merge_nightly()
                    case _:
                        diary.findings += map(str, store.verify())
            except (DatabaseError, Killed):
                continue


_NOBODY = 999


def _read_as_each(store: L1Store, visits: Collection[int]) -> Mapping[int, Read]:
    return {visit: _read_as(visit, store) for visit in visits}


def _read_as(visit: int, store: L1Store) -> Read:
    """Return what a unit of a visit reads, which is as if its visit had no objects."""
    with store.reading_unit(visit, _region()):
        return _read_all(store)


def _read_all(store: L1Store) -> Read:
    """Return the keys of the field's objects and of all their history."""
    objects = store.read_objects(_region(), columns=["diaObjectId", "htmId20"])
    ids = np.sort(objects["diaObjectId"])
    sources = store.read_sources(
        object_ids=ids, columns=["diaSourceId", "diaObjectId", "ccdVisitId"]
    )
    forced = store.read_forced_sources(
        object_ids=ids, columns=["diaObjectId", "ccdVisitId"]
    )
    return tuple(
        frozenset(zip(*(rows[name].tolist() for name in rows.names), strict=True))
        for rows in (objects, sources, forced)
    )


def _process(course: Course, unit: Unit, store: L1Store) -> None:
    visit, detections, area = _job(course.seen[unit.visit], unit)
    prepare = functools.partial(
        prepare_visit,
        store,
        visit,
        detections,
        area=area,
        options=_OPTIONS,
        schema=_SCHEMA,
    )
    store_fresh(store, prepare(), prepare)


def _visit_id(unit: Unit) -> int:
    return unit.visit + 1


def _tile(unit: Unit) -> str:
    return "" if unit.part is None else f"{unit.part}x0"


@functools.cache
def _region() -> Region:
    return fov_circle(_CENTRE, np.radians(_OPEN_ANGLE_DEG))


@functools.cache
def _job(places: tuple[int, ...], unit: Unit) -> tuple[Visit, Detections, Area]:
    """Return a unit as the pipeline has it: some sources, a little off their places."""
    visit = Visit(
        visit_id=_visit_id(unit),
        time=_START + timedelta(days=unit.visit),
        centre=_CENTRE,
        open_angle_deg=_OPEN_ANGLE_DEG,
    )
    offset = np.random.default_rng(unit.visit).normal(size=(len(places), 3))
    xyz = _PLACES[list(places)] + offset * np.radians(0.1 / 3600)
    xyz /= np.linalg.norm(xyz, axis=1, keepdims=True)
    ra_deg, dec_deg = xyz_to_radec(xyz)
    detections = Detections(
        xyz=xyz,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        htm20=htm_index(xyz),
        catalog_index=np.full(len(places), -1),
        places=np.arange(len(places)),
    )

    def contains(vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
        if unit.part is None:
            return np.ones(len(vectors), dtype=np.bool_)
        return np.asarray((xyz_to_radec(vectors)[0] < _MIDDLE) == (unit.part == 0))

    n_areas = 1 if unit.part is None else 2
    area = Area(name=_tile(unit), region=_region(), contains=contains, n_areas=n_areas)
    return visit, detections, area


@functools.cache
def _model() -> MemoryL1Store:
    """Return the store to compare with, made once."""
    return MemoryL1Store(CONFIG)
