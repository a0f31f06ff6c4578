"""What all visits have stored, by time: counts, largest ids, complete visits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from l1db_pipeline.store.backends.cassandra.ledger import Ledger, complete_visits
from l1db_pipeline.store.backends.cassandra.session import CassandraSession
from l1db_pipeline.store.backends.cassandra.tables import SAVED, Tag
from l1db_pipeline.store.tables.history import TimeWindow

__all__ = ["Journal", "StoredPart", "counts_of"]

_MONTHS = "SELECT DISTINCT month FROM {}journal"
_ROWS = """SELECT month, time, visit_id, tile, attempt, n_tiles, versions, sources,
    forced, last_object, last_source, new_objects, is_stored FROM {}journal
    WHERE month = ?"""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part of a visit, as the journal has it."""

    month: int
    time_us: int
    visit_id: int
    tile: str
    attempt: UUID
    n_tiles: int
    versions: int
    sources: int
    forced: int
    last_object: int
    last_source: int
    new_objects: int

    @property
    def tag(self) -> Tag:
        """The attempt that is stored."""
        return Tag(self.visit_id, self.tile, self.attempt)


class Journal:
    """Reads the journal; asks the ledger about what is not noted as stored there."""

    def __init__(self, session: CassandraSession, ledger: Ledger) -> None:
        self._session = session
        self._ledger = ledger

    def months(self) -> list[int]:
        """Return the months of all attempts, ascending."""
        return sorted(row[0] for row in self._session.run(_MONTHS))

    def months_of(self, window: TimeWindow) -> list[int]:
        """Return the months of a window that may have visits, ascending."""
        first = None if window.since is None else _month(window.since)
        last = None if window.until is None else _month(window.until)
        return [
            month
            for month in self.months()
            if (first is None or month >= first) and (last is None or month <= last)
        ]

    def stored(self, months: Sequence[int]) -> list[StoredPart]:
        """Return the stored parts of some months, by time."""
        found = self._session.many([(_ROWS, (month,)) for month in months])
        rows = [row for of_month in found for row in of_month]
        unsure = {Tag(*row[2:5]): row for row in rows if not row[-1]}
        stored = self._ledger.stored_tags(unsure)
        parts = []
        for row in rows:
            tag = Tag(*row[2:5])
            if not row[-1] and tag not in stored:
                continue
            new = row[11]
            if not row[-1]:  # whoever stored it has not come to say so
                entry = self._ledger.entry(*tag[:2])
                new = 0 if entry is None else entry.new_objects
                self._ledger.note_stored(tag, row[0], row[1], new)
            parts.append(StoredPart(*row[:11], new))  # type: ignore[call-arg]  # a row has any length
        return sorted(parts, key=lambda part: (part.time_us, part.visit_id))

    def complete(self, months: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield time and id of the complete visits of some months, by time."""
        parts = self.stored(months)
        complete = complete_visits((p.visit_id, p.tile, p.n_tiles) for p in parts)
        seen: set[int] = set()
        for part in parts:
            if part.visit_id in complete - seen:
                seen.add(part.visit_id)
                yield part.time_us, part.visit_id


def counts_of(parts: Sequence[StoredPart]) -> dict[str, int]:
    """Return the exact numbers of rows."""
    n_visits = len(complete_visits((p.visit_id, p.tile, p.n_tiles) for p in parts))
    return {
        "DiaObject": sum(part.versions for part in parts),
        "DiaObjectLast": sum(part.new_objects for part in parts),
        "DiaSource": sum(part.sources for part in parts),
        "DiaForcedSource": sum(part.forced for part in parts),
        "L1DbProtoVisits": n_visits,
        "L1Ledger": sum(part.tile != SAVED for part in parts),
    }


def _month(time: np.datetime64) -> int:
    return int(time.astype("M8[M]").astype(np.int64))
