"""Processes that work on the tiles of a visit, with connections that stay open.

Tiles are processed in two phases. All of them read and match first; only then are
they stored, so that no tile sees what another stored for the same visit, and a tile
that fails while reading leaves nothing stored. A tile is one transaction; when some
of them fail to be stored, the visit fails, and its repetition stores the missing
ones only.
"""

import logging
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from l1db_pipeline.errors import L1dbError
from l1db_pipeline.runs.tiles.division import make_tiles
from l1db_pipeline.runs.tiles.process import READY, Job, Reply, work
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.visit.association import Detections
from l1db_pipeline.visit.process import Visit, VisitOptions, VisitSummary

__all__ = ["TileError", "TileWorkers", "WorkerError"]

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 10
_DIED = "its worker process died"


class TileError(L1dbError):
    """Tiles of a visit failed; the visit is not complete.

    Repeating the visit processes the tiles that are missing, and no other.
    """

    def __init__(
        self, visit_id: int, reasons: dict[str, str], *, n_stored: int
    ) -> None:
        super().__init__(visit_id, reasons)
        self.visit_id = visit_id
        self.reasons = reasons
        self.n_stored = n_stored

    @override
    def __str__(self) -> str:
        tiles = "; ".join(f"tile {t}: {why}" for t, why in sorted(self.reasons.items()))
        return (
            f"visit {self.visit_id} is not complete ({self.n_stored} of its tiles are "
            f"stored): {tiles}. Run again with the same --divide to process the rest"
        )


class WorkerError(L1dbError):
    """A worker process does not start."""

    @override
    def __str__(self) -> str:
        return (
            "a worker process for tiles does not start: see what it wrote to standard "
            "error, or run without --divide"
        )


@dataclass(eq=False, slots=True)
class _Worker:
    process: ForkServerProcess
    pipe: Connection
    held: list[str] = field(default_factory=list)
    """Tiles that it prepared and holds for the second phase."""


