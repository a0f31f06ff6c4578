"""The AP prototype: one visit after another, resumable, counted and timed."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

from typing_extensions import override

from l1db_pipeline.errors import L1dbError, VisitConflictError
from l1db_pipeline.runs.kept_pointings import KeptPointing, kept_pointing
from l1db_pipeline.runs.tiles.division import make_tiles
from l1db_pipeline.runs.tiles.workers import TileWorkers
from l1db_pipeline.schema.model import Schema
from l1db_pipeline.sky.htm import xyz_to_radec
from l1db_pipeline.store.base import L1Store, StoreOutcome
from l1db_pipeline.store.timing import TABLE_ROWS_STEP, StepTiming
from l1db_pipeline.visit.association import Detections
from l1db_pipeline.visit.process import (
    AREA_STEPS,
    Visit,
    VisitOptions,
    VisitSummary,
    process_visit,
)
from visit_tables.day_obs import day_obs_at

__all__ = [
    "COUNTS_EVERY",
    "DAILY_EVERY",
    "Division",
    "DivisionError",
    "run_visits",
]

_log = logging.getLogger("ap_proto")

DAILY_EVERY = 1000
"""Visits between daily jobs, by visit id, as in the original."""
COUNTS_EVERY = 50
"""Visits between row counts."""

_GREEN, _BLUE, _YELLOW, _RESET = "\033[32m", "\033[34m", "\033[33m", "\033[0m"


class DivisionError(L1dbError):
    """A partly stored visit was started with another division."""

    def __init__(self, visit_id: int, stored: Sequence[str]) -> None:
        super().__init__(visit_id, stored)
        self.visit_id = visit_id
        self.stored = stored

    @override
    def __str__(self) -> str:
        tiles = ", ".join(sorted(self.stored))
        return (
            f"visit {self.visit_id} is partly stored, as tiles {tiles}, which are not "
            "of this division: use the --divide with which it was started"
        )


@dataclass(frozen=True, slots=True)
class Division:
    """How visits are divided: ``n`` by ``n`` tiles, and who works on them."""

    n: int
    workers: TileWorkers


def run_visits(
    store: L1Store,
    visits: Iterable[Visit],
    simulate: Callable[[Visit], Detections],
    *,
    options: VisitOptions,
    schema: Schema,
    division: Division | None = None,
    verify_stored: bool = False,
    daily_every: int | None = DAILY_EVERY,
    counts_every: int = COUNTS_EVERY,
) -> Iterator[VisitSummary]:
    """Process visits in their order; yield the summary of each.

    A visit that is stored already is not stored again; to compare it, it is processed
    on the database as it was just before it. Any other one, also if it is earlier than
    a stored visit, finds the objects of all visits stored so far.

    Parameters
    ----------
    store
        Database; gets the timings and pointings of visits too.
    visits
        What to process; taken one at a time.
    simulate
        Difference imaging: the detections of a visit, the same at every call.
    options, schema
        As in `process_visit`.
    division
        Tiles and their workers, `None` for whole visits.
    verify_stored
        Process stored visits once more and compare the content; else they are
        passed over, with counts of 0 in their summaries. The content is not the same
        if a visit was stored after a later one of the same sky.
    daily_every
        Before a visit whose id is a multiple, the nightly table is merged; `None`
        does so before the first visit of each later night, for ids that do not count.
    counts_every
        In a visit whose id is a multiple, rows are counted, which takes long.

    Yields
    ------
    summary
        Of a visit; sums over its tiles if it is divided.

    Raises
    ------
    VisitConflictError
        If other content, or a visit of another time or place, is stored under a
        visit's id.
    TileError, DivisionError
        If tiles fail, or belong to another division.
    """
    last = store.last_visit()
    last_time = last.time if last else None
    for visit in visits:
        stored = store.stored_tiles(visit.visit_id)
        if stored:
            _check_same(store, visit)
        names = _area_names(visit, division)
        if stored - names and not _is_whole(visit, stored):
            raise DivisionError(visit.visit_id, sorted(stored))
        is_complete = stored == names or bool(stored - names)
        if is_complete and not verify_stored:
            _log.info("Visit %s is already stored", visit.visit_id)
            yield _passed_over(visit)
            continue
        if options.update and _is_daily_due(visit, last_time, daily_every):
            _do_daily_job(store)
        summary = _run_visit(
            store,
            visit,
            simulate,
            options=options,
            schema=schema,
            division=None if is_complete and "" in stored else division,
            stored=frozenset() if is_complete else stored,
            replay=is_complete,
            counts=visit.visit_id % counts_every == 0,
        )
        last_time = visit.time if last_time is None else max(visit.time, last_time)
        yield summary


def _check_same(store: L1Store, visit: Visit) -> None:
    """Refuse a visit whose id is that of a stored visit of another time or place.

    Counted ids are the same in every visits file of a night.
    """
    time = store.visit_time(visit.visit_id)
    kept = kept_pointing(store, visit.visit_id)
    place = None if kept is None else kept.place
    offered = KeptPointing.of(visit).place
    if time is None or (time == visit.time and place in {None, offered}):
        return
    raise VisitConflictError(
        visit.visit_id,
        "",
        f"{time:%Y-%m-%d %H:%M:%S.%f} UTC at {place}",
        f"{visit.time:%Y-%m-%d %H:%M:%S.%f} UTC at {offered}",
    )


def _area_names(visit: Visit, division: Division | None) -> frozenset[str]:
    if division is None:
        return frozenset({""})
    return frozenset(area.name for area in make_tiles(visit, division.n))


def _is_whole(visit: Visit, stored: frozenset[str]) -> bool:
    """Tell whether stored tiles make a visit, in whatever division."""
    if "" in stored:
        return True
    if not stored:
        return False
    side = 1 + max(int(place) for name in stored for place in name.split("x"))
    # the outermost rows of cells may all lie outside the field, not more
    return any(
        stored == frozenset(area.name for area in make_tiles(visit, n))
        for n in (side, side + 1)
    )


def _passed_over(visit: Visit) -> VisitSummary:
    return VisitSummary(
        visit_id=visit.visit_id,
        tile="",
        outcome=StoreOutcome.ALREADY_STORED,
        n_detections=0,
        n_objects_found=0,
        n_objects_known=0,
        n_matched=0,
        n_new=0,
        n_sources_found=0,
        n_forced_sources_found=0,
        n_objects=0,
        n_sources=0,
        steps=(),
    )


def _is_daily_due(
    visit: Visit, last_time: datetime | None, daily_every: int | None
) -> bool:
    if daily_every is not None:
        return visit.visit_id % daily_every == 0
    return last_time is not None and day_obs_at(visit.time) > day_obs_at(last_time)


def _do_daily_job(store: L1Store) -> None:
    _log.info(f"{_YELLOW}+++ Start daily activities{_RESET}")
    store.merge_nightly()
    _log.info(f"{_YELLOW}+++ Done with daily activities{_RESET}")


def _run_visit(
    store: L1Store,
    visit: Visit,
    simulate: Callable[[Visit], Detections],
    *,
    options: VisitOptions,
    schema: Schema,
    division: Division | None,
    stored: frozenset[str],
    replay: bool,
    counts: bool,
) -> VisitSummary:
    """Simulate, process and store one visit; see `run_visits` for the arguments."""
    timings = store.timings
    timings.steps.clear()
    timings.prefix = ""
    _log.info(
        f"{_GREEN}+++ Start processing visit %s at %s{_RESET}",
        visit.visit_id, visit.time.strftime("%Y-%m-%d %H:%M:%S.%f"),
    )  # fmt: skip
    with timings.step("Visit") as total:
        with timings.step("DIA") as step:
            _note_pointing(store, visit, keep=options.update)
            detections = simulate(visit)
            step.n_rows = len(detections)
            _log.info("DIA generated %s sources", len(detections))
        sizes = _count_rows(store) if counts else []
        with timings.step("VisitProcessing") as step:
            if division is None:
                summary = process_visit(
                    store,
                    visit,
                    detections,
                    options=options,
                    schema=schema,
                    replay=replay,
                )
            else:
                tiles = division.workers.process(
                    visit,
                    detections,
                    options=options,
                    n=division.n,
                    stored=stored,
                    replay=replay,
                )
                summary = _total(tiles)
                for timed in (step, total):
                    _add_cpu(timed, summary.steps)
        timings.prefix = ""
    steps = (*timings.steps, *sizes)
    if options.update:
        store.record_timings(visit.visit_id, "", steps)
    _log.info(
        f"{_BLUE}--- Finished processing visit %s, time: "
        f"real=%.3f user=%.3f sys=%.3f{_RESET}",
        visit.visit_id, total.real_s, total.user_s, total.sys_s,
    )  # fmt: skip
    if division is None:  # its steps are among the run's
        return replace(summary, steps=steps)
    return replace(summary, steps=(*summary.steps, *steps))


def _add_cpu(step: StepTiming, of_workers: Sequence[StepTiming]) -> None:
    """Count what workers spent in the steps that hold all of a tile's others."""
    for spent in of_workers:
        if spent.step in AREA_STEPS:
            step.user_s += spent.user_s
            step.sys_s += spent.sys_s


