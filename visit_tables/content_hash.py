"""The canonical hash of visits, fed with batches; see ``docs/content-hash.md``.

Equal visits give equal hashes whatever the process, library version, byte order,
column order, or spelling of a dtype: 32- or 64-bit, integer or whole float, bool or
0 and 1, texts as objects, ``str`` or bytes, with None or NaN where one is missing.
The index of a frame is left out; the order of rows counts.
"""

import hashlib
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visit_tables.columns import (
    MISSING_TEXT,
    Batch,
    UnsupportedColumnError,
)
from visit_tables.errors import VisitTablesError
from visit_tables.files import iterate_visits

__all__ = [
    "HASH_ALGORITHM",
    "ChangedColumnsError",
    "VisitsDigest",
    "file_sha256",
]


HASH_ALGORITHM = "vseq-visits-1"
"""Name of the algorithm, to be kept beside every hash."""

_LIMIT = 2.0**63


class ChangedColumnsError(VisitTablesError, ValueError):
    """Batches of one table have different columns."""


class VisitsDigest:
    """Hash of visits that come in batches, however they are divided."""

    def __init__(self) -> None:
        self._n_rows = 0
        self._columns: dict[str, _ColumnDigest] = {}

    def update(self, batch: Batch) -> None:
        """Add rows.

        Raises
        ------
        ChangedColumnsError
            If the columns are not those of earlier batches.
        UnsupportedColumnError
            If values have no canonical form.
        """
        if not self._columns:
            self._columns = {name: _ColumnDigest(name) for name in batch}
        if self._columns.keys() != batch.keys():
            raise ChangedColumnsError("columns differ between batches")
        for name, values in batch.items():
            self._columns[name].update(values, self._n_rows)
        self._n_rows += len(next(iter(batch.values()), ()))

    def digest(self) -> bytes:
        """Return the 32 bytes of the hash of all rows so far."""
        whole = hashlib.sha256(f"{HASH_ALGORITHM}\n".encode())
        whole.update(struct.pack("<QQ", self._n_rows, len(self._columns)))
        named = sorted((name.encode(), part) for name, part in self._columns.items())
        for name, part in named:
            whole.update(
                struct.pack("<I", len(name)) + name + part.digest(self._n_rows)
            )
        return whole.digest()


class _ColumnDigest:
    """Hashes of one column in each form it may still turn out to have."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._n_missing = 0
        self._kind = ""
        self._is_whole = True
        self._missing = hashlib.sha256()
        self._whole = hashlib.sha256()
        self._values = hashlib.sha256()
        self._lengths = hashlib.sha256()

    def update(self, values: NDArray[np.generic], first_row: int) -> None:
        if not len(values):
            return
        match values.dtype.kind:
            case "S":
                kind, missing = "t", self._text(values)
            case "M":
                kind, missing = "d", self._times(values)
            case "i" | "u" | "b" | "f":
                kind, missing = "n", self._numbers(values)
            case other:
                raise UnsupportedColumnError(self._name, f"is of kind {other!r}")
        rows = np.flatnonzero(missing) + first_row
        self._missing.update(rows.astype("<u8").tobytes())
        self._n_missing += len(rows)
        if len(rows) < len(values):
            if self._kind not in {"", kind}:
                raise UnsupportedColumnError(self._name, "mixes kinds of values")
            self._kind = kind

    def _text(self, values: NDArray[np.generic]) -> NDArray[np.bool_]:
        texts = np.ascontiguousarray(values).astype(values.dtype, copy=False)
        missing: NDArray[np.bool_] = texts == MISSING_TEXT
        lengths = np.char.str_len(texts)
        lengths[missing] = 0
        self._lengths.update(lengths.astype("<u4").tobytes())
        characters = texts.view(np.uint8).reshape(len(texts), -1)
        kept = np.arange(characters.shape[1]) < lengths[:, None]
        self._values.update(characters[kept].tobytes())
        return missing

    def _times(self, values: NDArray[np.generic]) -> NDArray[np.bool_]:
        missing: NDArray[np.bool_] = np.isnat(values)
        nanoseconds = values.astype("datetime64[ns]")
        if np.any(nanoseconds.astype(values.dtype)[~missing] != values[~missing]):
            raise UnsupportedColumnError(self._name, "holds times out of range")
        counts = np.where(missing, 0, nanoseconds.astype(np.int64))
        self._values.update(counts.astype("<i8").tobytes())
        return missing

    def _numbers(self, values: NDArray[np.generic]) -> NDArray[np.bool_]:
        if values.dtype.kind != "f":
            whole = values.astype("<i8")
            if values.dtype.kind == "u" and np.any(whole < 0):
                raise UnsupportedColumnError(self._name, "holds integers over 2**63")
            self._values.update(whole.astype("<f8").tobytes())
            if self._is_whole:
                self._whole.update(whole.tobytes())
            return np.zeros(len(values), dtype=np.bool_)
        numbers = values.astype("<f8")
        if values.dtype.itemsize > 8:
            raise UnsupportedColumnError(self._name, "holds floats of over 64 bits")
        missing: NDArray[np.bool_] = np.isnan(numbers)
        numbers[missing] = 0.0
        numbers += 0.0  # turns -0.0 into 0.0, its equal
        self._values.update(numbers.tobytes())
        if self._is_whole:
            self._is_whole = bool(
                np.all((np.floor(numbers) == numbers) & (np.abs(numbers) < _LIMIT))
            )
        if self._is_whole:
            self._whole.update(numbers.astype("<i8").tobytes())
        return missing

    def digest(self, total: int) -> bytes:
        if self._n_missing == total:
            return b"0"
        missing = self._missing.digest()
        match self._kind:
            case "t":
                return b"t" + self._lengths.digest() + self._values.digest() + missing
            case "d":
                return b"d" + self._values.digest() + missing
            case _ if self._is_whole:
                return b"i" + self._whole.digest() + missing
            case _:
                return b"f" + self._values.digest() + missing


def file_sha256(path: str | Path) -> bytes:
    """Return the canonical hash of the ``observations`` of a file.

    Raises
    ------
    VisitsFileError
        If the file cannot be read.
    """
    digest = VisitsDigest()
    for batch in iterate_visits(path):
        digest.update(batch)
    return digest.digest()
