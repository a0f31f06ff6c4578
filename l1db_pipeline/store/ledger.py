"""The ledger: which visits (and tiles) are stored, with what content."""

from datetime import UTC, datetime

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import VisitConflictError
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.errors import TooManyTilesError
from l1db_pipeline.store.tables.bookkeeping import one_row
from l1db_pipeline.store.tables.history import TimeWindow
from l1db_pipeline.store.tables.layout import Layout
from l1db_pipeline.store.validate import CheckedVisit

__all__ = ["Ledger"]

_COMPARED = ("visitTime", "nTiles", "objects", "sources", "forcedSources")


class Ledger:
    """Claims visits, and completes the visits table with the last tile."""

    def __init__(self, database: Database, layout: Layout) -> None:
        self._database = database
        self._layout = layout

    def claim(self, visit: CheckedVisit) -> bool:
        """Enter a visit (or tile); false if it is stored with this content.

        Raises
        ------
        VisitConflictError
            If it is stored with other content, or another tile of the visit
            states another time or number of tiles.
        """
        table, key = self._layout.ledger, visit.key
        row = one_row(
            table,
            key.visit_id,
            key.tile,
            visit.time,
            key.n_tiles,
            *(str(digest) for digest in visit.digests),
        )
        is_new = self._database.add_if_absent(table, row) == 1
        stored = self.entries(key.visit_id)
        for place in range(len(stored)):
            is_same_tile = stored["tile"][place] == key.tile
            names = _COMPARED if is_same_tile else _COMPARED[:2]
            theirs = _summary(stored, place, names)
            ours = _summary(row, 0, names)
            if theirs != ours:
                raise VisitConflictError(
                    key.visit_id, str(stored["tile"][place]), theirs, ours
                )
        if is_new and 0 < key.n_tiles < len(stored):
            raise _too_many(visit, len(stored))
        return is_new

    def entries(self, visit_id: int | None = None) -> Catalog:
        """Return the ledger's rows, all or those of a visit."""
        table = self._layout.ledger
        where = [] if visit_id is None else [Condition("visitId", Op.EQUAL, visit_id)]
        return self._database.select(table, table.names, where)

    def has_parts(self, visit_id: int) -> bool:
        """Tell whether any part of a visit is stored."""
        where = [Condition("visitId", Op.EQUAL, visit_id)]
        return self._database.count(self._layout.ledger, where) > 0

    def has_later_than(self, time: np.datetime64) -> bool:
        """Tell whether a visit of a later time is stored."""
        where = [Condition("visitTime", Op.AFTER, time)]
        return self._database.count(self._layout.ledger, where) > 0

    def complete(self, visit: CheckedVisit) -> None:
        """Add the visit to the visits table if this was its last tile.

        Raises
        ------
        TooManyTilesError
            If all tiles of the visit are stored already.
        """
        key = visit.key
        if not key.n_tiles:
            return
        layout = self._layout
        if key.n_tiles > 1:
            # the counter's row stays locked until the end of the transaction, so of
            # two tiles that finish together one sees the other
            n_stored = self._database.increment(layout.tile_counts, key.visit_id)
            if n_stored > key.n_tiles:
                raise _too_many(visit, n_stored)
            if n_stored != key.n_tiles:
                return
        row = one_row(layout.visits, key.visit_id, visit.time)
        if not self._database.add_if_absent(layout.visits, row):
            raise _too_many(visit, key.n_tiles + 1)

    def save(self, visit: CheckedVisit) -> bool:
        """Add a visit to the visits table; false if it is there already.

        Raises
        ------
        VisitConflictError
            If it is there with another time.
        """
        visits, visit_id = self._layout.visits, visit.key.visit_id
        if self._database.add_if_absent(visits, one_row(visits, visit_id, visit.time)):
            return True
        where = [Condition("visitId", Op.EQUAL, visit_id)]
        stored = self._database.select(visits, ["visitTime"], where)["visitTime"][0]
        if stored != visit.time:
            raise VisitConflictError(visit_id, "", str(stored), str(visit.time))
        return False

    def visits(self, window: TimeWindow) -> Catalog:
        """Return the complete visits of a window, by time."""
        table = self._layout.visits
        names = ("visitId", "visitTime")
        rows = self._database.select(
            table, names, window.conditions("visitTime", "visitTime")
        )
        return rows.take(np.lexsort((rows["visitId"], rows["visitTime"])))

    def tiles(self, visit_id: int) -> frozenset[str]:
        """Return the stored tiles of a visit."""
        return frozenset(str(tile) for tile in self.entries(visit_id)["tile"])

    def time(self, visit_id: int) -> datetime | None:
        """Return the time of a visit of which tiles are stored."""
        times: list[datetime] = self.entries(visit_id)["visitTime"].tolist()
        return times[0].replace(tzinfo=UTC) if times else None

    def last(self) -> tuple[int, datetime] | None:
        """Return id and time of the complete visit with the latest time."""
        table = self._layout.visits
        latest = self._database.maximum(table, "visitTime")
        if latest is None:
            return None
        where = [Condition("visitTime", Op.EQUAL, np.datetime64(latest, "us"))]
        found = self._database.select(table, ["visitId"], where)
        return int(found["visitId"].max()), latest.replace(tzinfo=UTC)


def _too_many(visit: CheckedVisit, n_stored: int) -> TooManyTilesError:
    return TooManyTilesError(
        f"visit {visit.key.visit_id} tile {visit.key.tile!r}",
        f"with it the visit has {n_stored} tiles, {visit.key.n_tiles} were announced",
        "divide the visit as its first tile was divided, or use another visit id",
    )


def _summary(rows: Catalog, place: int, names: tuple[str, ...]) -> str:
    return " ".join(str(rows[name][place]) for name in names)
