"""Chunks of format 2, column after column: checking and decoding them."""

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

__all__ = [
    "BASE",
    "HEADER",
    "START",
    "ColumnGroup",
    "group_columns",
    "split_columns",
]

START = struct.Struct("<4sHHI")
"""Magic, version, reserved, checksum."""
HEADER = struct.Struct("<iIIIIII")
"""Pixel, rows, segments, lengths of layout and heap, entries of the dictionary, 0."""
BASE = "\0base "
"""How the constant is called from which a column's offsets count."""
_HEADER_BYTES = START.size + HEADER.size  # 40, a multiple of 8
_MANY_SEGMENTS = 20_000  # so many are added to all rows at once, not one by one


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the layout section of a chunk says."""

    table: str
    constants: np.dtype[Any]
    columns: Mapping[str, np.dtype[Any]]
    """Types as held."""
    offsets: Mapping[str, np.dtype[Any]]
    """Types of the values of columns that are held as offsets."""
    nullable: tuple[str, ...]
    texts: Mapping[str, str]
    dictionary: str

    def places(
        self, n_rows: int, n_segments: int, n_entries: int, start: int
    ) -> dict[str, int]:
        """Return where each part of a chunk begins."""
        sizes = {
            "\0counts": 4 * n_segments,
            "\0constants": self.constants.itemsize * n_segments,
            "\0entries": 8 * n_entries,
            **{f"\0null {name}": (n_rows + 7) // 8 for name in self.nullable},
            **{n: dtype.itemsize * n_rows for n, dtype in self.columns.items()},
        }
        places = {}
        for name, size in sizes.items():
            places[name] = start
            start += size + -size % 8  # each part fills words of 8 bytes
        return {**places, "\0heap": start}


@dataclass(frozen=True, slots=True)
class ColumnParts:
    """A chunk that was checked."""

    pixel: int
    n_rows: int
    n_segments: int
    n_entries: int
    places: Mapping[str, int]
    raw: memoryview

    def array(self, name: str, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        """Return a part of the chunk."""
        if not dtype.itemsize or not count:
            return np.empty(count, dtype)
        return np.frombuffer(self.raw, dtype, count, self.places[name])


def split_columns(table: str, pixel: int, raw: memoryview) -> tuple[bytes, ColumnParts]:
    """Check a chunk whose pixel is given; return its layout section and itself."""
    where = f"of {table} in pixel {pixel}"
    if len(raw) < _HEADER_BYTES:
        raise CorruptChunkError(where, f"is only {len(raw)} bytes long")
    _, _, _, checksum = START.unpack_from(raw)
    if zlib.crc32(raw[START.size :]) != checksum:
        raise CorruptChunkError(where, "does not agree with its checksum")
    own_pixel, n_rows, n_segments, n_section, n_heap, n_entries, _ = HEADER.unpack_from(
        raw, START.size
    )
    if own_pixel != pixel:
        raise CorruptChunkError(where, f"says it is of pixel {own_pixel}")
    end = _HEADER_BYTES + n_section
    section = bytes(raw[_HEADER_BYTES:end])
    places = _layout(table, section).places(n_rows, n_segments, n_entries, end)
    if places["\0heap"] + n_heap + -n_heap % 8 != len(raw):
        raise CorruptChunkError(where, "has sections of the wrong length")
    return section, ColumnParts(pixel, n_rows, n_segments, n_entries, places, raw)


class ColumnGroup(ChunkGroup):
    """Chunks of one layout."""

    def __init__(self, layout: _Layout, parts: Sequence[ColumnParts]) -> None:
        self._layout = layout
        self._parts = parts
        self.pixels = np.array([part.pixel for part in parts], dtype=np.int32)
        self.counts = np.array([part.n_rows for part in parts], dtype=np.int64)
        counts = [part.array("\0counts", np.dtype("<u4"), part.n_segments)
                  for part in parts]  # fmt: skip
        self._segment_counts = np.concatenate(counts).astype(np.int64)
        held = [part.array("\0constants", layout.constants, part.n_segments)
                for part in parts]  # fmt: skip
        record = np.concatenate(held)
        self._constants = {name: np.ascontiguousarray(record[name])
                           for name in layout.constants.names or ()}  # fmt: skip

    @override
    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    @override
    def names(self) -> list[str]:
        constants = [name for name in self._constants if not name.startswith(BASE)]
        return [*constants, *self._layout.columns]

    @property
    @override
    def segment_counts(self) -> NDArray[np.int64]:
        return self._segment_counts

    @override
    def constant(self, name: str) -> NDArray[Any] | None:
        return self._constants.get(name)

    @override
    def entries(self, name: str) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
        if name != self._layout.dictionary:
            return None
        dtype, distinct, places, start = self._layout.columns[name], [], [], 0
        for part in self._parts:
            distinct.append(part.array("\0entries", np.dtype("<i8"), part.n_entries))
            held = part.array(name, dtype, part.n_rows)
            places.append(np.add(held, start, dtype=np.int64))
            start += part.n_entries
        return np.concatenate(distinct), np.concatenate(places)

    @override
    def column(
        self, name: str, keep: NDArray[np.intp] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        values = self._values(name)
        values = values if keep is None else values[keep]
        if name not in self._layout.nullable:
            return values, None
        bits = [
            np.unpackbits(
                part.array(f"\0null {name}", np.dtype("u1"), (part.n_rows + 7) // 8),
                count=part.n_rows,
                bitorder="little",
            )
            for part in self._parts
        ]
        mask = np.concatenate(bits).view(np.bool_)
        return values, (mask if keep is None else mask[keep])

    def _values(self, name: str) -> NDArray[Any]:
        held = self._constants.get(name)
        if held is not None:
            return np.repeat(held, self._segment_counts)
        if name in self._layout.texts:
            return self._texts(name)
        listed = self.entries(name)
        if listed is not None:
            distinct, places = listed
            chosen: NDArray[Any] = distinct[places]
            return chosen
        values = self._joined(name)
        if name not in self._layout.offsets:
            return values
        bases = np.repeat(self._constants[BASE + name], self._segment_counts)
        whole: NDArray[Any] = np.add(values, bases, dtype=self._layout.offsets[name])
        return whole

    def _joined(self, name: str) -> NDArray[Any]:
        dtype = self._layout.columns[name]
        return np.concatenate([p.array(name, dtype, p.n_rows) for p in self._parts])

    @override
    def fill(self, name: str, out: NDArray[Any]) -> bool:
        layout = self._layout
        if name not in layout.columns or name in layout.texts:
            return False
        if name in layout.nullable or name == layout.dictionary:
            return False
        dtype = layout.columns[name]
        pieces = [part.array(name, dtype, part.n_rows) for part in self._parts]
        if name not in layout.offsets:
            np.concatenate(pieces, out=out)
            return True
        if len(self._segment_counts) > _MANY_SEGMENTS:
            return False
        held = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
        start = 0
        bases = self._constants[BASE + name].tolist()
        for base, n in zip(bases, self._segment_counts.tolist(), strict=True):
            stop = start + n
            np.add(held[start:stop], base, out=out[start:stop], dtype=out.dtype)
            start = stop
        return True

    def _texts(self, name: str) -> NDArray[np.object_]:
        items: list[Any] = []
        for part in self._parts:
            heap = part.raw[part.places["\0heap"] :]
            spans = part.array(name, TEXT_DTYPE, part.n_rows).tolist()
            items += [bytes(heap[start : start + length]) for start, length in spans]
        if self._layout.texts[name] == "str":
            items = [raw.decode() for raw in items]
        values = np.empty(len(items), dtype=object)
        values[:] = items
        return values


def group_columns(
    table: str, section: bytes, parts: Sequence[ColumnParts]
) -> ColumnGroup:
    """Return chunks of one layout as a group."""
    return ColumnGroup(_layout(table, section), parts)


@lru_cache(maxsize=4096)
def _layout(table: str, section: bytes) -> _Layout:
    where = f"of {table}"
    try:
        described = json.loads(section)
        rows = described["rows"]
        texts = {n: t[1:] for n, t in rows.items() if t.startswith("O")}
        plain = scalar_dtypes({n: t for n, t in rows.items() if n not in texts})
        layout = _Layout(
            described["table"],
            np.dtype(list(scalar_dtypes(described["constants"]).items())),
            {name: plain.get(name, TEXT_DTYPE) for name in rows},
            scalar_dtypes(described["offsets"]),
            tuple(described["nullable"]),
            texts,
            described["dictionary"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptChunkError(where, f"has a layout that says {error!r}") from error
    if layout.table != table:
        raise CorruptChunkError(where, f"says it is of {layout.table}")
    return layout
