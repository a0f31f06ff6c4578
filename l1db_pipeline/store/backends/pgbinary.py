"""PostgreSQL's binary COPY and array formats, from and to numpy.

References
----------
https://www.postgresql.org/docs/current/sql-copy.html ("Binary Format"); arrays as
``array_send`` of src/backend/utils/adt/arrayfuncs.c writes them.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Column, Datatype
from visit_tables.time_scales import mjd_tai_from_utc, utc_from_mjd_tai

__all__ = ["Int8Array", "Int8ArrayDumper", "copy_payload", "decode_columns"]

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_EPOCH_2000 = np.datetime64("2000-01-01T00:00:00", "us")
_INT8_OID = 20
_ARRAY_HEADER = struct.Struct(">iiIii")
_BLOCK_BYTES = 1 << 22
_Bytes = NDArray[np.uint8]


def _wire_of(column: Column) -> np.dtype[Any]:
    """Return the big-endian dtype in which PostgreSQL sends and takes a column."""
    match column.datatype:
        case Datatype.TIMESTAMP:
            return np.dtype(">i8")
        case Datatype.MJD_TAI:
            return np.dtype(">f8")
        case Datatype.BYTE:
            return np.dtype(">i2")  # PostgreSQL has no one-byte integer
        case _:
            return column.numpy_dtype.newbyteorder(">")


def copy_payload(columns: Sequence[Column], rows: Catalog) -> list[memoryview]:
    """Return what ``COPY ... FROM STDIN (FORMAT BINARY)`` takes, in blocks.

    Without NULL and text the rows have one length and are one structured array.
    """
    if not len(rows):
        return [memoryview(_SIGNATURE), memoryview(_TRAILER)]
    flat = _encode_rows(columns, rows).view(np.uint8).ravel().data
    starts = range(0, len(flat), _BLOCK_BYTES)
    blocks = [flat[start : start + _BLOCK_BYTES] for start in starts]
    return [memoryview(_SIGNATURE), *blocks, memoryview(_TRAILER)]


def _encode_rows(columns: Sequence[Column], rows: Catalog) -> NDArray[Any]:
    n_rows = len(rows)
    wire = [_to_wire(column, rows) for column in columns]
    fields: list[tuple[str, Any]] = [("n", ">i2")]
    for place, (value, _) in enumerate(wire):
        fields += [(f"l{place}", ">i4"), (f"v{place}", value.dtype)]
    record = np.empty(n_rows, dtype=fields)
    record["n"] = len(columns)
    for place, (value, length) in enumerate(wire):
        record[f"l{place}"] = length
        record[f"v{place}"] = value
    lengths = [length for _, length in wire]
    if all(isinstance(length, int) for length in lengths):
        return record
    return _squeeze(record, lengths)


def _squeeze(record: NDArray[Any], lengths: Sequence[int | NDArray[Any]]) -> _Bytes:
    """Cut out the bytes of values that are NULL or shorter than the longest."""
    n_rows, stride = len(record), record.dtype.itemsize
    keep = np.ones((n_rows, stride), dtype=np.bool_)
    fields: Mapping[str, Any] = record.dtype.fields or {}
    offsets = {name: int(field[1]) for name, field in fields.items()}
    for place, length in enumerate(lengths):
        if isinstance(length, int):
            continue
        name = f"v{place}"
        n_bytes, offset = record.dtype[name].itemsize, offsets[name]
        width = np.arange(n_bytes)
        keep[:, offset : offset + n_bytes] = width < length[:, None]
    flat: _Bytes = record.view(np.uint8).reshape(n_rows, stride)[keep]
    return flat


def _to_wire(
    column: Column, rows: Catalog
) -> tuple[NDArray[Any], int | NDArray[np.int32]]:
    """Return values and lengths on the wire; -1 is the length of NULL."""
    values, mask = rows.columns[column.name], rows.nulls.get(column.name)
    mask = None if mask is None or not mask.any() else mask
    if values.dtype.hasobject:
        return _text_to_wire(values, mask)
    if column.datatype is Datatype.TIMESTAMP:
        wire = (values - _EPOCH_2000).astype(">i8")
    elif column.datatype is Datatype.MJD_TAI:
        wire = mjd_tai_from_utc(values).astype(">f8")
    else:
        wire = values.astype(_wire_of(column), copy=False)
    width = wire.dtype.itemsize
    return wire, width if mask is None else np.where(mask, -1, width).astype(np.int32)


def _text_to_wire(
    values: NDArray[Any], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[Any], int | NDArray[np.int32]]:
    items = (values if mask is None else np.where(mask, b"", values)).tolist()
    raw = [item.encode() if isinstance(item, str) else item for item in items]
    lengths = np.fromiter(map(len, raw), dtype=np.int32, count=len(raw))
    width = max(1, int(lengths.max(initial=0)))
    is_even = mask is None and bool((lengths == width).all())
    joined = b"".join(raw if is_even else [item.ljust(width, b"\0") for item in raw])
    wire = np.frombuffer(joined, dtype=np.dtype((np.void, width)))
    if is_even:
        return wire, width
    return wire, lengths if mask is None else np.where(mask, np.int32(-1), lengths)


def _encode_int8_array(values: NDArray[Any]) -> bytes:
    """Return the binary form of a ``bigint[]`` without NULL."""
    flat = values.ravel()
    record = np.empty(len(flat), dtype=[("l", ">i4"), ("v", ">i8")])
    record["l"] = 8
    record["v"] = flat
    header = _ARRAY_HEADER.pack(1, 0, _INT8_OID, len(flat), 1)
    return (
        header + record.tobytes() if len(flat) else struct.pack(">iiI", 0, 0, _INT8_OID)
    )


def decode_columns(
    wanted: Sequence[Column], masked: Sequence[Column], row: Sequence[bytes | None]
) -> Catalog:
    """Return the catalog of one row of arrays, one a column, and then one a mask."""
    masks = {}
    for column, raw in zip(masked, row[len(wanted) :], strict=True):
        boolean = np.frombuffer(
            raw or b"", dtype=[("l", ">i4"), ("v", "?")], offset=20 if raw else 0
        )
        masks[column.name] = boolean["v"]
    values, nulls = {}, {}
    for column, raw in zip(wanted, row, strict=False):
        value, mask = _decode_array(column, raw, masks.get(column.name))
        values[column.name] = value
        if mask is not None:
            nulls[column.name] = mask
    return Catalog(values, nulls)


def _decode_array(
    column: Column, raw: bytes | None, is_null: NDArray[np.bool_] | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return the values and NULL mask of a binary array of a fixed-length type.

    ``is_null`` is the mask, where the caller knows it.
    """
    wire = _wire_of(column)
    if raw is None:
        return np.empty(0, dtype=column.numpy_dtype), None
    n_dimensions, has_nulls, _, n_items, _ = _ARRAY_HEADER.unpack_from(raw)
    if n_dimensions == 0:
        return np.empty(0, dtype=column.numpy_dtype), None
    if not has_nulls:
        items = np.frombuffer(
            raw, dtype=[("l", ">i4"), ("v", wire)], offset=_ARRAY_HEADER.size
        )
        return _native(column, items["v"]), None
    if is_null is None:
        is_null = _walk(raw, n_items)
    sizes = 4 + wire.itemsize * ~is_null
    starts = _ARRAY_HEADER.size + np.cumsum(sizes) - sizes + 4
    cells = starts[~is_null, None] + np.arange(wire.itemsize)
    present = np.frombuffer(raw, dtype=np.uint8)[cells].reshape(-1).view(wire)
    values = np.zeros(n_items, dtype=column.numpy_dtype)
    values[~is_null] = _native(column, present)
    return values, is_null


def _walk(raw: bytes, n_items: int) -> NDArray[np.bool_]:
    is_null = np.zeros(n_items, dtype=np.bool_)
    offset = _ARRAY_HEADER.size
    for place in range(n_items):
        (length,) = struct.unpack_from(">i", raw, offset)
        is_null[place] = length < 0
        offset += 4 + max(length, 0)
    return is_null


def _native(column: Column, values: NDArray[Any]) -> NDArray[Any]:
    if column.datatype is Datatype.TIMESTAMP:
        return _EPOCH_2000 + values.astype(np.int64).astype("timedelta64[us]")
    if column.datatype is Datatype.MJD_TAI:
        return utc_from_mjd_tai(values.astype(np.float64))
    return values.astype(column.numpy_dtype)


class Int8Array:
    """An int64 array that goes to the server as a binary ``bigint[]``."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = np.asarray(values, dtype=np.int64)


class Int8ArrayDumper(Dumper):
    """Sends such an array."""

    oid = 1016
    format = Format.BINARY

    @override
    def dump(self, obj: Int8Array) -> bytes:
        return _encode_int8_array(obj.values)
