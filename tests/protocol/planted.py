"""Faults of the protocol, planted one at a time, for courses to find."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
from lsst.sphgeom import Region

from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.backends.sqlite import SqliteDatabase
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.cells import Cells
from l1db_pipeline.store.ledger import Ledger
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.token import CellClaim, ReadToken

__all__ = ["PLANTED"]

Planted = Callable[[], AbstractContextManager[Any]]


def _no_claim() -> AbstractContextManager[Any]:
    """A visit is stored without an entry in the ledger."""
    return patch.object(Ledger, "claim", lambda _self, _visit: True)


@contextmanager
def _two_snapshots() -> Iterator[None]:
    """The reads of a unit see the database as it is at each of them."""

    @contextmanager
    def sql_unit(self: Any, visit_id: int, region: Region) -> Iterator[ReadToken]:
        with self._reading():
            token = self._cells.token(self._made_with.identity, visit_id, region)
        yield token

    @contextmanager
    def memory_unit(self: Any, visit_id: int, region: Region) -> Iterator[ReadToken]:
        yield self._contents.cells.token(visit_id, region)

    with (
        patch.object(SqlL1Store, "reading_unit", sql_unit),
        patch.object(MemoryL1Store, "reading_unit", memory_unit),
    ):
        yield


@contextmanager
def _token_at_the_store() -> Iterator[None]:
    """The versions to compare with are those of the store and not of the reads."""
    kept = SqlL1Store.store_visit

    def store(self: Any, key: Any, records: Any, token: Any = None) -> Any:
        with self._database.transaction(write=False):
            found = self._cells._select(token.cells, ["cell", "version"])
        versions = np.zeros(len(token.cells), dtype=np.int64)
        versions[np.searchsorted(token.cells, found["cell"])] = found["version"]
        return kept(self, key, records, replace(token, versions=versions))

    with patch.object(SqlL1Store, "store_visit", store):
        yield


@contextmanager
def _compare_before_the_lock() -> Iterator[None]:
    """What was seen is compared before the transaction, and then only raised."""
    kept = Cells.claim

    def claim(self: Any, visit_id: int, token: Any, written: Any) -> CellClaim:
        made = kept(self, visit_id, token, written)
        with self._database.transaction(write=True):
            held = self._select(made.cells, ["version", "visitId", "since"])
            stale = made.stale(held["version"], held["visitId"], held["since"])
        unseen = np.full(len(made.cells), -1)
        return made if stale.any() else CellClaim(visit_id, made.cells, unseen)

    with patch.object(Cells, "claim", claim):
        yield


def _only_written_cells() -> AbstractContextManager[Any]:
    """Cells that were read and not written are neither compared nor raised."""
    kept = CellClaim.of

    def of(visit_id: int, token: ReadToken | None, written: Any) -> CellClaim:
        if token is not None:
            is_written = np.isin(token.cells, written)
            token = replace(
                token,
                cells=token.cells[is_written],
                versions=token.versions[is_written],
            )
        return kept(visit_id, token, written)

    return patch.object(CellClaim, "of", of)


def _own_visit_always() -> AbstractContextManager[Any]:
    """A cell whose last store is of the own visit is taken as unmoved."""

    def stale(self: CellClaim, versions: Any, visits: Any, _since: Any) -> Any:
        moved = (self.seen != -1) & (versions != self.seen)
        return moved & (visits != self.visit_id)

    return patch.object(CellClaim, "stale", stale)


def _nothing_is_stale() -> AbstractContextManager[Any]:
    """Nothing is compared."""
    return patch.object(CellClaim, "stale", lambda self, *_: self.seen < -1)


@contextmanager
def _claim_apart() -> Iterator[None]:
    """The ledger's entry is committed before the rows."""
    kept = Ledger.claim

    def claim(self: Any, visit: Any) -> bool:
        is_new = kept(self, visit)
        database = getattr(self._database, "_inner", self._database)
        database._execute("COMMIT")
        database._execute("BEGIN IMMEDIATE")
        return is_new

    with patch.object(Ledger, "claim", claim):
        yield


@contextmanager
def _retry_without_ledger() -> Iterator[None]:
    """Who tries again does not ask whether the unit is stored."""

    def nothing(_self: L1Store, _visit_id: int) -> frozenset[str]:
        return frozenset()

    with (
        patch.object(SqlL1Store, "stored_tiles", nothing),
        patch.object(MemoryL1Store, "stored_tiles", nothing),
    ):
        yield


def _merged_chunks_stay() -> AbstractContextManager[Any]:
    """A merge leaves the chunks that it has merged."""

    def delete_keys(_self: Any, _table: Any, keys: Any) -> int:
        return len(keys)

    return patch.object(SqliteDatabase, "delete_keys", delete_keys)


def _never_complete() -> AbstractContextManager[Any]:
    """A visit is not entered in the visits table with its last part."""
    return patch.object(Ledger, "complete", lambda _self, _visit: None)


PLANTED: dict[str, Planted] = {
    function.__name__.lstrip("_"): function
    for function in (
        _no_claim,
        _two_snapshots,
        _token_at_the_store,
        _compare_before_the_lock,
        _only_written_cells,
        _own_visit_always,
        _nothing_is_stale,
        _claim_apart,
        _retry_without_ledger,
        _merged_chunks_stay,
        _never_complete,
    )
}
"""Each fault by its name; which backend has it is in ``test_courses.py``."""
