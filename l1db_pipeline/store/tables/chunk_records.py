"""Chunks of format 1, row after row: read beside those of today, no longer written.

``docs/chunk-format.md`` describes the format.
"""

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.store.errors import CorruptChunkError
from l1db_pipeline.store.tables.chunk_group import (
    TEXT_DTYPE,
    ChunkGroup,
    scalar_dtypes,
)

__all__ = ["RecordGroup", "RecordParts", "group_records", "split_records"]

# magic, version, reserved, checksum | pixel, rows, lengths of layout, constants, heap
_START = struct.Struct("<4sHHI")
_REST = struct.Struct("<iIIII")
_HEADER_BYTES = _START.size + _REST.size
_TEXT = "O"
_NULL_BITS = "\0nulls"
RecordParts = tuple[int, int, memoryview, memoryview, memoryview]
"""Pixel, number of rows, constants, records and heap of a chunk."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the layout section of a chunk says."""

    table: str
    constants: np.dtype[Any]
    record: np.dtype[Any]
    nullable: tuple[str, ...]
    """Columns with a NULL somewhere; each has its bit in the record's first bytes."""
    texts: Mapping[str, str]
    """Columns in the heap: name to ``str`` or ``bytes``."""


@dataclass(frozen=True, slots=True)
class RecordGroup(ChunkGroup):
    """Chunks of one layout, decoded together."""

    layout: _Layout
    pixels: NDArray[np.int32]
    """Pixel of each chunk."""
    counts: NDArray[np.int64]
    """Rows of each chunk."""
    constants: NDArray[Any]
    records: NDArray[Any]
    heaps: tuple[bytes, ...]

    @override
    def __len__(self) -> int:
        return len(self.records)

    @override
    def constant(self, name: str) -> NDArray[Any] | None:
        is_held = name in (self.layout.constants.names or ())
        return np.ascontiguousarray(self.constants[name]) if is_held else None

    @override
    def column(
        self, name: str, keep: NDArray[np.intp] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        if name in (self.layout.constants.names or ()):
            values = np.repeat(self.constants[name], self.counts)
            return (values if keep is None else values[keep]), None
        if name in self.layout.texts:
            values = self._texts(name)
            values = values if keep is None else values[keep]
        else:
            column = self.records[name]
            values = np.ascontiguousarray(column) if keep is None else column[keep]
        if name not in self.layout.nullable:
            return values, None
        bit = self.layout.nullable.index(name)
        flags = self.records[_NULL_BITS][:, bit // 8]
        flags = flags if keep is None else flags[keep]
        return values, (flags >> np.uint8(bit % 8) & np.uint8(1)).astype(np.bool_)

    @property
    @override
    def names(self) -> list[str]:
        constants = self.layout.constants.names or ()
        records = self.layout.record.names or ()
        return [name for name in (*constants, *records) if name != _NULL_BITS]

    def _texts(self, name: str) -> NDArray[np.object_]:
        places = self.records[name]
        starts, lengths = places["start"].tolist(), places["length"].tolist()
        stops = np.cumsum(self.counts).tolist()
        items: list[Any] = []
        for heap, first, stop in zip(self.heaps, [0, *stops[:-1]], stops, strict=True):
            spans = zip(starts[first:stop], lengths[first:stop], strict=True)
            items += [heap[start : start + length] for start, length in spans]
        if self.layout.texts[name] == "str":
            items = [raw.decode() for raw in items]
        values = np.empty(len(items), dtype=object)
        values[:] = items
        return values


def split_records(table: str, pixel: int, raw: memoryview) -> tuple[bytes, RecordParts]:
    """Check a chunk whose pixel is given; return its layout section and its parts."""
    where = f"of {table} in pixel {pixel}"
    if len(raw) < _HEADER_BYTES:
        raise CorruptChunkError(where, f"is only {len(raw)} bytes long")
    _, _, _, checksum = _START.unpack_from(raw)
    if zlib.crc32(raw[_START.size :]) != checksum:
        raise CorruptChunkError(where, "does not agree with its checksum")
    own_pixel, n_rows, n_section, n_constants, n_heap = _REST.unpack_from(
        raw, _START.size
    )
    if own_pixel != pixel:
        raise CorruptChunkError(where, f"says it is of pixel {own_pixel}")
    end = _HEADER_BYTES + n_section
    section = bytes(raw[_HEADER_BYTES:end])
    layout = _layout(table, section)
    stop = end + n_constants + n_rows * layout.record.itemsize
    if n_constants != layout.constants.itemsize or stop + n_heap != len(raw):
        raise CorruptChunkError(where, "has sections of the wrong length")
    middle = end + n_constants
    return section, (pixel, n_rows, raw[end:middle], raw[middle:stop], raw[stop:])


def group_records(
    table: str, section: bytes, parts: Sequence[RecordParts]
) -> RecordGroup:
    """Return chunks of one layout as a group."""
    layout = _layout(table, section)
    pixels, counts, constants, records, heaps = zip(*parts, strict=True)
    n_chunks, n_rows = len(counts), sum(counts)
    return RecordGroup(
        layout,
        np.array(pixels, dtype=np.int32),
        np.array(counts, dtype=np.int64),
        _from_bytes(b"".join(constants), layout.constants, n_chunks),
        _from_bytes(b"".join(records), layout.record, n_rows),
        tuple(bytes(heap) for heap in heaps) if layout.texts else (),
    )


def _from_bytes(raw: bytes, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    if dtype.itemsize == 0:
        return np.empty(count, dtype=dtype)
    return np.frombuffer(raw, dtype=dtype)


@lru_cache(maxsize=256)
def _layout(table: str, section: bytes) -> _Layout:
    where = f"of {table}"
    try:
        described = json.loads(section)
        rows = described["rows"]
        texts = {n: t[1:] for n, t in rows.items() if t.startswith(_TEXT)}
        plain = scalar_dtypes({n: t for n, t in rows.items() if n not in texts})
        fields = [(name, plain.get(name, TEXT_DTYPE)) for name in rows]
        nullable = tuple(described["nullable"])
        n_bytes = (len(nullable) + 7) // 8
        bits = [(_NULL_BITS, np.dtype((np.uint8, n_bytes)))] if nullable else []
        layout = _Layout(
            described["table"],
            np.dtype(list(scalar_dtypes(described["constants"]).items())),
            np.dtype([*bits, *fields]),
            nullable,
            texts,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptChunkError(where, f"has a layout that says {error!r}") from error
    if layout.table != table:
        raise CorruptChunkError(where, f"says it is of {layout.table}")
    return layout
