"""Catalogs as CSV text: NULL is empty, times are ISO 8601 UTC, blobs hexadecimal."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog

__all__ = ["catalog_as_csv"]


def catalog_as_csv(catalog: Catalog, columns: Sequence[str] | None = None) -> str:
    """Return a catalog with a header line; floats are the shortest that read back.

    Parameters
    ----------
    catalog
        Any number of rows.
    columns
        Names in the order wanted; by default all but those that hold no value.
    """
    names = _filled(catalog) if columns is None else list(columns)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*(_texts(catalog, name) for name in names), strict=True))
    return stream.getvalue()


def _filled(catalog: Catalog) -> list[str]:
    return [n for n in catalog.names if not len(catalog) or not _is_empty(catalog, n)]


def _is_empty(catalog: Catalog, name: str) -> bool:
    return bool(catalog.null_mask(name).all())


def _texts(catalog: Catalog, name: str) -> list[str]:
    values = catalog[name]
    if values.dtype == np.float32:
        texts = [str(value) for value in values]
    else:
        texts = [_text(value) for value in values.tolist()]
    for row in np.flatnonzero(catalog.null_mask(name)).tolist():
        texts[row] = ""
    return texts


def _text(value: Any) -> str:  # whatever a column holds
    match value:
        case datetime():
            return f"{value.isoformat()}Z"
        case bytes():
            return value.hex()
        case _:
            return str(value)
