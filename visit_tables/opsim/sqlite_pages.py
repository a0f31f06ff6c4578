"""Read whole columns of an SQLite table from its pages, with numpy.

SQLite hands out one value at a time, which for a survey of two million visits is a
hundred million calls: more time than compressing the result. Here many pages of the
table's b-tree are read at once, and each column is taken from all of their rows.

Only what opsim files are made of is understood: an ordinary table with row ids, in
UTF-8, without overflow pages, and nothing waiting in a journal. Anything else, and
anything damaged, is an `UnusualPagesError`; callers then ask SQLite itself. The
caller holds a read transaction, so no writer changes the file meanwhile.

References
----------
https://www.sqlite.org/fileformat2.html sections 1.3, 1.6 and 2.1.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visit_tables.columns import MISSING_TEXT

__all__ = ["PageTable", "StoredKinds", "UnusualPagesError"]

_BATCH_BYTES = 4_000_000
_INTERIOR, _LEAF = 5, 13
_DEEPEST = 20
_PADDING = 8192
"""Serial types of two bytes go up to 16383, that is texts of 8185 bytes."""

_REAL = 7
# bytes of serial types 0 to 11; 10 and 11 are reserved
_SIZES = np.array([0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0], dtype=np.int64)
_NULL_KIND, _INTEGER_KIND, _REAL_KIND, _BLOB_KIND, _TEXT_KIND, _BAD_KIND = range(6)
# kinds of serial types 0 to 11, then of any blob and of any text
_KINDS = np.array([0, 1, 1, 1, 1, 1, 1, 2, 1, 1, 5, 5, 3, 4], dtype=np.int64)


class UnusualPagesError(Exception):
    """The pages hold something that only SQLite itself should interpret."""


@dataclass(kw_only=True, slots=True)
class StoredKinds:
    """How many values of each kind a column stores, and its longest text in bytes.

    SQLite stores whole numbers of a REAL column as integers.
    """

    integers: int = 0
    reals: int = 0
    blobs: int = 0
    texts: int = 0
    width: int = 0


@dataclass(kw_only=True, slots=True)
class _Rows:
    """Where the rows of some pages are within a buffer."""

    buffer: NDArray[np.uint8]
    header: NDArray[np.int64]
    body: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.header)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """One column of some rows: serial types and where the values begin."""

    buffer: NDArray[np.uint8]
    serials: NDArray[np.int64]
    starts: NDArray[np.int64]

    def part(self, rows: slice) -> "Cells":
        """Return the cells of some of the rows."""
        return Cells(
            buffer=self.buffer, serials=self.serials[rows], starts=self.starts[rows]
        )

    def integers(self) -> NDArray[np.int64]:
        """Return whole numbers; what is none gives any number."""
        raw = self._eight_bytes()
        sizes = _SIZES[np.minimum(self.serials, 11)]
        values = raw >> np.where(sizes, 64 - 8 * sizes, 63)
        values[self.serials == 8] = 0
        values[self.serials == 9] = 1
        return values

    def floats(self) -> NDArray[np.float64]:
        """Return numbers; NaN for NULL."""
        is_real = self.serials == _REAL
        if is_real.all():
            return self._eight_bytes().view(np.float64)
        values = self.integers().astype(np.float64)
        if is_real.any():
            values = np.where(is_real, self._eight_bytes().view(np.float64), values)
        values[self.serials == 0] = np.nan
        return values

    def texts(self, width: int) -> tuple[NDArray[np.bytes_], bool]:
        """Return texts as fixed-size bytes, and whether all of them are plain.

        They are not if one holds NUL or bytes beyond ASCII, or is the marker of
        missing texts: then they must be looked at one by one.
        """
        lengths = np.maximum(self.serials - 13, 0) >> 1
        place = np.arange(max(width, 1))
        characters = self.buffer[self.starts[:, None] + place]
        characters[place >= lengths[:, None]] = 0
        is_plain = (
            int(np.count_nonzero(characters)) == int(lengths.sum())
            and bool((characters < 0x80).all())
            and not np.any((characters[:, 0] == MISSING_TEXT[0]) & (lengths == 1))
        )
        texts = characters.view(f"S{max(width, 1)}").reshape(-1)
        texts[self.serials == 0] = MISSING_TEXT
        return texts, is_plain

    def texts_one_by_one(self) -> list[bytes]:
        """Return texts with all of their bytes; none for NULL."""
        lengths = (self.serials - 13) >> 1
        whole = self.buffer.data
        return [
            bytes(whole[start : start + length])
            for start, length in zip(
                self.starts.tolist(), lengths.tolist(), strict=True
            )
            if length >= 0
        ]

    def _eight_bytes(self) -> NDArray[np.int64]:
        """Return the 8 bytes at each start as a big-endian integer."""
        # an array whose element k is the 8 bytes from byte k on
        overlapping: NDArray[np.int64] = np.ndarray(
            (len(self.buffer) - 7,), dtype=">i8", buffer=self.buffer.data, strides=(1,)
        )
        return overlapping[self.starts].astype(np.int64)


class PageTable:
    """The rows of one table, read from the pages of its file.

    Parameters
    ----------
    path
        An SQLite file.
    root_page
        Number of the table's first page, from the schema.
    n_columns
        Number of stored columns.

    Raises
    ------
    UnusualPagesError
        If the file or the table is not of the kind that is understood.
    """

    def __init__(self, path: str | Path, root_page: int, n_columns: int) -> None:
        self._path = Path(path)
        self._n_columns = n_columns
        with self._path.open("rb", buffering=0) as stream:
            self._page_bytes, self._usable = _page_sizes(self._path, stream.read(100))
            self._n_pages = os.fstat(stream.fileno()).st_size // self._page_bytes
            self._leaves = self._find_leaves(stream, root_page)
        self.n_rows = 0

    def _find_leaves(self, stream: FileIO, root: int) -> NDArray[np.int64]:
        """Return the numbers of the leaf pages, in the order of the rows."""
        level = np.array([root], dtype=np.int64)
        for _ in range(_DEEPEST):
            # leaves are all at one depth, so the first page tells what a level is
            if self._read_pages(stream, level[:1])[0, 0] == _LEAF:
                return level
            pages = self._read_pages(stream, level)
            if not (pages[:, 0] == _INTERIOR).all():
                break
            level = np.concatenate([_children(page) for page in pages])
            if len(level) > self._n_pages:
                break
        raise UnusualPagesError("is no plain b-tree")

    def _read_pages(
        self, stream: FileIO, numbers: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Read pages, whose numbers count from 1; one row a page."""
        size = self._page_bytes
        if len(numbers) and not 1 < numbers.min() <= numbers.max() <= self._n_pages:
            raise UnusualPagesError("refers to pages that are not there")
        # more at the end, so that any value may be read with the width of all
        whole = np.zeros(len(numbers) * size + _PADDING, dtype=np.uint8)
        edges = np.flatnonzero(np.diff(numbers) != 1) + 1
        view = whole.data
        for first, last in zip([0, *edges], [*edges, len(numbers)], strict=True):
            stream.seek((int(numbers[first]) - 1) * size)
            if (
                stream.readinto(view[first * size : last * size])
                != (last - first) * size
            ):
                raise UnusualPagesError("is truncated")
        pages: NDArray[np.uint8] = whole[: len(numbers) * size].reshape(-1, size)
        return pages

    def _batches(self) -> Iterator[_Rows]:
        step = max(1, _BATCH_BYTES // self._page_bytes)
        with self._path.open("rb", buffering=0) as stream:
            for start in range(0, len(self._leaves), step):
                pages = self._read_pages(stream, self._leaves[start : start + step])
                if (rows := self._rows(pages)) is not None:
                    yield rows

    def _rows(self, pages: NDArray[np.uint8]) -> _Rows | None:
        """Find the rows of leaf pages."""
        if not (pages[:, 0] == _LEAF).all():
            raise UnusualPagesError("has leaves at several depths")
        size = self._page_bytes
        buffer = pages.base if isinstance(pages.base, np.ndarray) else pages
        buffer = np.asarray(buffer).reshape(-1)
        counts = pages[:, 3].astype(np.int64) << 8 | pages[:, 4]
        if not counts.sum():
            return None
        page = np.repeat(np.arange(len(pages)) * size, counts)
        number = np.arange(len(page)) - np.repeat(np.cumsum(counts) - counts, counts)
        pointer = page + 8 + 2 * number
        cell = page + (buffer[pointer].astype(np.int64) << 8 | buffer[pointer + 1])
        payload, at = _varints(buffer, cell)
        if (payload > self._usable - 35).any():
            raise UnusualPagesError("has overflow pages")
        _, header = _varints(buffer, at)
        header_bytes, first = _varints(buffer, header)
        end = header + payload
        if (end > page + self._usable).any():
            raise UnusualPagesError("has cells beyond their page")
        return _Rows(buffer=buffer, header=first, body=header + header_bytes, end=end)

    def _columns(self, rows: _Rows) -> Iterator[Cells]:
        """Yield the cells of each column in turn."""
        at, start = rows.header, rows.body
        for _ in range(self._n_columns):
            serials = rows.buffer[at].astype(np.int64)
            at = at + 1
            if (serials >= 0x80).any():
                (long,) = np.nonzero(serials >= 0x80)
                low = rows.buffer[at[long]]
                if (low >= 0x80).any():
                    raise UnusualPagesError("has very long texts")
                serials[long] = (serials[long] & 0x7F) << 7 | low
                at[long] += 1
            yield Cells(buffer=rows.buffer, serials=serials, starts=start)
            start = start + _sizes_of(serials)
        if (at != rows.body).any() or (start != rows.end).any():
            raise UnusualPagesError("has rows of other columns")

    def scan(self) -> list[StoredKinds]:
        """Look at the type of every value, and count the rows.

        Raises
        ------
        UnusualPagesError
            If rows are damaged, or of another number of columns.
        """
        kinds = [StoredKinds() for _ in range(self._n_columns)]
        self.n_rows = 0
        try:
            for rows in self._batches():
                self.n_rows += len(rows)
                for kind, cells in zip(kinds, self._columns(rows), strict=True):
                    _count(kind, cells.serials)
        except IndexError as error:
            raise UnusualPagesError("is damaged") from error
        return kinds

    def read(self, positions: Sequence[int], max_rows: int) -> Iterator[list[Cells]]:
        """Yield the cells of some columns, for some rows after the other.

        `scan` must have accepted the table before.
        """
        for rows in self._batches():
            columns = list(self._columns(rows))
            for start in range(0, len(rows), max_rows):
                chosen = slice(start, start + max_rows)
                yield [columns[position].part(chosen) for position in positions]


def _page_sizes(path: Path, header: bytes) -> tuple[int, int]:
    """Return the size of pages, and of what is usable of each."""
    journals = (path.with_name(path.name + end) for end in ("-wal", "-journal"))
    if any(journal.exists() and journal.stat().st_size for journal in journals):
        raise UnusualPagesError("has a journal")
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    is_utf8 = header[56:60] == b"\0\0\0\1"
    if len(header) < 100 or page_bytes < 512 or not is_utf8:
        raise UnusualPagesError("is not in UTF-8")
    return page_bytes, page_bytes - header[20]


def _children(page: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the pages under an interior page, in order."""
    count = int(page[3]) << 8 | int(page[4])
    pointers = page[12 : 12 + 2 * count].reshape(-1, 2).astype(np.int64)
    places = pointers[:, 0] << 8 | pointers[:, 1]
    if len(places) != count or (count and places.max() > len(page) - 4):
        raise UnusualPagesError("has a damaged interior page")
    fields = np.concatenate([page[places[:, None] + np.arange(4)], page[None, 8:12]])
    children: NDArray[np.int64] = fields.view(">u4").reshape(-1).astype(np.int64)
    return children


def _varints(
    buffer: NDArray[np.uint8], at: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return integers of variable length, and where each ends."""
    values = np.zeros(len(at), dtype=np.int64)
    is_open = np.ones(len(at), dtype=np.bool_)
    for _ in range(8):  # a ninth byte would be a row id over 2**56
        byte = buffer[at].astype(np.int64)
        values = np.where(is_open, values << 7 | (byte & 0x7F), values)
        at = at + is_open
        is_open = is_open & (byte >= 0x80)
        if not is_open.any():
            return values, at
    raise UnusualPagesError("has very large numbers of rows")


def _sizes_of(serials: NDArray[np.int64]) -> NDArray[np.int64]:
    if serials.max() < 12:
        return _SIZES[serials]
    return np.where(serials < 12, _SIZES[np.minimum(serials, 11)], (serials - 12) >> 1)


def _count(kind: StoredKinds, serials: NDArray[np.int64]) -> None:
    """Add the kinds of some values."""
    codes = _KINDS[np.where(serials < 12, serials, 12 + (serials & 1))]
    counts = np.bincount(codes, minlength=6).tolist()
    if counts[_BAD_KIND]:
        raise UnusualPagesError("has values of an unknown kind")
    kind.integers += counts[_INTEGER_KIND]
    kind.reals += counts[_REAL_KIND]
    kind.blobs += counts[_BLOB_KIND]
    kind.texts += counts[_TEXT_KIND]
    if counts[_TEXT_KIND]:
        kind.width = max(
            kind.width, (int(serials[codes == _TEXT_KIND].max()) - 13) // 2
        )
