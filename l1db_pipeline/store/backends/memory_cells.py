"""The cells of the store in memory: what `Cells` and a claim do in a database."""

import secrets

import numpy as np
from lsst.sphgeom import Region

from l1db_pipeline.store.errors import StaleReadError
from l1db_pipeline.store.token import CellClaim, ReadToken, cells_of

__all__ = ["MemoryCells"]

_UNTOUCHED = (0, -1, 0)
"""Version, visit and its first version of a cell that nobody stored into."""


class MemoryCells:
    """Cell to version, visit, and the version at which its stores began."""

    def __init__(self, level: int) -> None:
        self.level = level
        self.identity = secrets.token_hex(16)
        """What tells this database from every other."""
        self._cells: dict[int, tuple[int, int, int]] = {}

    def token(self, visit_id: int, region: Region) -> ReadToken:
        """Return what is read of a region."""
        cells = cells_of(region, self.level)
        versions = [self._cells.get(cell, _UNTOUCHED)[0] for cell in cells.tolist()]
        return ReadToken(
            self.identity, visit_id, cells, np.array(versions, dtype=np.int64)
        )

    def note(self, claim: CellClaim) -> None:
        """Compare the versions and raise them."""
        cells = claim.cells.tolist()
        held = np.array([self._cells.get(cell, _UNTOUCHED) for cell in cells])
        versions, visits, since = held.reshape(-1, 3).T
        stale = claim.stale(versions, visits, since)
        if stale.any():
            raise StaleReadError(
                claim.visit_id, claim.cells[stale].tolist(), visits[stale].tolist()
            )
        starts = np.where(visits == claim.visit_id, since, versions)
        for cell, version, start in zip(
            cells, versions.tolist(), starts.tolist(), strict=True
        ):
            self._cells[cell] = version + 1, claim.visit_id, start
