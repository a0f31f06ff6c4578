"""Stores a part of a visit: claimed, written, compared with its rivals, decided."""

import contextlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.sky.htm import home_pixel
from l1db_pipeline.store.backends.cassandra.cells import Cells
from l1db_pipeline.store.backends.cassandra.ledger import GiveWayError, Ledger
from l1db_pipeline.store.backends.cassandra.session import (
    CassandraSession,
    NoQuorumError,
)
from l1db_pipeline.store.backends.cassandra.tables import FORCED, SOURCES, Tag
from l1db_pipeline.store.backends.cassandra.writing import (
    NAME_OF,
    Attempt,
    HomelessError,
    Rivals,
)
from l1db_pipeline.store.base import StoreOutcome
from l1db_pipeline.store.errors import DatabaseUnavailableError
from l1db_pipeline.store.tables.objects import HomePixels, pixels_of_sources
from l1db_pipeline.store.tables.packed_objects import PackedObjects
from l1db_pipeline.store.timing import Timings
from l1db_pipeline.store.token import ReadToken, cells_written
from l1db_pipeline.store.validate import CheckedVisit

__all__ = ["Storing"]

_MOST_ATTEMPTS = 50
_HomesOf = Callable[[NDArray[np.int64]], tuple[NDArray[np.int32], NDArray[np.bool_]]]
"""Returns the homes of objects, and which of them exist."""


class Storing:
    """Makes attempts until one is decided."""

    def __init__(  # noqa: PLR0917 - the parts of the store
        self,
        session: CassandraSession,
        ledger: Ledger,
        cells: Cells,
        packed: PackedObjects,
        homes_of: _HomesOf,
        config: L1dbConfig,
        timings: Timings,
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._cells = cells
        self._cell_level = config.cell_level
        self._packed = packed
        self._homes_of = homes_of
        self._level = config.history_pixel_level
        self._timings = timings

    def store(
        self, visit: CheckedVisit, token: ReadToken | None = None
    ) -> StoreOutcome:
        """Store a part of a visit, once; if the reads of a token still hold.

        Raises
        ------
        L1dbError
            If it cannot be stored beside what is; nothing of it counts then.
        """
        for _ in range(_MOST_ATTEMPTS):
            tag = self._ledger.claim(visit)
            if tag is None:
                return StoreOutcome.ALREADY_STORED
            try:
                if self._try(tag, visit, token):
                    return StoreOutcome.STORED
            except HomelessError:
                self._ledger.give_up(tag)
            except GiveWayError as error:
                self._ledger.give_up(tag)
                self._ledger.wait_for(error.other)
            except BaseException:
                # so that another content may be stored under the visit's id at once
                with contextlib.suppress(DatabaseUnavailableError):
                    self._ledger.give_up(tag)
                raise
        raise NoQuorumError(
            str(self._session.place),
            f"visit {visit.key.visit_id} met others {_MOST_ATTEMPTS} times",
        )

    def _try(self, tag: Tag, visit: CheckedVisit, token: ReadToken | None) -> bool:
        """Write and store an attempt that holds the visit; false if it lost it."""
        self._at("claimed")
        self._ledger.check_others(tag, visit)
        attempt = self._resolve(tag, visit)
        places, work = [], []
        for number, statement in attempt.chunks(self._packed):
            places.append(number)
            work.append(statement)
        work += attempt.statements(self._level)
        touched = cells_written(self._cell_level, visit.objects, visit.sources)
        if token is not None:
            touched = np.union1d(touched, token.cells)
        work += self._cells.statements(tag, touched)
        n_rows = len(visit.objects) + len(visit.sources) + len(visit.forced)
        with self._timings.step("chunks insert") as step:
            step.n_rows = n_rows
            step.n_bytes = sum(len(v[-1]) for _, v in work[: len(places)])
            self._session.many(work)
        self._at("written")
        Rivals(self._session, self._ledger, attempt).check()
        if token is not None:
            self._cells.check(tag, token)
        self._at("checked")
        n_new = int(attempt.is_new.sum())
        if not self._ledger.store(tag, visit, places, n_new):
            return False
        self._at("stored")
        at = int(visit.time.astype(np.int64))
        # else whoever reads the lists asks the ledger
        with contextlib.suppress(DatabaseUnavailableError):
            self._ledger.note_stored(tag, attempt.month, at, n_new)
        return True

    def _at(self, step: str) -> None:
        """Do nothing; a test cuts or pauses a writer here."""

    def _resolve(self, tag: Tag, visit: CheckedVisit) -> Attempt:
        ids = visit.objects["diaObjectId"]
        homes, known = self._homes_of(ids)
        level = self._level
        homes[~known] = home_pixel(visit.objects["htmId20"][~known], level)
        own = HomePixels()
        own.add(ids, homes)
        sources, forced = (
            pixels_of_sources(
                NAME_OF[name], visit, rows, own, level=level, look_up=self._homes_of
            )
            for name, rows in ((SOURCES, visit.sources), (FORCED, visit.forced))
        )
        return Attempt(
            tag=tag,
            visit=visit,
            homes=homes,
            is_new=~known,
            source_pixels=sources,
            forced_pixels=forced,
        )
