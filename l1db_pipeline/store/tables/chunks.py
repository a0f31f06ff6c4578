"""The bytes of packed tables: chunks of rows of one table and one sky pixel.

``docs/chunk-format.md`` describes the format. A chunk explains itself: it names its
columns and their types, holds values that are the same in all rows of a segment (a
run of one visit) once, leaves all-NULL columns out, keeps NULL beside NaN, and ends in
no doubt about damage thanks to a checksum over everything. Its columns lie one after
the other, so that a reader touches those only that it is asked for.
"""

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.errors import CorruptChunkError
from l1db_pipeline.store.tables.chunk_columns import (
    BASE,
    HEADER,
    START,
    group_columns,
    split_columns,
)
from l1db_pipeline.store.tables.chunk_group import TEXT_DTYPE, ChunkGroup
from l1db_pipeline.store.tables.chunk_records import group_records, split_records

__all__ = ["CHUNK_VERSION", "encode_chunks", "group_chunks", "group_with_places"]

CHUNK_VERSION = 2
_MAGIC = b"L1HC"
_HEAD = struct.Struct("<4sHH")
_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_REPEATED = 0.75  # a dictionary pays where so many rows or fewer are distinct


@dataclass(slots=True)
class _Encoded:
    """Columns of rows as all their chunks hold them."""

    starts: NDArray[np.intp]
    """First row of each segment."""
    counts: NDArray[np.int64]
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    """One value a segment."""
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    offsets: dict[str, str] = field(default_factory=dict)
    """Columns held as offsets from the segment's least: their own type."""
    texts: dict[str, list[bytes]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    dictionary: str = ""
    entries: list[NDArray[np.int64]] = field(default_factory=list)

    def add(
        self, name: str, column: NDArray[Any], mask: NDArray[np.bool_] | None
    ) -> None:
        """Take a column in the shortest form that it has."""
        if mask is not None:
            self.masks[name] = mask
            column = _blank(column, mask)
        if column.dtype.hasobject:
            self.kinds[name], self.texts[name] = _as_bytes(column)
            self.columns[name] = np.zeros(len(column), dtype=TEXT_DTYPE)
            return
        column = np.ascontiguousarray(column)
        if mask is None:
            words = column.view(_WORDS[column.dtype.itemsize])
            if (words == np.repeat(words[self.starts], self.counts)).all():
                self.constants[name] = column[self.starts]
                return
        if column.dtype == np.int64 and self._as_offsets(name, column):
            return
        self.columns[name] = column

    def _as_offsets(self, name: str, column: NDArray[np.int64]) -> bool:
        lows = np.minimum.reduceat(column, self.starts)
        highs = np.maximum.reduceat(column, self.starts)
        # as Python numbers: the width of a column may not fit 64 bits
        width = max(map(int.__sub__, highs.tolist(), lows.tolist()))
        if width >= 1 << 32:
            return False
        small = np.dtype("<u2" if width < 1 << 16 else "<u4")
        self.constants[BASE + name] = lows
        self.offsets[name] = "<i8"
        self.columns[name] = (column - np.repeat(lows, self.counts)).astype(small)
        return True

    def add_dictionary(
        self, name: str, ids: NDArray[np.int64], bounds: Sequence[tuple[int, int]]
    ) -> bool:
        """Take ids as places in the distinct ones of a chunk, if they repeat."""
        places = np.empty(len(ids), np.int64)
        for start, stop in bounds:
            distinct, places[start:stop] = np.unique(
                ids[start:stop], return_inverse=True
            )
            self.entries.append(distinct)
        if sum(map(len, self.entries)) > _REPEATED * len(ids):
            self.entries = []
            return False
        is_short = max(map(len, self.entries)) <= 1 << 16
        self.dictionary = name
        self.columns[name] = places.astype("<u2" if is_short else "<u4")
        return True

    def section(self, table: str) -> bytes:
        """Return the layout section."""
        described = {
            "table": table,
            "constants": {n: _plain(c.dtype).str for n, c in self.constants.items()},
            "rows": {n: self.kinds.get(n) or _plain(c.dtype).str
                     for n, c in self.columns.items()},
            "offsets": self.offsets,
            "nullable": list(self.masks),
            "dictionary": self.dictionary,
        }  # fmt: skip
        section = json.dumps(described, separators=(",", ":")).encode()
        return section + b" " * (-len(section) % 8)


def encode_chunks(
    table: str,
    rows: Catalog,
    pixels: NDArray[np.int32],
    *,
    segments: NDArray[np.int64] | None = None,
    dictionary: str = "",
) -> list[tuple[int, int, bytes]]:
    """Return pixel, number of rows and bytes of a chunk for each run of pixels.

    Parameters
    ----------
    table
        Name of the table, which the chunk repeats.
    rows
        Rows ordered by pixel, and by segment within one.
    pixels
        Pixel of each row, ascending.
    segments
        A number whose runs are the segments; `None` for one segment a chunk.
    dictionary
        Column of ids that is held as places in a list, if ids repeat.
    """
    if not len(rows):
        return []
    is_first = np.diff(pixels, prepend=pixels[0] - 1) != 0
    firsts = np.flatnonzero(is_first)
    bounds = list(zip(firsts.tolist(), [*firsts[1:].tolist(), len(rows)], strict=True))
    if segments is not None:
        is_first |= np.diff(segments, prepend=segments[0]) != 0
    starts = np.flatnonzero(is_first)
    held = _Encoded(starts, np.diff(starts, append=len(rows)))
    for name, column in rows.columns.items():
        mask = rows.nulls.get(name)
        mask = mask if mask is not None and mask.any() else None
        if mask is not None and mask.all():
            continue
        is_listed = name == dictionary and mask is None
        if not is_listed or not held.add_dictionary(name, column, bounds):
            held.add(name, column, mask)
    return _chunks_of(table, held, pixels, bounds)


def _chunks_of(
    table: str,
    held: _Encoded,
    pixels: NDArray[np.int32],
    bounds: Sequence[tuple[int, int]],
) -> list[tuple[int, int, bytes]]:
    section = held.section(table)
    fields = [(n, _plain(c.dtype)) for n, c in held.constants.items()]
    constants = np.empty(len(held.starts), dtype=fields)
    for name, column in held.constants.items():
        constants[name] = column
    columns = {n: c.astype(_plain(c.dtype), copy=False)
               for n, c in held.columns.items()}  # fmt: skip
    counts = held.counts.astype("<u4")
    chunks = []
    for place, (start, stop) in enumerate(bounds):
        first, last = np.searchsorted(held.starts, (start, stop)).tolist()
        entries = held.entries[place] if held.dictionary else np.empty(0, np.int64)
        pieces, heap = [], b""
        for name, column in columns.items():
            piece = column[start:stop]
            if name in held.texts:
                piece, heap = _with_heap(held.texts[name][start:stop], heap)
            pieces.append(piece.tobytes())
        masks = [np.packbits(mask[start:stop], bitorder="little").tobytes()
                 for mask in held.masks.values()]  # fmt: skip
        parts = [counts[first:last].tobytes(), constants[first:last].tobytes(),
                 entries.astype("<i8").tobytes(), *masks, *pieces, heap]  # fmt: skip
        head = HEADER.pack(int(pixels[start]), stop - start, last - first,
                           len(section), len(heap), len(entries), 0)  # fmt: skip
        padded = [part + bytes(-len(part) % 8) for part in parts]
        body = b"".join((head, section, *padded))
        stated = START.pack(_MAGIC, CHUNK_VERSION, 0, zlib.crc32(body))
        chunks.append((int(pixels[start]), stop - start, stated + body))
    return chunks


def _with_heap(items: Sequence[bytes], heap: bytes) -> tuple[NDArray[Any], bytes]:
    lengths = np.fromiter(map(len, items), np.int64, len(items))
    places = np.empty(len(items), dtype=TEXT_DTYPE)
    places["start"] = len(heap) + np.cumsum(lengths) - lengths
    places["length"] = lengths
    return places, heap + b"".join(items)


def _blank(column: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return a column without what its NULLs hide, which is not kept."""
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
        return "Ostr", [item.encode() for item in items]
    return "Obytes", list(map(bytes, items))


def _plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype == TEXT_DTYPE else dtype.newbyteorder("<")


def group_chunks(
    table: str, chunks: Sequence[tuple[int, bytes | memoryview]]
) -> list[ChunkGroup]:
    """Check chunks, given with the pixel that they claim, and decode them.

    Raises
    ------
    CorruptChunkError
        If a chunk is damaged, of an unknown version, another table or pixel.
    """
    return [group for group, _ in group_with_places(table, chunks)]


def group_with_places(
    table: str, chunks: Sequence[tuple[int, bytes | memoryview]]
) -> list[tuple[ChunkGroup, list[int]]]:
    """Return what `group_chunks` does, and which of the chunks each group has."""
    of_columns: dict[bytes, tuple[list[Any], list[int]]] = {}
    of_records: dict[bytes, tuple[list[Any], list[int]]] = {}
    kinds: Mapping[int, Any] = {
        1: (split_records, of_records), CHUNK_VERSION: (split_columns, of_columns)
    }  # fmt: skip
    for place, (pixel, raw) in enumerate(chunks):
        where = f"of {table} in pixel {pixel}"
        if len(raw) < _HEAD.size:
            raise CorruptChunkError(where, f"is only {len(raw)} bytes long")
        magic, version, _ = _HEAD.unpack_from(raw)
        if magic != _MAGIC:
            raise CorruptChunkError(where, f"starts with {magic!r}, not {_MAGIC!r}")
        if version not in kinds:
            readable = f"this program reads 1 to {CHUNK_VERSION}"
            raise CorruptChunkError(where, f"has version {version}, {readable}")
        split, groups = kinds[version]
        section, parts = split(table, pixel, memoryview(raw))
        held, places = groups.setdefault(section, ([], []))
        held.append(parts)
        places.append(place)
    found: list[tuple[ChunkGroup, list[int]]] = [
        (group_columns(table, section, parts), places)
        for section, (parts, places) in of_columns.items()
    ]
    return found + [
        (group_records(table, section, parts), places)
        for section, (parts, places) in of_records.items()
    ]