def _note_pointing(store: L1Store, visit: Visit, *, keep: bool) -> None:
    ra_deg, dec_deg = (float(angle) for angle in xyz_to_radec(visit.centre))
    _log.info("Pointing ra, decl = %s, %s; xyz = %s", ra_deg, dec_deg, visit.centre)
    if keep:  # before the visit is stored, so that a crash does not lose it
        KeptPointing.of(visit).keep(store, visit.visit_id)


def _count_rows(store: L1Store) -> list[StepTiming]:
    """Log and return rows and bytes of the tables, as steps that took no time."""
    counts, sizes = store.row_counts(), store.table_bytes()
    for table, count in sorted(counts.items()):
        if table.startswith("Dia"):
            _log.info("%s row count: %s", table, count)
    return [
        StepTiming(
            TABLE_ROWS_STEP.format(table=table),
            n_rows=counts.get(table),
            n_bytes=sizes.get(table),
        )
        for table in sorted({*counts, *sizes})
    ]


def _total(tiles: Sequence[VisitSummary]) -> VisitSummary:
    """Return the sum of the summaries of tiles."""
    outcomes = {tile.outcome for tile in tiles}
    outcome = StoreOutcome.STORED if StoreOutcome.STORED in outcomes else outcomes.pop()
    sums = {
        field.name: sum(getattr(tile, field.name) for tile in tiles)
        for field in fields(VisitSummary)
        if field.name.startswith("n_")
    }
    steps = tuple(step for tile in tiles for step in tile.steps)
    return VisitSummary(
        visit_id=tiles[0].visit_id, tile="", outcome=outcome, steps=steps, **sums
    )