class TileWorkers:
    """A pool of processes, each with its own open store.

    Use it as a context manager, or `close` it. A worker that died is replaced when
    the next visit begins.

    Parameters
    ----------
    config
        Configuration of the database.
    n_workers
        Processes, at least 1.
    explain
        Log the database's plan of each read.
    """

    def __init__(
        self, config: L1dbConfig, n_workers: int, *, explain: bool = False
    ) -> None:
        if n_workers < 1:
            raise ValueError(f"at least one worker is needed, not {n_workers}")
        self._config = config
        self._explain = explain
        self._n_workers = n_workers
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every worker; those that do not answer are killed."""
        for worker in self._workers:
            worker.pipe.close()  # its end of file is the signal
        for worker in self._workers:
            worker.process.join(_STOP_TIMEOUT_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()
        self._workers.clear()

    def process(
        self,
        visit: Visit,
        detections: Detections,
        *,
        options: VisitOptions,
        n: int,
        stored: frozenset[str] = frozenset(),
        replay: bool = False,
    ) -> list[VisitSummary]:
        """Process the tiles of a visit that are not stored; return their summaries.

        Parameters
        ----------
        visit, detections, options, replay
            As in `process_visit`.
        n
            Tiles along a side of the field of view.
        stored
            Tiles to leave alone.

        Raises
        ------
        TileError
            If a tile fails, or its worker dies.
        """
        self._start()
        names = [area.name for area in make_tiles(visit, n)]
        todo = [name for name in names if name not in stored]
        job = Job(
            visit=visit,
            detections=detections,
            options=options,
            n=n,
            replay=replay,
        )
        for worker in self._workers:
            worker.held.clear()
            _send(worker, ("visit", job))
        prepared = self._prepare(todo)
        self._check(visit, prepared, n_stored=len(stored))
        if not options.update:
            return _summaries(prepared)
        results = self._store()
        n_stored = len(stored) + sum(not reply.error for reply in results)
        self._check(visit, results, n_stored=n_stored)
        return _summaries(results)

    def _start(self) -> None:
        """Start workers, in place of dead ones too, and wait until they are ready.

        Raises
        ------
        WorkerError
            If one does not come up.
        """
        for worker in [w for w in self._workers if not w.process.is_alive()]:
            worker.pipe.close()
            self._workers.remove(worker)
        started: list[Connection] = []
        # a plain fork would share connections; the server of forks has none, and has
        # imported what every worker needs
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["l1db_pipeline.runs.tiles.process"])
        while len(self._workers) < self._n_workers:
            ours, theirs = context.Pipe()
            process = context.Process(
                target=work,
                args=(theirs, self._config),
                kwargs={"explain": self._explain},
                daemon=True,
            )
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))
            started.append(ours)
        for pipe in started:
            if not pipe.poll(_START_TIMEOUT_S) or _answer(pipe) != READY:
                raise WorkerError

    def _prepare(self, todo: Sequence[str]) -> list[Reply]:
        """Give each worker its part of the tiles, then what others have left.

        A worker gets the same part in each visit: its store remembers objects.
        """
        n = len(self._workers)
        ends = [len(todo) * place // n for place in range(n + 1)]
        parts = [list(todo[i:j]) for i, j in pairwise(ends)]
        busy: list[tuple[_Worker, str]] = []
        replies: list[Reply] = []
        free = list(range(n))
        while any(parts) or busy:
            while free and any(parts):
                place = free.pop()
                part = parts[place] or max(parts, key=len)
                worker, tile = self._workers[place], part.pop(0)
                busy.append((worker, tile))
                _send(worker, ("prepare", tile))
            if not busy:  # every worker died
                replies += [Reply(t, None, _DIED, ()) for part in parts for t in part]
                break
            ready = wait([worker.pipe for worker, _ in busy])
            for worker, tile in [pair for pair in busy if pair[0].pipe in ready]:
                busy.remove((worker, tile))
                reply = _receive(worker, tile)
                replies.append(reply)
                if reply.error != _DIED:
                    free.append(self._workers.index(worker))
                if not reply.error:
                    worker.held.append(tile)
        return replies

    def _store(self) -> list[Reply]:
        for worker in self._workers:
            for tile in worker.held:
                _send(worker, ("store", tile))
        pending = [(worker, list(worker.held)) for worker in self._workers]
        replies: list[Reply] = []
        while pending := [pair for pair in pending if pair[1]]:
            ready = wait([worker.pipe for worker, _ in pending])
            for worker, tiles in pending:
                if worker.pipe not in ready:
                    continue
                reply = _receive(worker, tiles.pop(0))
                replies.append(reply)
                if reply.error == _DIED:
                    replies += [Reply(tile, None, _DIED, ()) for tile in tiles]
                    tiles.clear()
        return replies

    @staticmethod
    def _check(visit: Visit, replies: Sequence[Reply], *, n_stored: int) -> None:
        for reply in replies:
            for name, level, message in reply.log:
                logging.getLogger(name).log(level, "%s", message)
        reasons = {reply.tile: reply.error for reply in replies if reply.error}
        if reasons:
            raise TileError(visit.visit_id, reasons, n_stored=n_stored)


def _summaries(replies: Sequence[Reply]) -> list[VisitSummary]:
    return [reply.summary for reply in replies if reply.summary is not None]


def _send(worker: _Worker, message: tuple[str, Any]) -> None:
    try:
        worker.pipe.send(message)
    except OSError:
        return  # its death shows when its answer is read


def _receive(worker: _Worker, tile: str) -> Reply:
    reply = _answer(worker.pipe)
    return reply if isinstance(reply, Reply) else Reply(tile, None, _DIED, ())


def _answer(pipe: Connection) -> object:
    """Return the next message, `None` if the worker is gone."""
    try:
        message: object = pipe.recv()
    except (EOFError, OSError):
        return None
    return message
