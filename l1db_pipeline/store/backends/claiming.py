"""How a database in SQL takes the claim of a store: rows locked, compared, raised."""

from abc import ABC
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from typing_extensions import override

from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Op
from l1db_pipeline.store.backends.superseding import SupersedingDatabase
from l1db_pipeline.store.errors import DatabaseError, StaleReadError
from l1db_pipeline.store.token import CellClaim

__all__ = ["ClaimingDatabase"]


class ClaimingDatabase(SupersedingDatabase, ABC):
    """What all databases share, and the claim of cells, which all can take."""

    @override
    def _statement(self, kind: Hashable, table: Table, columns: Sequence[str]) -> Any:
        if kind != "claim":
            return super()._statement(kind, table, columns)
        version, visit, since = (self._cell(table, name) for name in columns[1:])
        mine = sa.bindparam("mine", type_=visit.type)
        start = sa.case((visit == mine, since), else_=version)
        # in this order, for MariaDB takes one after the other
        return sa.update(self._tables[table]).ordered_values(
            (since, start), (version, version + sa.literal_column("1")), (visit, mine)
        )

    @override
    def claim_cells(self, table: Table, claim: CellClaim) -> None:
        where = [Condition("cell", Op.ONE_OF, claim.cells)]
        held = self._fetched("lock rows", table, table.names, where)
        if not np.array_equal(held["cell"], claim.cells):
            problem = f"{len(claim.cells) - len(held)} cells have no row to lock"
            raise DatabaseError(f"{self.place} {table.name}", problem)
        stale = claim.stale(held["version"], held["visitId"], held["since"])
        if stale.any():
            moved = held.take(stale)
            raise StaleReadError(
                claim.visit_id, moved["cell"].tolist(), moved["visitId"].tolist()
            )
        self._run("claim", table, table.names, where, {"mine": claim.visit_id})

    @override
    def sessions(self) -> list[tuple[Any, ...]] | None:
        return None
