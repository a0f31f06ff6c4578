"""The bytes of packed history: chunks of rows of one table and one sky pixel.

``docs/chunk-format.md`` describes the format. A chunk explains itself: it names
its columns and their types, holds values that are the same in all its rows once,
leaves all-NULL columns out, keeps NULL beside NaN, and ends in no doubt about
damage thanks to a checksum over everything.
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

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.errors import CorruptChunkError

__all__ = ["CHUNK_VERSION", "ChunkGroup", "encode_chunks", "group_chunks"]

CHUNK_VERSION = 1
_MAGIC = b"L1HC"
# magic, version, reserved, checksum | pixel, rows, lengths of layout, constants, heap
_START = struct.Struct("<4sHHI")
_REST = struct.Struct("<iIIII")
_HEADER_BYTES = _START.size + _REST.size
_TEXT = "O"
_TEXT_DTYPE = np.dtype([("start", "<u4"), ("length", "<u4")])
_NULL_BITS = "\0nulls"
_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_Parts = tuple[int, int, memoryview, memoryview, memoryview]
"""Pixel, number of rows, constants, records and heap of a chunk."""
_FORBIDDEN = "a column of another kind"


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


def encode_chunks(
    table: str, rows: Catalog, pixels: NDArray[np.int32]
) -> list[tuple[int, int, bytes]]:
    """Return pixel, number of rows and bytes of a chunk for each run of pixels.

    Parameters
    ----------
    table
        Name of the table, which the chunk repeats.
    rows
        Rows ordered by pixel.
    pixels
        Pixel of each row, ascending.
    """
    chunks: list[tuple[int, int, bytes]] = []
    if not len(rows):
        return chunks
    section, constants, record, texts = _encode_rows(table, rows)
    starts = np.flatnonzero(np.diff(pixels, prepend=pixels[0] - 1))
    stops = [*starts[1:].tolist(), len(rows)]
    for start, stop in zip(starts.tolist(), stops, strict=True):
        part, heap = record[start:stop], b""
        if texts:
            part, heap = _with_heap(part, texts, start, stop)
        pixel = int(pixels[start])
        body = b"".join(
            (
                _REST.pack(
                    pixel, stop - start, len(section), len(constants), len(heap)
                ),
                section, constants, part.tobytes(), heap,
            )
        )  # fmt: skip
        head = _START.pack(_MAGIC, CHUNK_VERSION, 0, zlib.crc32(body))
        chunks.append((pixel, stop - start, head + body))
    return chunks


def _encode_rows(
    table: str, rows: Catalog
) -> tuple[bytes, bytes, NDArray[Any], dict[str, list[bytes]]]:
    """Return the layout section, the constants, the records and the texts."""
    constant, varying, texts, kinds = {}, {}, {}, {}
    nullable = []
    for name, column in rows.columns.items():
        mask = rows.nulls.get(name)
        if mask is not None and mask.all():
            continue
        if mask is not None and mask.any():
            nullable.append(name)
            column = _blank(column, mask)  # noqa: PLW2901 - what a NULL hides is not kept
        if column.dtype.hasobject:
            kinds[name], texts[name] = _as_bytes(column)
            varying[name] = np.zeros(len(column), dtype=_TEXT_DTYPE)
        elif mask is None and _is_constant(column):
            constant[name] = column[:1]
        else:
            varying[name] = column
    fields = [(name, _plain(column.dtype)) for name, column in varying.items()]
    n_bytes = (len(nullable) + 7) // 8
    bits = [(_NULL_BITS, np.dtype((np.uint8, n_bytes)))] if nullable else []
    record = np.empty(len(rows), dtype=[*bits, *fields])
    for name, column in varying.items():
        record[name] = column
    if nullable:
        masks = np.stack([rows.nulls[name] for name in nullable], axis=1)
        record[_NULL_BITS] = np.packbits(masks, axis=1, bitorder="little")
    described = {
        "table": table,
        "constants": {n: _plain(c.dtype).str for n, c in constant.items()},
        "rows": {n: kinds.get(n, _plain(c.dtype).str) for n, c in varying.items()},
        "nullable": nullable,
    }
    section = json.dumps(described, separators=(",", ":")).encode()
    constants = b"".join(
        column.astype(_plain(column.dtype)).tobytes() for column in constant.values()
    )
    return section, constants, record, texts


def _is_constant(column: NDArray[Any]) -> bool:
    words = np.ascontiguousarray(column).view(_WORDS[column.dtype.itemsize])
    return bool((words == words[0]).all())


def _blank(column: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    blank = column.copy()
    kept = column[~mask]
    if column.dtype.hasobject:
        blank[mask] = kept[0][:0]
    else:
        blank[mask] = np.zeros(1, dtype=column.dtype)[0]
    return blank


def _as_bytes(column: NDArray[Any]) -> tuple[str, list[bytes]]:
    items = column.tolist()
    if isinstance(items[0], str):
        return f"{_TEXT}str", [item.encode() for item in items]
    return f"{_TEXT}bytes", list(map(bytes, items))


def _with_heap(
    part: NDArray[Any], texts: Mapping[str, list[bytes]], start: int, stop: int
) -> tuple[NDArray[Any], bytes]:
    part = part.copy()
    heap, end = [], 0
    for name, items in texts.items():
        lengths = np.fromiter(map(len, items[start:stop]), np.int64, stop - start)
        part[name]["start"] = end + np.cumsum(lengths) - lengths
        part[name]["length"] = lengths
        end += int(lengths.sum())
        heap += items[start:stop]
    return part, b"".join(heap)


def _plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype == _TEXT_DTYPE else dtype.newbyteorder("<")


@dataclass(frozen=True, slots=True)
class ChunkGroup:
    """Chunks of one layout, decoded together."""

    layout: _Layout
    pixels: NDArray[np.int32]
    """Pixel of each chunk."""
    counts: NDArray[np.int64]
    """Rows of each chunk."""
    constants: NDArray[Any]
    records: NDArray[Any]
    heaps: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.records)

    def __contains__(self, name: object) -> bool:
        names = (self.layout.constants.names or ()) + (self.layout.record.names or ())
        return name in names

    def column(
        self, name: str, keep: NDArray[np.intp] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the values and NULL mask of a column, of all rows or of some."""
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

    def catalog(
        self, names: Sequence[str], keep: NDArray[np.intp] | None = None
    ) -> Catalog:
        """Return columns that the chunks have, of all rows or of some."""
        values, nulls = {}, {}
        for name in names:
            values[name], mask = self.column(name, keep)
            if mask is not None:
                nulls[name] = mask
        return Catalog(values, nulls)

    @property
    def names(self) -> list[str]:
        """All columns that the chunks have."""
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


