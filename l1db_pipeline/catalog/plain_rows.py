"""Catalogs as rows to print: NULL is None, times are ISO 8601, blobs in hex."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog

__all__ = ["plain_rows"]


def plain_rows(
    catalog: Catalog, columns: Sequence[str] | None = None
) -> tuple[list[str], Iterator[tuple[Any, ...]]]:  # Any: a value of each column
    """Return names and rows of a catalog; floats are the shortest that read back.

    Parameters
    ----------
    catalog
        Any number of rows.
    columns
        Names in the order wanted; by default all but those that hold no value.

    Returns
    -------
    names, rows
        Values are plain Python; a float that is not finite is its text, since it is a
        value and not NULL.
    """
    names = _filled(catalog) if columns is None else list(columns)
    return names, zip(*(_values(catalog, name) for name in names), strict=True)


def _filled(catalog: Catalog) -> list[str]:
    return [n for n in catalog.names if not len(catalog) or not _is_empty(catalog, n)]


def _is_empty(catalog: Catalog, name: str) -> bool:
    return bool(catalog.null_mask(name).all())


def _values(catalog: Catalog, name: str) -> list[Any]:
    column = catalog[name]
    if column.dtype == np.float32:
        values = [_plain(float(str(value))) for value in column]
    else:
        values = [_plain(value) for value in column.tolist()]
    for row in np.flatnonzero(catalog.null_mask(name)).tolist():
        values[row] = None
    return values


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return f"{value.isoformat()}Z"
        case bytes():
            return value.hex()
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value
