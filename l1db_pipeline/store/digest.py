"""Digests of table content that do not depend on the order of rows.

A row's hash mixes the bits of its values column by column; a table's digest is the
sum of its rows' hashes modulo 2^128, so parts (tiles, visits, backends) can be
added and compared. NULL differs from every value, NaN from NULL; an all-NULL
column counts as absent; -0.0 counts as 0.0, for SQLite keeps no sign of zero. It
guards against accidents, not against an adversary.
"""

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog

__all__ = ["TableDigest", "digest_by_group", "row_hashes"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_NULL = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(29)
_MASK = (1 << 128) - 1
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


@dataclass(frozen=True, slots=True)
class TableDigest:
    """Number of rows and the sum of their hashes."""

    n_rows: int = 0
    value: int = 0

    def __add__(self, other: "TableDigest") -> "TableDigest":
        return TableDigest(
            self.n_rows + other.n_rows, (self.value + other.value) & _MASK
        )

    def __sub__(self, other: "TableDigest") -> "TableDigest":
        return TableDigest(
            self.n_rows - other.n_rows, (self.value - other.value) & _MASK
        )

    @override
    def __str__(self) -> str:
        return f"{self.n_rows}:{self.value:032x}"

    @classmethod
    def parse(cls, text: str) -> "TableDigest":
        """Return what `str` wrote; ValueError if it is something else."""
        n_rows, _, value = text.partition(":")
        return cls(int(n_rows), int(value, 16))

    @classmethod
    def of(cls, catalog: Catalog, *, without: Collection[str] = ()) -> "TableDigest":
        """Return the digest of a catalog, some columns left out."""
        return _sum(row_hashes(catalog, without=without))


def row_hashes(
    catalog: Catalog, *, without: Collection[str] = ()
) -> NDArray[np.uint64]:
    """Return a 64-bit hash of every row, independent of the order of columns."""
    total = np.zeros(len(catalog), dtype=np.uint64)
    for name, column in catalog.columns.items():
        mask = catalog.nulls.get(name)
        if name in without or (mask is not None and mask.all()):
            continue
        bits = _bits(column, mask)
        salt = zlib.crc32(name.encode())
        bits += np.uint64(salt << 32 | salt)
        bits ^= bits >> _SHIFT
        bits *= _MIX ^ np.uint64(salt << 1)  # odd, so that no bit is lost
        bits ^= bits >> _SHIFT
        if mask is not None:
            bits[mask] = 0
        total += bits
    total ^= total >> _SHIFT
    total *= _NULL
    total ^= total >> _SHIFT
    return total


def digest_by_group(
    hashes: NDArray[np.uint64], groups: NDArray[np.int64]
) -> dict[int, TableDigest]:
    """Return the digest of each group of rows (a visit's, say)."""
    if not len(hashes):
        return {}
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
    counts = np.diff(starts, append=len(ordered)).tolist()
    words = (np.add.reduceat(word, starts).tolist() for word in _words(hashes[order]))
    return {
        key: _joined(count, *parts)
        for key, count, *parts in zip(
            ordered[starts].tolist(), counts, *words, strict=True
        )
    }


def _bits(column: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[np.uint64]:
    if column.dtype.hasobject:
        return _text_bits(column, mask)
    plain = column + column.dtype.type(0) if column.dtype.kind == "f" else column
    plain = np.ascontiguousarray(plain)
    return plain.view(_UNSIGNED[plain.dtype.itemsize]).astype(np.uint64)


def _text_bits(
    column: NDArray[Any], mask: NDArray[np.bool_] | None
) -> NDArray[np.uint64]:
    """Return 64 bits of each text or blob: its words, each mixed with its place."""
    present = column if mask is None else column[~mask]
    items = [
        item.encode() if isinstance(item, str) else item for item in present.tolist()
    ]
    lengths = np.fromiter(map(len, items), dtype=np.int64, count=len(items))
    bits = np.zeros(len(items), dtype=np.uint64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        n_bytes = -(-length // 8) * 8
        joined = b"".join([items[row].ljust(n_bytes, b"\0") for row in rows])
        words = np.frombuffer(joined, dtype="<u8").reshape(len(rows), -1)
        places = np.arange(1, words.shape[1] + 1, dtype=np.uint64) * _GOLDEN
        mixed = (words + places) * _MIX
        mixed ^= mixed >> _SHIFT
        total = (mixed * _GOLDEN).sum(axis=1, dtype=np.uint64)
        bits[rows] = total + np.uint64(length)
    if mask is None:
        return bits
    every = np.zeros(len(column), dtype=np.uint64)
    every[~mask] = bits
    return every


def _sum(hashes: NDArray[np.uint64]) -> TableDigest:
    totals = (int(word.sum(dtype=np.uint64)) for word in _words(hashes))
    return _joined(len(hashes), *totals)


def _words(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], ...]:
    """Return the words to be summed, in halves: 2^32 rows cannot overflow."""
    mixed = hashes * _GOLDEN
    mixed ^= mixed >> _SHIFT
    half, bits = np.uint64(0xFFFFFFFF), np.uint64(32)
    return hashes & half, hashes >> bits, mixed & half, mixed >> bits


def _joined(
    n_rows: int, low: int, high: int, second_low: int, second_high: int
) -> TableDigest:
    value = low + (high << 32) + ((second_low + (second_high << 32)) << 64)
    return TableDigest(n_rows, value & _MASK)
