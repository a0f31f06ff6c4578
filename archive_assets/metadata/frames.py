"""Query results as data frames whose types do not depend on the values."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import CursorResult

__all__ = ["frame", "series", "typed_column"]

_TIMES = {1184, 1114}  # timestamptz, timestamp
_INTEGERS = {20, 21, 23}
_FLOATS = {700, 701, 1700}
_BOOLEANS = {16}
_TYPED = _TIMES | _INTEGERS | _FLOATS | _BOOLEANS


def frame(result: CursorResult[Any]) -> pd.DataFrame:
    """Return the rows of a result, one column a name, in the database's order.

    Timestamps are ``datetime64[us, UTC]``, numbers ``int64`` (``Int64`` where null)
    and ``float64``. All else keeps its Python object: `uuid.UUID`, `datetime.date`,
    bytes, str, list, dict, and None for null; never NaN in place of a text.
    """
    names = list(result.keys())
    # psycopg columns, which SQLAlchemy types as bare tuples
    description: Any = result.cursor.description
    oids = [column.type_code for column in description]
    rows = result.all()
    cells = np.empty((len(names), len(rows)), dtype=object)
    for place, row in enumerate(rows):
        for column, value in enumerate(row):
            cells[column, place] = value
    # one block of objects first: a series for each column would take twice as long
    table = pd.DataFrame(cells.T, columns=names, dtype=object)
    for name, oid, values in zip(names, oids, cells, strict=True):
        if oid in _TYPED:
            table[name] = typed_column(values.tolist(), oid)
    return table


def series(result: CursorResult[Any]) -> "pd.Series[Any] | None":
    """Return the first row of a result with the types of `frame`; None if empty.

    Several times faster than a frame of one row.
    """
    row = result.mappings().first()
    if row is None:
        return None
    values = {
        name: pd.Timestamp(value).tz_convert("UTC")
        if isinstance(value, datetime) and value.tzinfo
        else value
        for name, value in row.items()
    }
    return pd.Series(values, dtype="object")


def typed_column(values: Sequence[Any], oid: int) -> "pd.Series[Any]":
    """Return the values of one column of a PostgreSQL type as a series."""
    if oid in _TIMES:
        times = pd.to_datetime(list(values), utc=True)
        return pd.Series(times.astype("datetime64[us, UTC]"))
    has_null = any(value is None for value in values)
    if oid in _INTEGERS:
        return pd.Series(values, dtype="Int64" if has_null else "int64")
    if oid in _FLOATS:
        return pd.Series(values, dtype="float64")
    if oid in _BOOLEANS and not has_null:
        return pd.Series(values, dtype="bool")
    return pd.Series(values, dtype="object")
