"""What a unit has read, and in which state: cells of the sky with their versions.

Each cell has a version that every store raises which read or wrote it. A store is
refused if a version is not the one that its reads have seen, for then another visit
has stored there meanwhile: `docs/store-protocol.md` says why that is sound.
"""

from dataclasses import dataclass

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.sky.htm import home_pixel
from l1db_pipeline.sky.pixelization import htm_ranges
from l1db_pipeline.store.errors import TokenError

__all__ = ["NOBODY", "CellClaim", "ReadToken", "cells_of", "cells_written"]

_COVER_RANGES = 4096
UNSEEN = -1
NOBODY = -1
"""Who changed a cell last that no visit did: an update by day, or nobody ever."""

_Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReadToken:
    """What the reads of a unit have seen; plain values, to be kept or sent."""

    database: str
    """Identity of the database that was read."""
    visit_id: int
    cells: _Ids
    """Cells that cover what was read, ascending."""
    versions: _Ids
    """Of the cells, in the snapshot of the reads; 0 where nothing was ever stored."""

    def check(self, database: str, visit_id: int) -> None:
        """Refuse a token of another database, or of another visit's reads.

        Raises
        ------
        TokenError
            If it is one.
        """
        if self.database != database:
            raise TokenError("database", self.database, database)
        if self.visit_id != visit_id:
            raise TokenError("visit", str(self.visit_id), str(visit_id))


@dataclass(frozen=True, slots=True)
class CellClaim:
    """What a store asks of the cells: that they are as they were, and its own now."""

    visit_id: int
    cells: _Ids
    """Read or written, ascending."""
    seen: _Ids
    """Versions of those read, `UNSEEN` for those only written."""

    @classmethod
    def of(cls, visit_id: int, token: ReadToken | None, written: _Ids) -> "CellClaim":
        """Return the claim of a unit that wrote into some cells."""
        if token is None:
            return cls(visit_id, written, np.full(len(written), UNSEEN))
        cells = np.union1d(token.cells, written)
        seen = np.full(len(cells), UNSEEN)
        seen[np.searchsorted(cells, token.cells)] = token.versions
        return cls(visit_id, cells, seen)

    def stale(self, versions: _Ids, visits: _Ids, since: _Ids) -> NDArray[np.bool_]:
        """Tell which cells another visit has stored into since they were read.

        The arguments are what the cells have now. ``since`` is the version at which
        the stores of the last visit began that follow each other: all that came after
        the version seen is of this very visit exactly if the last run is its own and
        began no earlier.
        """
        is_own = (visits == self.visit_id) & (since <= self.seen)
        moved = (self.seen != UNSEEN) & (versions != self.seen)
        return np.asarray(moved & ~is_own)


def cells_of(region: Region, level: int) -> _Ids:
    """Return the cells that cover a region, ascending."""
    ranges = htm_ranges(region, level, _COVER_RANGES)
    parts = [np.arange(low, high) for low, high in ranges.tolist()]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def cells_written(level: int, *tables: Catalog) -> _Ids:
    """Return the cells of the positions in tables, ascending."""
    parts = [rows["htmId20"] for rows in tables if "htmId20" in rows]
    every = np.concatenate([np.empty(0, dtype=np.int64), *parts])
    return np.unique(home_pixel(every, level))
