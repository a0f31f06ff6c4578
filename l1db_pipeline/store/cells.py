"""The cells of a database: versions for a read's token, and the claim of a store."""

from collections.abc import Sequence

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.token import (
    NOBODY,
    CellClaim,
    ReadToken,
    cells_of,
    cells_written,
)

__all__ = ["Cells"]

_Ids = NDArray[np.int64]


class Cells:
    """The rows of the cells; one that nobody ever stored into has none."""

    def __init__(self, database: Database, table: Table, level: int) -> None:
        self._database = database
        self._table = table
        self._level = level

    def token(self, database_id: str, visit_id: int, region: Region) -> ReadToken:
        """Return what is read of a region; part of the transaction that reads."""
        cells = cells_of(region, self._level)
        versions = np.zeros(len(cells), dtype=np.int64)
        found = self._select(cells, ["cell", "version"])
        versions[np.searchsorted(cells, found["cell"])] = found["version"]
        return ReadToken(database_id, visit_id, cells, versions)

    def claim(
        self, visit_id: int, token: ReadToken | None, written: Sequence[Catalog]
    ) -> CellClaim:
        """Return a claim of what was read and written, all of whose cells have a row.

        Before the transaction that stores: a row made in it would be waited for.
        """
        cells = cells_written(self._level, *written)
        claim = CellClaim.of(visit_id, token, cells)
        unsure = claim.cells[claim.seen <= 0]
        if len(unsure):
            present = self._select(unsure, ["cell"])["cell"]
            missing = np.setdiff1d(unsure, present)
            self._add(missing)
        return claim

    def _select(self, cells: _Ids, columns: list[str]) -> Catalog:
        where = [Condition("cell", Op.ONE_OF, cells)]
        return self._database.select(self._table, columns, where)

    def _add(self, cells: _Ids) -> None:
        if not len(cells):
            return
        zeros = np.zeros_like(cells)
        nobody = np.full_like(cells, NOBODY)
        rows = {"cell": cells, "version": zeros, "visitId": nobody, "since": zeros}
        with self._database.transaction(write=True):
            self._database.add_if_absent(self._table, Catalog(rows))

    def note(self, claim: CellClaim) -> None:
        """Compare the versions and raise them; the last call of a transaction."""
        self._database.claim_cells(self._table, claim)

    def touch(self, places: Sequence[Catalog]) -> None:
        """Raise the versions where rows are that an update changes, as `note` does.

        They have rows: what is stored there has made them.
        """
        written = cells_written(self._level, *places)
        if len(written):
            self.note(CellClaim.of(NOBODY, None, written))
