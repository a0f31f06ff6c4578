"""Plausible values for the columns that the simulation does not measure.

A value is a hash of the row's key and the column's name: no generator is advanced,
so that a row has the same values in any division of a visit and in any re-run.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Column, Datatype, Table

__all__ = ["fill_columns", "hashed_uniform", "row_keys"]

_Uniform = NDArray[np.float64]

NEVER_FILLED = frozenset(
    {
        # the store's own
        "validityStart",
        "validityEnd",
        # NULL says that a source belongs to a DIAObject and was not deblended
        "ssObjectId",
        "ssObjectReassocTime",
        "parentDiaSourceId",
        # nobody has withdrawn it; which source was the first is not known here
        "timeWithdrawnMjdTai",
        "firstDiaSourceMjdTai",
    }
)

_RANGES: tuple[tuple[str, float, float], ...] = (
    # first match wins; uniform between the limits, in the column's unit
    (r"Ndata$", 1, 50),
    (r"(Chi2)$", 0.1, 100),
    (r"(LnL|LnP)$", -50, 0),
    (r"(extendedness|spuriousness)$", 0, 1),
    (r"^pm(Ra|Decl)$", -50, 50),
    (r"^parallax$", 0, 20),
    (r"(?i)(ra|decl)Sigma$", 1e-6, 1e-4),
    (r"(Sigma|Err)$", 1, 30),
    (r"Angle$", 0, 360),
    (r"(Length|Dist)$", 0.1, 5),
    (r"Flux(Mean|Diff)?$", 10, 10_000),
    (r"^ixy", -0.1, 0.1),  # at most the root of ixx * iyy
    (r"^(i[xy]{2}|fpBkgd)", 0.1, 10),
    (r"^[xy]$", 0, 4_000),
)
_COVARIANCE = "_Cov"
_ERRORS = ("Sigma", "Err")
_POSITIONS = (("Ra", "ra"), ("Decl", "decl"))
"""Endings of columns that hold a position, and the column that they are near to."""
_BLOB_FLOATS = ((r"LcPeriodic$", 32), (r"LcNonPeriodic$", 20))  # spec 1: 128 and 80 B
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_keys(*columns: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a hash of each row of one or more integer columns."""
    keys = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        keys = _mix(keys ^ column.astype(np.uint64))
    return keys


def hashed_uniform(keys: NDArray[np.uint64], name: str) -> _Uniform:
    """Return a number of ``[0, 1)`` for each key, another for each name."""
    salt = np.uint64(zlib.crc32(name.encode()) * int(_GOLDEN) % 2**64)
    bits = _mix(keys ^ salt) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def fill_columns(
    catalog: Catalog,
    table: Table,
    keys: NDArray[np.uint64],
    known: Mapping[str, ArrayLike] | None = None,
) -> Catalog:
    """Return a catalog with every column of its table, but a few that stay NULL.

    Parameters
    ----------
    catalog
        Columns that are present are kept as they are.
    table
        Table whose other columns are filled.
    keys
        `row_keys` of the rows.
    known
        Values that are known from elsewhere, such as the visit's time, of columns
        that the table may have.
    """
    filled: dict[str, NDArray[Any]] = {
        name: np.broadcast_to(value, len(keys))
        for name, value in (known or {}).items()
        if name in table.by_name
    } | dict(catalog.columns)
    covariances = []
    for column in table.columns:
        if column.name not in filled and _can_fill(column):
            if around := _position(column):
                filled[column.name] = _near(catalog, around, column, keys)
            elif column.name.endswith(_COVARIANCE):
                covariances.append(column)
            else:
                filled[column.name] = _values(column, keys)
    for column in covariances:  # their errors are known now
        filled[column.name] = _covariance(column, filled, keys)
    return Catalog(filled, catalog.nulls)


def _can_fill(column: Column) -> bool:
    """Tell whether a column takes a made-up value; texts and times stay NULL."""
    if column.name in NEVER_FILLED:
        return False
    has_maker = column.datatype in {*_MAKERS, Datatype.BOOLEAN, Datatype.BYTE}
    return has_maker or not column.nullable


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix bits as splitmix64 does (Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    z = values + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _position(column: Column) -> str | None:
    """Return the column that a fitted position lies near to, `None` for others."""
    if column.datatype is not Datatype.DOUBLE:
        return None
    return next((to for end, to in _POSITIONS if column.name.endswith(end)), None)


def _near(
    catalog: Catalog, around: str, column: Column, keys: NDArray[np.uint64]
) -> _Uniform:
    offset_deg = hashed_uniform(keys, column.name) * 2e-4 - 1e-4
    if around not in catalog:
        return offset_deg
    near: _Uniform = catalog[around] + offset_deg
    return near % 360.0 if around == "ra" else np.clip(near, -90.0, 90.0)


def _covariance(
    column: Column, filled: Mapping[str, NDArray[Any]], keys: NDArray[np.uint64]
) -> NDArray[Any]:
    """Return a part of the product of the errors of the two values it is named for."""
    bound = hashed_uniform(keys, column.name) - 0.5
    for value in column.name.removesuffix(_COVARIANCE).split("_"):
        sigma = next((filled[n] for e in _ERRORS if (n := value + e) in filled), None)
        if sigma is not None:
            bound *= sigma
    return bound.astype(column.numpy_dtype)


def _values(column: Column, keys: NDArray[np.uint64]) -> NDArray[Any]:
    return _MAKERS.get(column.datatype, _zeros)(column, keys)


def _zeros(column: Column, keys: NDArray[np.uint64]) -> NDArray[Any]:
    return np.zeros(len(keys), dtype=column.numpy_dtype)


def _number(column: Column, keys: NDArray[np.uint64]) -> NDArray[Any]:
    low, high = next(
        (limits for pattern, *limits in _RANGES if re.search(pattern, column.name)),
        (0, 1),
    )
    values = low + (high - low) * hashed_uniform(keys, column.name)
    return values.astype(column.numpy_dtype)


def _long(column: Column, keys: NDArray[np.uint64]) -> NDArray[Any]:
    if column.name == "flags":
        return _zeros(column, keys)
    return (hashed_uniform(keys, column.name) * 1e9).astype(np.int64)


def _blob(column: Column, keys: NDArray[np.uint64]) -> NDArray[Any]:
    n_floats = next(
        (n for pattern, n in _BLOB_FLOATS if re.search(pattern, column.name)), 8
    )
    seeds = (hashed_uniform(keys, column.name) * 2.0**32).astype(np.uint32)
    factors = 2 * np.arange(n_floats, dtype=np.uint32) + 1
    bits = seeds[:, np.newaxis] * (factors * np.uint32(0x9E3779B1))
    rows = (bits >> np.uint32(8)).astype("<f4") * np.float32(2.0**-24)
    blobs = np.empty(len(keys), dtype=object)
    blobs[:] = rows.view(f"V{rows.shape[1] * 4}").ravel().tolist()  # a bytes a row
    return blobs


_MAKERS: dict[Datatype, Callable[[Column, NDArray[np.uint64]], NDArray[Any]]] = {
    Datatype.FLOAT: _number,
    Datatype.DOUBLE: _number,
    Datatype.INT: _number,
    Datatype.SHORT: _number,
    Datatype.LONG: _long,
    Datatype.BLOB: _blob,
}
