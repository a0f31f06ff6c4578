"""Which columns a read returns, and the steps that every table's reader shares."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database
from l1db_pipeline.store.errors import InvalidCatalogError
from l1db_pipeline.store.tables.bookkeeping import FilledColumns
from l1db_pipeline.store.tables.layout import OWN_COLUMNS

__all__ = [
    "add_empty_columns",
    "by_pixel_and_object",
    "known_columns",
    "object_columns",
    "public_columns",
    "read_rows",
    "with_constants",
]

_SHORT_OBJECT = (
    "diaObjectId", "lastNonForcedSource", "ra", "decl", "raSigma", "declSigma",
    "ra_decl_Cov", "htmId20",
)  # fmt: skip


def public_columns(table: Table) -> list[str]:
    """Return the columns of a table that are the schema's."""
    return [name for name in table.names if name not in OWN_COLUMNS]


def known_columns(table: Table, columns: Sequence[str] | None) -> list[str]:
    """Return the columns that are asked for; `None` asks for all of the schema.

    Raises
    ------
    InvalidCatalogError
        If the table lacks one.
    """
    if columns is None:
        return public_columns(table)
    if unknown := [name for name in columns if name not in table.by_name]:
        raise InvalidCatalogError(
            f"table {table.name}",
            f"no columns {', '.join(unknown)}",
            f"it has {', '.join(table.names)}",
        )
    return list(columns)


def object_columns(
    table: Table, columns: Sequence[str] | None, *, is_full: bool
) -> list[str]:
    """Return columns of objects; `None` asks for the short record, or for all."""
    if columns is None and not is_full:
        return [name for name in _SHORT_OBJECT if name in table.by_name]
    return known_columns(table, columns)


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
    n_rows, given, of_table = len(rows), rows.columns, table.by_name
    columns: dict[str, NDArray[Any]] = {}
    nulls = {name: mask for name, mask in rows.nulls.items() if name in names}
    all_null = np.broadcast_to(np.True_, n_rows)
    for name in names:
        if name in given:
            columns[name] = given[name]
        else:
            nothing = np.zeros((), dtype=of_table[name].numpy_dtype)
            columns[name] = np.broadcast_to(nothing, n_rows)
            nulls[name] = all_null
    return Catalog(columns, nulls)


def by_pixel_and_object(rows: Catalog, homes: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the order in which rows are written: that of the keys, see `layout`."""
    ids = rows.columns.get("diaObjectId")
    if ids is None:
        return np.argsort(homes, kind="stable")
    return np.lexsort((ids, homes))


def with_constants(rows: Catalog, values: Mapping[str, Any]) -> Catalog:
    """Return rows with more columns; a scalar is the same in every row."""
    n_rows = len(rows)
    more = {
        name: value if np.ndim(value) else np.broadcast_to(np.asarray(value), n_rows)
        for name, value in values.items()
    }
    return Catalog({**rows.columns, **more}, rows.nulls)
