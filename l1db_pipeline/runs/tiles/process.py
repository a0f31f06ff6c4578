"""What a worker process does with the tiles of a visit; see `tile_workers`."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from typing_extensions import override

from l1db_pipeline.runs.tiles.division import make_tiles
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.schema.model import Schema
from l1db_pipeline.store.backends.explain import Plans
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.open import open_store
from l1db_pipeline.visit.association import Detections
from l1db_pipeline.visit.process import (
    Area,
    PreparedVisit,
    Visit,
    VisitOptions,
    VisitSummary,
    prepare_visit,
    store_fresh,
)

__all__ = ["READY", "Job", "Reply", "open_run_store", "work"]

READY = "ready"

_log = logging.getLogger("ap_proto")
_LOGGERS = ("ap_proto", "timer")

_LogRecord = tuple[str, int, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A visit as its workers get it; each worker knows its tiles from it."""

    visit: Visit
    detections: Detections
    options: VisitOptions
    n: int
    """Tiles along a side."""
    replay: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker says of one tile in one phase."""

    tile: str
    summary: VisitSummary | None
    error: str
    """Why the tile failed; empty if it did not."""
    log: tuple[_LogRecord, ...]
    """Logger, level and message of each line."""


def open_run_store(config: L1dbConfig, *, explain: bool) -> L1Store:
    """Open the store of a run; with ``explain`` it logs the plan of each read."""
    if not explain:
        return open_store(config)
    plans = Plans(lambda line: _log.info("explain: %s", line), wanted=True)
    return open_store(config, plans=plans)


def work(pipe: Connection, config: L1dbConfig, *, explain: bool = False) -> None:
    """Answer messages until the pipe is closed at the other end.

    Messages are ``("visit", Job)``, which has no answer, and ``("prepare", tile)``
    and ``("store", tile)``, each answered by a `Reply`. The first answer is `READY`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    log = _LogKeeper()
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(log)
        logger.propagate = False
    with _opened(config, explain=explain) as worker, pipe:
        pipe.send(READY)
        while True:
            try:
                what, value = pipe.recv()
            except EOFError:
                return
            if what == "visit":
                worker.begin(value)
            else:
                pipe.send(worker.answer(what, value, log))


class _LogKeeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._records: list[_LogRecord] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self._records.append((record.name, record.levelno, record.getMessage()))

    def take(self) -> tuple[_LogRecord, ...]:
        taken, self._records = tuple(self._records), []
        return taken


@dataclass(slots=True)
class _TileWorker:
    config: L1dbConfig
    schema: Schema
    explain: bool
    store: L1Store | None = None
    job: Job | None = None
    areas: dict[str, Area] = field(default_factory=dict)
    prepared: dict[str, PreparedVisit] = field(default_factory=dict)

    def begin(self, job: Job) -> None:
        self.job = job
        margin_deg = job.options.margin_deg
        areas = make_tiles(job.visit, job.n, margin_deg=margin_deg)
        self.areas = {area.name: area for area in areas}
        self.prepared.clear()

    def answer(self, what: str, tile: str, log: _LogKeeper) -> Reply:
        try:
            summary = self._prepare(tile) if what == "prepare" else self._store(tile)
        except Exception as error:  # noqa: BLE001  # it is raised again by the parent
            reason = f"{type(error).__name__}: {error}"
            return Reply(tile, None, reason, log.take())
        return Reply(tile, summary, "", log.take())

    def _prepare(self, tile: str) -> VisitSummary:
        if self.store is None:
            self.store = open_run_store(self.config, explain=self.explain)
        self.store.timings.steps.clear()
        self.prepared[tile] = self._read(self.store, tile)
        return self.prepared[tile].summary

    def _read(self, store: L1Store, tile: str) -> PreparedVisit:
        if self.job is None:
            raise RuntimeError(f"tile {tile} came before its visit")
        return prepare_visit(
            store,
            self.job.visit,
            self.job.detections,
            area=self.areas[tile],
            options=self.job.options,
            schema=self.schema,
            replay=self.job.replay,
        )

    def _store(self, tile: str) -> VisitSummary:
        store = self.store
        if store is None:
            raise RuntimeError(f"tile {tile} was not prepared")
        store.timings.steps.clear()
        prepared = self.prepared.pop(tile)
        summary = store_fresh(store, prepared, lambda: self._read(store, tile))
        store.record_timings(summary.visit_id, tile, summary.steps)
        return summary


@contextmanager
def _opened(config: L1dbConfig, *, explain: bool) -> Iterator[_TileWorker]:
    """Yield a worker whose store is opened when first needed, closed in the end."""
    schema = load_schema(config.schema_file, column_map=config.column_map)
    worker = _TileWorker(config, schema, explain)
    try:
        yield worker
    finally:
        if worker.store is not None:
            worker.store.close()
