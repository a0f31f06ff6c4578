"""Write visits in batches to HDF5, with h5py alone and in bounded memory.

Chunks are shuffled, compressed with gzip and carry a Fletcher-32 checksum: filters
that every HDF5 library has. They are applied here, not by HDF5, whose zlib takes six
times as long as ISA-L for the same size. Beside each table of visits stands a small
dataset ``night_of_chunk`` with the first and last night of every chunk, which pandas
does not look at; it lets a reader go straight to one night.
"""

import os
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from visit_tables.columns import Batch, UnsupportedColumnError
from visit_tables.day_obs import TIME_COLUMNS, night_mjds
from visit_tables.hdf5.pytables import (
    Field,
    Shape,
    fields_of,
    mark_file,
    mark_group,
    mark_table,
)

__all__ = ["NIGHT_INDEX", "fletcher32", "replacing_file", "write_batches"]

NIGHT_INDEX = "night_of_chunk"
_CHUNK_BYTES = 400_000
_SMALL_TABLE_ROWS = 20_000


@contextmanager
def replacing_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write to that takes the place of ``path`` when all went well.

    The file appears whole or not at all, and is on disk when it appears.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def write_batches(
    path: str | Path,
    tables: Iterable[tuple[str, int, Iterable[Batch]]],
    shapes: Mapping[str, Shape] = MappingProxyType({}),
) -> None:
    """Write tables to a new HDF5 file; an older file is replaced at the end.

    Parameters
    ----------
    path
        The file to write.
    tables
        Name, number of rows expected, and batches of each table. All batches of a
        table have the same columns and dtypes; at least one is needed.
    shapes
        What pandas is to make of a table; by default a frame with an index of
        0, 1, 2 and so on.

    Raises
    ------
    UnsupportedColumnError
        If a name or a value cannot be represented.
    """
    with replacing_file(path) as partial, h5py.File(partial, "w") as file:
        mark_file(file)
        for name, expected_rows, batches in tables:
            if not name or "/" in name or name == "." or "\0" in name:
                raise UnsupportedColumnError(name, "cannot name a table")
            group = file.create_group(name)
            shape = shapes.get(name, Shape())
            writer = _TableWriter(group, expected_rows, shape)
            for batch in batches:
                writer.append(batch)
            writer.close()


class _TableWriter:
    """One growing table and the nights of its chunks."""

    def __init__(self, group: h5py.Group, expected_rows: int, shape: Shape) -> None:
        self._group = group
        self._shape = shape
        self._expected_rows = expected_rows
        # the last tenth of size costs most of the time: worth it for a night
        self._is_small = expected_rows <= _SMALL_TABLE_ROWS
        self._fields: list[Field] = []
        self._table: h5py.Dataset | None = None
        self._pending: NDArray[np.void] = np.empty(0, dtype=[("index", "<i8")])
        self._n_pending = 0
        self._n_written = 0
        self._nights: list[tuple[int, int]] = []
        self._pending_nights: NDArray[np.int64] | None = None

    def append(self, batch: Batch) -> None:
        if self._table is None:
            self._create(batch)
        nights = night_mjds(batch) if self._pending_nights is not None else None
        start = 0
        total = len(next(iter(batch.values()), ()))
        while start < total:
            n = min(total - start, len(self._pending) - self._n_pending)
            here = slice(self._n_pending, self._n_pending + n)
            for field in self._fields:
                values = batch[field.column][start : start + n]
                if field.dtype.kind == "M":
                    values = values.view(np.int64)
                self._pending[field.name][here] = values
            if nights is not None and self._pending_nights is not None:
                self._pending_nights[here] = nights[start : start + n]
            self._n_pending += n
            start += n
            if self._n_pending == len(self._pending):
                self._flush()

    def _create(self, batch: Batch) -> None:
        self._fields = fields_of([(name, a.dtype) for name, a in batch.items()])
        dtype = np.dtype(
            [
                ("index", "<i8" if self._shape.index is None else "<f8"),
                *((field.name, field.stored) for field in self._fields),
            ]
        )
        rows = max(1, min(_CHUNK_BYTES // dtype.itemsize, max(1, self._expected_rows)))
        self._table = self._group.create_dataset(
            "table",
            shape=(0,),
            maxshape=(None,),
            dtype=dtype,
            chunks=(rows,),
            shuffle=True,
            compression="gzip",
            compression_opts=9 if self._is_small else 1,
            fletcher32=True,
        )
        self._pending = np.zeros(rows, dtype=dtype)
        if any(name in batch for name in TIME_COLUMNS):
            self._pending_nights = np.zeros(rows, dtype=np.int64)

    def _flush(self) -> None:
        if self._table is None or not self._n_pending:
            return
        first, last = self._n_written, self._n_written + self._n_pending
        self._pending["index"][: self._n_pending] = (
            np.arange(first, last)
            if self._shape.index is None
            else self._shape.index[first:last]
        )
        self._table.resize((last,))
        self._pending[self._n_pending :] = np.zeros((), dtype=self._pending.dtype)
        chunk = _filtered(self._pending, is_small=self._is_small)
        self._table.id.write_direct_chunk((first,), chunk)
        if self._pending_nights is not None:
            nights = self._pending_nights[: self._n_pending]
            self._nights.append((int(nights.min()), int(nights.max())))
        self._n_written = last
        self._n_pending = 0

    def close(self) -> None:
        self._flush()
        if self._table is None:
            raise UnsupportedColumnError(self._group.name, "is a table of no columns")
        mark_group(self._group, self._fields, self._shape)
        mark_table(self._table, self._fields)
        if self._pending_nights is not None:
            nights = np.array(self._nights, dtype="<i4").reshape(-1, 2)
            index = self._group.create_dataset(NIGHT_INDEX, data=nights)
            index.attrs["chunk_rows"] = np.int64(len(self._pending))
            index.attrs["n_rows"] = np.int64(self._n_written)


def _filtered(rows: NDArray[np.void], *, is_small: bool) -> bytes:
    """Return a chunk as HDF5's filters store it: shuffled, deflated, with a sum."""
    octets = rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)
    shuffled = octets.T.tobytes()
    packed: bytes = (
        zlib.compress(shuffled, 9) if is_small else isal_zlib.compress(shuffled, 1)
    )
    return packed + fletcher32(packed).to_bytes(4, "little")


def fletcher32(data: bytes) -> int:
    """Return the checksum of HDF5's filter of that name.

    Two sums of the 16-bit big-endian words, in ones' complement: what is not all zero
    gives 65535 where a remainder would be 0.
    """
    words = np.frombuffer(data + b"\0" * (len(data) % 2), dtype=">u2").astype(np.int64)
    low = int(words.sum())
    high = int(words @ np.arange(len(words), 0, -1))
    low, high = ((total - 1) % 65535 + 1 if total else 0 for total in (low, high))
    return high << 16 | low
