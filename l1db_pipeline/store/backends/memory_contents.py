"""What the store in memory has, to be shared by its connections and kept as it was."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.memory_cells import MemoryCells
from l1db_pipeline.store.tables.layout import VISIT_ID, VISIT_TIME
from l1db_pipeline.store.tables.rows import known_columns, with_constants
from l1db_pipeline.store.timing import StepTiming

__all__ = ["Contents", "catalog_of", "rows_of"]

_Row = dict[str, Any]


@dataclass(slots=True)
class Contents:
    """Everything that was stored, rows as dictionaries that are never changed."""

    cells: MemoryCells
    versions: list[_Row] = field(default_factory=list)
    sources: list[_Row] = field(default_factory=list)
    forced: list[_Row] = field(default_factory=list)
    ledger: dict[tuple[int, str], tuple[str, ...]] = field(default_factory=dict)
    visits: dict[int, datetime] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    steps: dict[tuple[int, str], list[StepTiming]] = field(default_factory=dict)
    n_nightly: int = 0
    horizon: np.datetime64 | None = None
    """What was before has expired."""

    @classmethod
    def at_level(cls, cell_level: int) -> "Contents":
        """Return nothing yet, with cells of an HTM level."""
        return cls(MemoryCells(cell_level))

    def clear(self) -> None:
        """Forget everything; the connections stay."""
        empty = Contents.at_level(self.cells.level)
        for item in fields(self):
            setattr(self, item.name, getattr(empty, item.name))

    def tiles(self, visit_id: int) -> frozenset[str]:
        """Return the stored parts of a visit."""
        return frozenset(tile for visit, tile in self.ledger if visit == visit_id)

    def frozen(self) -> "Contents":
        """Return a copy that later stores do not change."""
        return Contents(**{f.name: copy(getattr(self, f.name)) for f in fields(self)})


def rows_of(part: Catalog, time: np.datetime64, visit_id: int) -> list[_Row]:
    """Return the rows that a visit brought, each with its time and visit."""
    own = {VISIT_TIME: time, VISIT_ID: np.int64(visit_id)}
    part = with_constants(part, own)
    lists = {}
    for name in part.names:
        masked = part.null_mask(name).tolist()
        values = part[name].tolist()
        lists[name] = [
            None if is_null else value
            for value, is_null in zip(values, masked, strict=True)
        ]
    return [
        dict(zip(lists, values, strict=True))
        for values in zip(*lists.values(), strict=True)
    ]


def catalog_of(
    table: Table, rows: Sequence[_Row], columns: Sequence[str] | None = None
) -> Catalog:
    """Return rows as a catalog; a column that a row lacks is NULL."""
    names = list(dict.fromkeys(known_columns(table, columns)))
    values, nulls = {}, {}
    for name in names:
        column = table.column(name)
        items = [row.get(name) for row in rows]
        mask = np.array([item is None for item in items], dtype=np.bool_)
        blank: Any = np.zeros((), column.numpy_dtype)[()]
        array = np.empty(len(items), dtype=column.numpy_dtype)
        for place, item in enumerate(items):
            array[place] = blank if item is None else item
        values[name] = array
        if mask.any():
            nulls[name] = mask
    return Catalog(values, nulls)
