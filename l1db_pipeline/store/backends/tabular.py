"""Catalogs as Python tuples, for drivers that know no arrays."""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import starmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Column, Datatype
from visit_tables.time_scales import mjd_tai_from_utc, utc_from_mjd_tai

__all__ = [
    "are_numbers",
    "from_numbers",
    "from_tuples",
    "to_microseconds",
    "to_naive_datetime",
    "to_python",
]

_CODES: Mapping[Datatype, str] = {
    Datatype.BOOLEAN: "?",
    Datatype.BYTE: "b",
    Datatype.SHORT: "h",
    Datatype.INT: "i",
    Datatype.LONG: "q",
    Datatype.TIMESTAMP: "q",
    Datatype.FLOAT: "d",
    Datatype.DOUBLE: "d",
    Datatype.MJD_TAI: "d",
}
"""How `struct`, and numpy likewise, write what a driver gives of a column."""
_EPOCH = np.datetime64("1970-01-01T00:00:00", "us")


def to_naive_datetime(values: NDArray[np.datetime64]) -> list[Any]:
    """Return naive UTC datetimes, as SQL ``TIMESTAMP`` columns take them."""
    items: list[Any] = values.astype("datetime64[us]").tolist()
    return items


def to_microseconds(values: NDArray[np.datetime64]) -> list[int]:
    """Return microseconds since 1970 UTC, as SQLite keeps times."""
    items: list[int] = (values - _EPOCH).astype(np.int64).tolist()
    return items


def to_python(
    columns: Sequence[Column],
    rows: Catalog,
    *,
    times: Callable[[NDArray[np.datetime64]], list[Any]] = to_naive_datetime,
    nan: str | None = None,
) -> Iterable[tuple[Any, ...]]:
    """Return rows as tuples of what a driver takes; NULL as `None`.

    ``times`` converts time columns; ``nan`` stands for NaN if given.
    """
    lists = (_to_list(column, rows, times, nan) for column in columns)
    return zip(*lists, strict=True)


def _to_list(
    column: Column,
    rows: Catalog,
    times: Callable[[NDArray[np.datetime64]], list[Any]],
    nan: str | None,
) -> list[Any]:
    values = rows.columns[column.name]
    if column.datatype is Datatype.TIMESTAMP:
        items = times(values)
    elif column.datatype is Datatype.MJD_TAI:
        items = mjd_tai_from_utc(values).tolist()
    else:
        items = values.tolist()
        if values.dtype.kind == "f" and nan is not None:
            for place in np.flatnonzero(np.isnan(values)).tolist():
                items[place] = nan
    mask = rows.nulls.get(column.name)
    if mask is not None:
        for place in np.flatnonzero(mask).tolist():
            items[place] = None
    return items


def are_numbers(columns: Iterable[Column]) -> bool:
    """Tell whether `from_numbers` can take these columns."""
    return all(column.datatype in _CODES for column in columns)


def from_numbers(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> Catalog:
    """Return the catalog of rows that hold numbers only, times in microseconds.

    Each row goes into bytes as it comes from the driver: a list of them all costs
    more than the rest of the read.

    Raises
    ------
    struct.error
        If a value is not a number of its column's type: a NULL, for one.
    """
    codes = [_CODES[column.datatype] for column in columns]
    pack = struct.Struct("=" + "".join(codes)).pack
    fields = [(str(place), code) for place, code in enumerate(codes)]
    raw = np.frombuffer(b"".join(starmap(pack, rows)), dtype=np.dtype(fields))
    return Catalog(
        {
            column.name: _from_numbers(column, raw[name])
            for column, (name, _) in zip(columns, fields, strict=True)
        }
    )


def _from_numbers(column: Column, values: NDArray[Any]) -> NDArray[Any]:
    if column.datatype is Datatype.MJD_TAI:
        return utc_from_mjd_tai(values)
    return values.astype(column.numpy_dtype)


def from_tuples(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Catalog:
    """Return the catalog of fetched rows; `None` is NULL."""
    by_column = list(zip(*rows, strict=True)) or [()] * len(columns)
    values, nulls = {}, {}
    for column, items in zip(columns, by_column, strict=True):
        value, mask = _from_items(column, items)
        values[column.name] = value
        if mask is not None:
            nulls[column.name] = mask
    return Catalog(values, nulls)


def _from_items(
    column: Column, items: Sequence[Any]
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    mask = None
    if column.nullable and None in items:
        mask = np.fromiter((item is None for item in items), np.bool_, len(items))
        blank = next((item for item in items if item is not None), _blank(column))
        items = [blank if item is None else item for item in items]
    if column.numpy_dtype.hasobject:
        values = np.empty(len(items), dtype=object)
        values[:] = items
        return values, mask
    if column.datatype is Datatype.MJD_TAI:
        return utc_from_mjd_tai(np.array(items, dtype=np.float64)), mask
    if column.datatype is Datatype.TIMESTAMP:
        return _times(items), mask
    return np.array(items, dtype=column.numpy_dtype), mask


def _times(items: Sequence[Any]) -> NDArray[np.datetime64]:
    if items and isinstance(items[0], datetime):
        items = [
            item.astimezone(UTC).replace(tzinfo=None) if item.tzinfo else item
            for item in items
        ]
        return np.array(items, dtype="datetime64[us]")
    return _EPOCH + np.array(items, dtype=np.int64).astype("timedelta64[us]")


def _blank(column: Column) -> Any:
    """Return a value of the column's Python type; what a NULL hides is unspecified."""
    if column.datatype is Datatype.BLOB:
        return b""
    return "" if column.numpy_dtype.hasobject else 0
