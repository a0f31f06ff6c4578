"""The ledger of updates by day, and the journal of what each changed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.digest import TableDigest, digest_by_group, row_hashes
from l1db_pipeline.store.errors import UpdateConflictError
from l1db_pipeline.store.tables.bookkeeping import catalog_of, one_row
from l1db_pipeline.store.tables.daytime_tables import DaytimeTables
from l1db_pipeline.store.tables.layout import NOT_DIGESTED, VISIT_ID

__all__ = ["Stamp", "UpdateLedger"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamp:
    """Which update it is, and when."""

    update_id: str
    """Its name, at most 64 characters; empty for one made of time and content."""
    time_ns: int
    """Nanoseconds, TAI, since 1970."""
    chunk: int | None = None
    """Number of the replica chunk that is to have its records, if any."""


class UpdateLedger:
    """Claims updates, and keeps the digests of units true."""

    def __init__(self, database: Database, tables: DaytimeTables) -> None:
        self._database = database
        self._updates = tables.updates
        self._journal = tables.journal

    def claim(self, stamp: Stamp, kind: str, content: Catalog) -> str | None:
        """Enter an update and return its id; `None` if it was made before.

        Raises
        ------
        UpdateConflictError
            If its id stands for another one.
        """
        digest = str(TableDigest.of(content))
        name = stamp.update_id or f"{stamp.time_ns}.{kind}.{digest[-12:]}"
        row = one_row(self._updates, name, kind, stamp.time_ns, digest)
        if self._database.add_if_absent(self._updates, row):
            return name
        where = [Condition("updateId", Op.EQUAL, name)]
        names = ["kind", "digest"]
        held = self._database.select(self._updates, names, where)
        stored = " ".join(str(held[n][0]) for n in names)
        offered = f"{kind} {digest}"
        if stored != offered:
            raise UpdateConflictError(name, stored, offered)
        return None

    def note(self, update_id: str, table: Table, old: Catalog, new: Catalog) -> None:
        """Write what an update takes out of each unit's digest, and puts in."""
        before, after = _by_unit(old), _by_unit(new)
        nothing = TableDigest()
        rows = [
            (
                update_id,
                unit,
                table.name,
                str(before.get(unit, nothing)),
                str(after.get(unit, nothing)),
            )
            for unit in sorted(before.keys() | after.keys())
            if before.get(unit) != after.get(unit)
        ]
        if rows:
            self._database.append(self._journal, catalog_of(self._journal, rows))

    def changes(self, table: str) -> Mapping[int, TableDigest]:
        """Return what all updates together add to the digest of each unit."""
        names = ["visitId", "oldDigest", "newDigest"]
        where = [Condition("tableName", Op.EQUAL, table)]
        rows = self._database.select(self._journal, names, where)
        total: dict[int, TableDigest] = {}
        for unit, old, new in zip(*(rows[n].tolist() for n in names), strict=True):
            change = TableDigest.parse(new) - TableDigest.parse(old)
            total[unit] = total.get(unit, TableDigest()) + change
        return total


def _by_unit(rows: Catalog) -> dict[int, TableDigest]:
    if not len(rows):
        return {}
    hashes = row_hashes(rows, without=NOT_DIGESTED)
    return dict(digest_by_group(hashes, rows[VISIT_ID].astype(np.int64)))
