"""What a consumer of replica chunks has not taken yet: units, and update records.

Rows are only added, one a unit in the unit's own transaction, so writers do not wait
for each other; taken chunks are deleted. A chunk that comes again after that has the
units alone that came since.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.base import VisitKey
from l1db_pipeline.store.tables.bookkeeping import FilledColumns, catalog_of, one_row
from l1db_pipeline.store.tables.daytime_tables import DaytimeTables
from l1db_pipeline.store.tables.layout import VISIT_ID
from l1db_pipeline.store.tables.rows import read_rows

__all__ = ["PendingChunk", "ReplicaTables", "UpdateRecord"]

_NAMES = uuid.UUID("6f0c2f57-5b4e-4c11-9d0e-0a6f0d9c7a52")


@dataclass(frozen=True, slots=True)
class PendingChunk:
    """A chunk that a consumer has not taken, or that has grown since."""

    number: int
    unique_id: uuid.UUID
    """Another one whenever something is added to the chunk."""
    last_visit_id: int | None
    """The latest unit, `None` with update records alone."""
    last_update_ns: int | None
    """Time of the latest update, TAI since 1970; `None` with units alone."""


@dataclass(frozen=True, slots=True)
class UpdateRecord:
    """One change of one row, for a consumer to apply."""

    time_ns: int
    place: int
    """Order among the records of one time."""
    payload: str
    """JSON."""


class ReplicaTables:
    """The tables of units and of update records."""

    def __init__(
        self, database: Database, tables: DaytimeTables, filled: FilledColumns
    ) -> None:
        self._database = database
        self._filled = filled
        self._units = tables.replica_units
        self._updates = tables.replica_updates

    def note(self, key: VisitKey) -> None:
        """Add a unit to its chunk, in the unit's transaction."""
        if key.replica_chunk is not None:
            row = one_row(self._units, key.replica_chunk, key.visit_id, key.tile)
            self._database.append(self._units, row)

    def add(self, chunk: int, update_id: str, records: Sequence[UpdateRecord]) -> None:
        """Add update records to a chunk, in the update's transaction."""
        if not records:
            return
        rows = [(chunk, r.time_ns, r.place, update_id, r.payload) for r in records]
        self._database.append(self._updates, catalog_of(self._updates, rows))

    def chunks(self) -> list[PendingChunk]:
        """Return the chunks that are there, by number."""
        units = self._database.select(self._units, self._units.names)
        names = ["chunk", "timeNs", "place", "updateId"]
        updates = self._database.select(self._updates, names)
        ids: dict[int, int] = {}
        latest: dict[int, int] = {}
        told: dict[int, int] = {}
        for chunk, visit, tile in _rows(units):
            # an XOR, whatever the order in which they came
            mark = uuid.uuid5(_NAMES, f"{visit} {tile}").int
            ids[chunk] = ids.get(chunk, 0) ^ mark
            latest[chunk] = max(visit, latest.get(chunk, visit))
        for chunk, time_ns, place, name in _rows(updates):
            mark = uuid.uuid5(_NAMES, f"{name} {place}").int
            ids[chunk] = ids.get(chunk, 0) ^ mark
            told[chunk] = max(time_ns, told.get(chunk, time_ns))
        return [
            PendingChunk(
                number,
                uuid.UUID(int=ids[number]),
                latest.get(number),
                told.get(number),
            )
            for number in sorted(ids)
        ]

    def delete(self, chunks: NDArray[np.int64]) -> None:
        """Forget chunks."""
        where = [Condition("chunk", Op.ONE_OF, chunks)]
        for table in (self._units, self._updates):
            self._database.delete(table, where)

    def rows(
        self, table: Table, chunks: NDArray[np.int64], columns: Sequence[str]
    ) -> tuple[Catalog, NDArray[np.int64]]:
        """Return the rows of a table that units of chunks stored, and their chunks."""
        units = self._database.select(
            self._units, self._units.names, [Condition("chunk", Op.ONE_OF, chunks)]
        )
        visits, first = np.unique(units["visitId"], return_index=True)
        where = [Condition(VISIT_ID, Op.ONE_OF, visits)]
        rows = read_rows(
            self._database, self._filled, table, [*columns, VISIT_ID], where
        )
        of_visit = units["chunk"][first]
        places = np.searchsorted(visits, rows[VISIT_ID])
        return rows.select(list(columns)), of_visit[places].astype(np.int64)

    def records(self, chunks: NDArray[np.int64]) -> list[UpdateRecord]:
        """Return the update records of chunks, in order."""
        names = ["timeNs", "place", "payload"]
        where = [Condition("chunk", Op.ONE_OF, chunks)]
        found = self._database.select(self._updates, names, where)
        records = [UpdateRecord(*row) for row in _rows(found)]
        return sorted(records, key=lambda record: (record.time_ns, record.place))


def _rows(rows: Catalog) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[name].tolist() for name in rows.names), strict=True))