def group_chunks(table: str, chunks: Sequence[tuple[int, bytes]]) -> list[ChunkGroup]:
    """Check chunks, given with the pixel that they claim, and decode them.

    Raises
    ------
    CorruptChunkError
        If a chunk is damaged, of another version, table or pixel.
    """
    groups: dict[bytes, list[_Parts]] = {}
    for pixel, raw in chunks:
        section, parts = _split(table, pixel, raw)
        groups.setdefault(section, []).append(parts)
    return [_group(table, section, parts) for section, parts in groups.items()]


def _split(table: str, pixel: int, raw: bytes) -> tuple[bytes, _Parts]:
    where = f"of {table} in pixel {pixel}"
    if len(raw) < _HEADER_BYTES:
        raise CorruptChunkError(where, f"is only {len(raw)} bytes long")
    magic, version, _, checksum = _START.unpack_from(raw)
    view = memoryview(raw)
    if magic != _MAGIC:
        raise CorruptChunkError(where, f"starts with {magic!r}, not {_MAGIC!r}")
    if version != CHUNK_VERSION:
        raise CorruptChunkError(
            where, f"has version {version}, this program reads {CHUNK_VERSION}"
        )
    if zlib.crc32(view[_START.size :]) != checksum:
        raise CorruptChunkError(where, "does not agree with its checksum")
    own_pixel, n_rows, n_section, n_constants, n_heap = _REST.unpack_from(
        raw, _START.size
    )
    if own_pixel != pixel:
        raise CorruptChunkError(where, f"says it is of pixel {own_pixel}")
    end = _HEADER_BYTES + n_section
    section = raw[_HEADER_BYTES:end]
    layout = _layout(table, section)
    stop = end + n_constants + n_rows * layout.record.itemsize
    if n_constants != layout.constants.itemsize or stop + n_heap != len(raw):
        raise CorruptChunkError(where, "has sections of the wrong length")
    middle = end + n_constants
    return section, (pixel, n_rows, view[end:middle], view[middle:stop], view[stop:])


def _group(table: str, section: bytes, parts: Sequence[_Parts]) -> ChunkGroup:
    layout = _layout(table, section)
    pixels, counts, constants, records, heaps = zip(*parts, strict=True)
    n_chunks, n_rows = len(counts), sum(counts)
    return ChunkGroup(
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
        fields = [(n, _TEXT_DTYPE if n in texts else _scalar(t))
                  for n, t in rows.items()]  # fmt: skip
        nullable = tuple(described["nullable"])
        n_bytes = (len(nullable) + 7) // 8
        bits = [(_NULL_BITS, np.dtype((np.uint8, n_bytes)))] if nullable else []
        layout = _Layout(
            described["table"],
            np.dtype([(n, _scalar(t)) for n, t in described["constants"].items()]),
            np.dtype([*bits, *fields]),
            nullable,
            texts,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptChunkError(where, f"has a layout that says {error!r}") from error
    if layout.table != table:
        raise CorruptChunkError(where, f"says it is of {layout.table}")
    return layout


def _scalar(text: str) -> np.dtype[Any]:
    dtype = np.dtype(text)
    if dtype.kind not in "biufM":
        raise ValueError(_FORBIDDEN)
    return dtype
