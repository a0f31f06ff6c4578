"""Rows of a chunk that an update concerns, found by their key, and as they become."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.tables.chunk_group import ChunkGroup

__all__ = ["RowChanges"]

_MIX = np.int64(-0x61C8864680B583EB)  # odd: 2**64 over the golden ratio


class RowChanges:
    """Rows that change, to be looked for in chunks.

    Parameters
    ----------
    table
        Types of the columns.
    rows
        The rows as they are to be.
    keys
        Columns that together name a row, integers or times; they do not change.
    names
        Columns that change.
    """

    def __init__(
        self, table: Table, rows: Catalog, keys: Sequence[str], names: Sequence[str]
    ) -> None:
        self._table = table
        self._rows = rows
        self._keys = keys
        self._names = names
        self._known = IdSet(_mixed([rows[key] for key in keys]))

    def find(self, group: ChunkGroup) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the places of such rows in a chunk, and which row each is."""
        present = set(group.names)
        if not present.issuperset(self._keys):
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int64)
        held = [group.column(key)[0] for key in self._keys]
        which = self._known.places(_mixed(held))
        here = np.flatnonzero(which >= 0)
        which = which[here]
        same = np.ones(len(here), dtype=np.bool_)
        for key, column in zip(self._keys, held, strict=True):
            same &= column[here] == self._rows[key][which]
        return here[same], which[same]

    def changed(self, group: ChunkGroup) -> Catalog | None:
        """Return a chunk's rows as they become; `None` if it has none of them."""
        here, which = self.find(group)
        if not len(here):
            return None
        rows = group.catalog(group.names)
        columns, nulls = dict(rows.columns), dict(rows.nulls)
        for name in self._names:
            dtype = self._table.column(name).numpy_dtype
            values = (
                columns[name].copy() if name in columns else np.zeros(len(rows), dtype)
            )
            mask = rows.null_mask(name).copy() if name in rows else np.ones(
                len(rows), dtype=np.bool_
            )  # fmt: skip
            values[here] = self._rows[name][which]
            mask[here] = self._rows.null_mask(name)[which]
            columns[name], nulls[name] = values, mask
        return Catalog(columns, nulls)

    def without(self, group: ChunkGroup) -> Catalog | None:
        """Return a chunk's other rows; `None` if it has none of these."""
        here, _ = self.find(group)
        if not len(here):
            return None
        rest = np.ones(len(group), dtype=np.bool_)
        rest[here] = False
        return group.catalog(group.names, np.flatnonzero(rest))


def _mixed(columns: Sequence[NDArray[np.generic]]) -> NDArray[np.int64]:
    """Return one number for each row of keys, nearly always its own."""
    total = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        total *= _MIX
        total += np.ascontiguousarray(column).astype(np.int64)
    return total
