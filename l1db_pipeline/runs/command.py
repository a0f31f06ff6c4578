"""What ``ap_proto`` does with its options: check them, then run, stoppable."""

import logging
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event
from types import FrameType

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from l1db_pipeline.runs.cadence import next_pointings, settle_cadence, visits_of
from l1db_pipeline.runs.loop import DAILY_EVERY, Division, run_visits
from l1db_pipeline.runs.settings import RunSettings, catalog_digest, settle
from l1db_pipeline.runs.tiles.process import open_run_store
from l1db_pipeline.runs.tiles.workers import TileWorkers
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sources.dia import simulate_visit
from l1db_pipeline.sources.source_file import SourceCatalog, load_sources
from l1db_pipeline.store.base import L1Store, StoreOutcome
from l1db_pipeline.survey.pointings import Pointing, table_pointings
from l1db_pipeline.survey.visits_table import read_visits_table
from l1db_pipeline.visit.association import Detections, detections_of
from l1db_pipeline.visit.process import MatchMode, Visit, VisitSummary

__all__ = ["RunRequest", "run", "simulator"]

_log = logging.getLogger("ap_proto")
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What a command line asks for; `None` where it is silent."""

    config_file: Path
    sources_file: Path
    visits_file: Path | None = None
    n_visits: int | None = None
    interval_s: int | None = None
    start_time: datetime | None = None
    start_visit_id: int | None = None
    fields_deg: Sequence[tuple[float, float]] = ()
    divide: int = 0
    n_workers: int | None = None
    explain: bool = False
    update: bool = True
    settings: Mapping[str, object] = field(default_factory=dict)
    """As `settle` takes them, with the matching mode as a word."""


def run(
    request: RunRequest, *, verbosity: int = 0, is_quiet: bool = False
) -> int | None:
    """Run the prototype; return how many visits are new, `None` after Ctrl-C.

    Files and options are checked before anything is written.

    Raises
    ------
    L1dbError
        If a file or an option cannot be used, or a visit fails.
    """
    logging.basicConfig(
        level=_LEVELS[min(verbosity, 2)],
        format="%(asctime)s [%(levelname)s] %(name)s: %(message)s",
    )
    config = L1dbConfig.from_ini(request.config_file)
    _log.info("Configuration: %s", config)
    _log.info("Start loading variable sources from %r", str(request.sources_file))
    catalog = load_sources(request.sources_file)
    _log.info("Finished loading variable sources, count = %s", len(catalog))
    with ExitStack() as stack:
        store = open_run_store(config, explain=request.explain)
        stack.callback(store.close)
        pointings, settings = _prepare(request, store, catalog)
        division = None
        if request.divide > 1:
            n_workers = request.n_workers or os.cpu_count() or 1
            workers = stack.enter_context(
                TileWorkers(config, n_workers, explain=request.explain)
            )
            division = Division(request.divide, workers)
        visits = visits_of(pointings, settings.open_angle_deg)
        summaries = run_visits(
            store,
            visits,
            simulator(catalog, settings),
            options=settings.options(config, update=request.update),
            schema=load_schema(config.schema_file, column_map=config.column_map),
            division=division,
            daily_every=None if request.visits_file else DAILY_EVERY,
        )
        return _run_to_end(summaries, request, is_quiet=is_quiet)


def simulator(
    catalog: SourceCatalog, settings: RunSettings
) -> Callable[[Visit], Detections]:
    """Return the difference imaging of a run, a function of the visit alone."""
    model = settings.model

    def simulate(visit: Visit) -> Detections:
        sources = simulate_visit(
            catalog,
            visit.centre,
            seed=settings.seed,
            visit_id=visit.visit_id,
            model=model,
        )
        return detections_of(sources)

    return simulate


def _prepare(
    request: RunRequest, store: L1Store, catalog: SourceCatalog
) -> tuple[Iterator[Pointing], RunSettings]:
    """Return the pointings to come and the settings, which are kept from now on."""
    table = read_visits_table(request.visits_file) if request.visits_file else None
    asked = dict(request.settings)
    if asked.get("match") is not None:
        asked["match"] = MatchMode(asked["match"])
    asked["catalog_sha256"] = catalog_digest(catalog.xyz)
    if asked.get("seed") is None and store.get_setting("run.seed") is None:
        asked["seed"] = secrets.randbits(31)
    settings = settle(store, asked, keep=False)
    if table is not None:
        pointings = table_pointings(table)
    else:
        cadence = settle_cadence(
            store,
            start_time=request.start_time,
            start_visit_id=request.start_visit_id,
            interval_s=request.interval_s,
            fields_deg=request.fields_deg,
            keep=request.update,
        )
        pointings = next_pointings(store, cadence, seed=settings.seed)
    last = store.last_visit()
    _log.info("Last visit: %s", last)
    _log.info("lastSourceId: %s", last.last_source_id if last else 0)
    _log.info("Settings: %s", settings)
    return pointings, settle(store, asked, keep=request.update)


def _run_to_end(
    summaries: Iterator[VisitSummary], request: RunRequest, *, is_quiet: bool
) -> int | None:
    """Take visits until there are enough, and count them; `None` after Ctrl-C."""
    wanted = request.n_visits or (None if request.visits_file else 1)
    n_done = 0
    with (
        _stop_requests() as stop,
        logging_redirect_tqdm(),
        tqdm(total=wanted, unit="visit", disable=is_quiet or None) as bar,
    ):
        for summary in summaries:
            if summary.outcome is not StoreOutcome.ALREADY_STORED:
                n_done += 1
                bar.update()
                bar.set_postfix_str(f"visit {summary.visit_id}")
            if n_done == wanted:
                break
            if stop.is_set():
                return None
    return n_done


@contextmanager
def _stop_requests() -> Iterator[Event]:
    """Yield an event that the first Ctrl-C sets; the second one interrupts."""
    stop = Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
