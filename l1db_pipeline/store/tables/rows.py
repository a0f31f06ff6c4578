"""Reading and widening rows: the steps that every table's reader shares."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database
from l1db_pipeline.store.tables.bookkeeping import FilledColumns

__all__ = ["add_empty_columns", "by_pixel_and_object", "read_rows", "with_constants"]


def read_rows(
    database: Database,
    filled: FilledColumns,
    table: Table,
    columns: Sequence[str],
    where: Sequence[Condition],
) -> Catalog:
    """Read columns, asking the database only for those that hold a value."""
    names = list(dict.fromkeys(columns))
    present = filled.filled(table, names) or [table.primary_key[0]]
    rows = database.select(table, present, where, null_free=filled.null_free(table))
    return add_empty_columns(table, rows, names)


def add_empty_columns(table: Table, rows: Catalog, names: Sequence[str]) -> Catalog:
    """Return the named columns; those that ``rows`` lack are all NULL.

    Absent columns take no memory of their own: they are one value, broadcast.
    """
    n_rows = len(rows)
    columns: dict[str, NDArray[Any]] = {}
    nulls = {name: mask for name, mask in rows.nulls.items() if name in names}
    all_null = np.broadcast_to(np.True_, n_rows)
    for name in names:
        if name in rows:
            columns[name] = rows[name]
        else:
            dtype = table.column(name).numpy_dtype
            columns[name] = np.broadcast_to(np.zeros((), dtype=dtype), n_rows)
            nulls[name] = all_null
    return Catalog(columns, nulls)


def by_pixel_and_object(rows: Catalog, homes: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the order in which rows are written: that of the keys, see `layout`."""
    if "diaObjectId" not in rows:
        return np.argsort(homes, kind="stable")
    return np.lexsort((rows["diaObjectId"], homes))


def with_constants(rows: Catalog, values: Mapping[str, Any]) -> Catalog:
    """Return rows with more columns; a scalar is the same in every row."""
    n_rows = len(rows)
    more = {
        name: value if np.ndim(value) else np.broadcast_to(np.asarray(value), n_rows)
        for name, value in values.items()
    }
    return Catalog({**rows.columns, **more}, rows.nulls)
