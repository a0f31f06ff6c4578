"""Data frames as catalogs and back: the one place where pandas is.

Columns are taken as arrays, so that the edge costs little of a store. NaN is NULL, as
for other implementations; what is integer or boolean may be NULL, too.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from lsst.dax.apdb.schema_model import Table as ApdbTable
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Column, Table

__all__ = ["catalog_of", "frame_of"]

_NOT_OURS = frozenset({"pixelId"})
"""Columns that other implementations add to frames for themselves."""
_MASKED = {
    "Int8": pd.arrays.IntegerArray,
    "Int16": pd.arrays.IntegerArray,
    "Int32": pd.arrays.IntegerArray,
    "Int64": pd.arrays.IntegerArray,
    "boolean": pd.arrays.BooleanArray,
}


def catalog_of(table: Table, frame: pd.DataFrame | None) -> Catalog:
    """Return a data frame, columns as the database names them, as a catalog.

    Columns that the table lacks stay as they are: the store names them in its error.
    """
    if frame is None or frame.empty:
        return Catalog({})
    ours = {column.sql_name: column for column in table.columns}
    columns: dict[str, NDArray[Any]] = {}
    nulls: dict[str, NDArray[np.bool_]] = {}
    for name in frame.columns:
        if name in _NOT_OURS:
            continue
        column = ours.get(name)
        if column is None:
            columns[str(name)] = frame[name].to_numpy()
            continue
        values, mask = _values(column, frame[name])
        columns[column.name] = values
        if mask is not None and mask.any():
            nulls[column.name] = mask
    return Catalog(columns, nulls)


def _values(
    column: Column, series: "pd.Series[Any]"
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return the values of a column, of its kind where none is lost, and NULLs."""
    wanted = column.numpy_dtype
    is_plain = isinstance(series.dtype, np.dtype) and series.dtype != object
    mask = None
    if not is_plain or series.dtype.kind in "fM":
        mask = series.isna().to_numpy()
    if is_plain:
        values = series.to_numpy()
    elif wanted.hasobject:
        values = series.to_numpy(dtype=object)
    else:
        values = _converted(series, mask, wanted)
    if values.dtype.kind == "f" and wanted.kind in "iu":
        values = _whole(values, mask)
    return values, mask


def _converted(
    series: "pd.Series[Any]", mask: NDArray[np.bool_] | None, wanted: np.dtype[Any]
) -> NDArray[Any]:
    """Return the numbers of a column of objects, or of pandas' own type."""
    present = series if mask is None else series[~mask]
    try:
        plain = np.asarray(present.tolist()) if len(present) else np.zeros(0, wanted)
    except ValueError:
        plain = present.to_numpy(dtype=object)
    if plain.dtype.kind in "US":
        plain = plain.astype(object)
    if mask is None or not mask.any():
        return plain
    values = np.zeros(len(series), dtype=plain.dtype)
    values[~mask] = plain
    return values


def _whole(values: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Return whole numbers as integers, as they come where pandas had a NaN."""
    known = values if mask is None else np.where(mask, 0.0, values)
    with np.errstate(invalid="ignore"):
        whole = known.astype(np.int64)
    return whole if np.array_equal(whole, known) else values


def frame_of(rows: Catalog, table: ApdbTable, names: Sequence[str]) -> pd.DataFrame:
    """Return a catalog as a data frame.

    Parameters
    ----------
    rows
        Columns in the order of ``names``, whatever they are called.
    table
        What they are in the APDB's schema: their types in pandas.
    names
        Their names in the frame.
    """
    types = {column.name: column.pandas_type for column in table.columns}
    made = {
        name: _array(types[name], rows[ours], rows.nulls.get(ours))
        for ours, name in zip(rows.names, names, strict=True)
    }
    return pd.DataFrame(made, index=pd.RangeIndex(len(rows)))


def _array(kind: str, values: NDArray[Any], mask: NDArray[np.bool_] | None) -> Any:
    if kind in _MASKED:
        empty = np.zeros(len(values), dtype=np.bool_)
        own = empty if mask is None else np.array(mask)  # it may be of stride 0
        return _MASKED[kind](np.array(values), own)
    if values.dtype.kind == "f":
        known = np.array(values) if mask is None else np.where(mask, np.nan, values)
        return known.astype(kind, copy=False)
    plain = values.astype(object)
    if mask is not None:
        plain[mask] = None
    return pd.Series(plain, dtype=kind)
