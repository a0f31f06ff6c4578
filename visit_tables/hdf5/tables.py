"""The two layouts of pandas in HDF5, read as plain columns.

`TableFormat` is the one we write; pandas makes it with ``format="table"``.
`FixedFormat` is the default of pandas and of older archives: numbers in blocks,
texts as pickles, which a restricted reader takes apart.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from visit_tables.columns import MISSING_TEXT, Batch, number_array, text_array
from visit_tables.hdf5.nodes import HDF5FileError, attribute, child_dataset
from visit_tables.hdf5.safe_pickle import load_objects

__all__ = ["FixedFormat", "Index", "StoredTable", "TableFormat", "stored_table"]


@dataclass(frozen=True, slots=True)
class Index:
    """One level of the index of a table."""

    name: str | None
    array: NDArray[np.generic]


class StoredTable(Protocol):
    """A table in a file that is open."""

    @property
    def columns(self) -> list[str]:
        """Names of columns, in order."""
        ...

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        ...

    @property
    def is_series(self) -> bool:
        """Whether pandas wrote a series, which is a table of one column."""
        ...

    def read(self, columns: Collection[str], first: int, last: int) -> Batch:
        """Return some columns of rows ``[first, last)``, in the order of `columns`."""
        ...

    def index(self) -> list[Index]:
        """Return the levels of the index."""
        ...


def stored_table(group: h5py.Group) -> StoredTable:
    """Return the table that a group holds.

    Raises
    ------
    HDF5FileError
        If the group is in neither layout.
    """
    kind = attribute(group, "pandas_type", "")
    if kind in {"frame_table", "series_table"}:
        return TableFormat(group)
    if kind in {"frame", "series"}:
        return FixedFormat(group)
    raise HDF5FileError("", f"{group.name} is not a table of pandas")


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a column of a table is: a field, and a place within the field."""

    field: str
    place: int | None
    dtype: str
    nan_rep: bytes | None


class TableFormat:
    """A frame or series in PyTables' table layout."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        self._table = child_dataset(group, "table")
        if self._table.ndim != 1 or not self._table.dtype.names:
            raise HDF5FileError("", f"{self._table.name} is not a table")
        levels = attribute(group, "levels", 1)
        self._levels = (
            [str(level) for level in levels] if isinstance(levels, list) else []
        )

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self._table.shape[0])

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk, which are read together."""
        return int(self._table.chunks[0]) if self._table.chunks else max(1, self.n_rows)

    @property
    def is_series(self) -> bool:
        """Whether pandas wrote a series."""
        return bool(attribute(self._group, "pandas_type") == "series_table")

    @cached_property
    def columns(self) -> list[str]:
        """Names of columns, in order, without those that make up the index."""
        axes = attribute(self._group, "non_index_axes")
        named = [str(name) for name in axes[0][1]] if axes else list(self._sources)
        if set(named) != set(self._sources):
            raise HDF5FileError("", f"{self._table.name} disagrees with its columns")
        return [name for name in named if name not in self._levels]

    @cached_property
    def _sources(self) -> dict[str, _Source]:
        is_own = bool(attribute(self._group, "data_col_nan_rep", 0))
        shared = attribute(self._group, "nan_rep")
        sources: dict[str, _Source] = {}
        for field in self._table.dtype.names:
            if field == "index":
                continue
            names = attribute(self._table, f"{field}_kind", [field])
            own = attribute(self._table, f"{field}_nan_rep")
            text = own if is_own else (shared or "nan")
            for place, name in enumerate(names):
                sources[str(name)] = _Source(
                    field=field,
                    place=place if self._table.dtype[field].shape else None,
                    dtype=attribute(self._table, f"{field}_dtype", ""),
                    nan_rep=None if text is None else str(text).encode(),
                )
        return sources

    def read(self, columns: Collection[str], first: int, last: int) -> Batch:
        """Return some columns of rows ``[first, last)``.

        A row is stored whole, so all chunks of these rows are decompressed, in
        pieces of a few megabytes; only the columns asked for are kept.
        """
        wanted = [name for name in self.columns if name in columns]
        return self._read(wanted, first, last)

    def _read(self, wanted: list[str], first: int, last: int) -> Batch:
        total = max(0, last - first)
        kept = {name: np.empty(total, self._dtype(name)) for name in wanted}
        step = max(1, 16_000_000 // self._table.dtype.itemsize // self.chunk_rows)
        step *= self.chunk_rows
        # pieces begin where chunks begin, so no chunk is decompressed twice
        start = first
        while start < last:
            stop = min(last, (start // step + 1) * step)
            piece = self._table[start:stop]
            for name in wanted:
                source = self._sources[name]
                values = piece[source.field]
                values = values if source.place is None else values[:, source.place]
                kept[name][start - first : stop - first] = values
            start = stop
        return {name: self._finish(name, values) for name, values in kept.items()}

    def _dtype(self, name: str) -> "np.dtype[Any]":
        base: np.dtype[Any] = self._table.dtype[self._sources[name].field].base
        return base.newbyteorder("=")

    def _finish(self, name: str, values: NDArray[Any]) -> NDArray[np.generic]:
        source = self._sources[name]
        if values.dtype.kind == "S":
            nan_rep = source.nan_rep
            return values if nan_rep == MISSING_TEXT else _mark_missing(values, nan_rep)
        return _typed(values, source.dtype)

    def index(self) -> list[Index]:
        """Return the levels of the index."""
        if self._levels:
            found = self._read(self._levels, 0, self.n_rows)
            return [Index(name, found[name]) for name in self._levels]
        values = self._table.fields("index")[:]
        info = attribute(self._group, "info", {})
        name = info.get("index", {}).get("index_name")
        kind = attribute(self._table, "index_kind", "")
        return [Index(name, _typed(values, kind))]


def _typed(values: NDArray[Any], dtype: str) -> NDArray[np.generic]:
    """Give stored integers back their meaning as bools or times."""
    if dtype == "bool":
        return values.astype(np.bool_)
    if dtype.startswith(("datetime64", "timedelta64")):
        kind = dtype if "[" in dtype else f"{dtype}[ns]"
        return values.astype(np.int64).view(kind)
    return values


def _mark_missing(values: NDArray[Any], nan_rep: bytes | None) -> NDArray[np.bytes_]:
    if nan_rep is None:
        return values
    return np.where(values == nan_rep, MISSING_TEXT, values)


class FixedFormat:
    """A frame or series in pandas' fixed layout."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        self.is_series = attribute(group, "pandas_type") == "series"
        if self.is_series:
            name = attribute(group, "name", None)
            self.columns = ["values" if name is None else str(name)]
            self._axis = "index"
        else:
            self.columns = self._names("axis0")
            self._axis = "axis1"
        if len(set(self.columns)) != len(self.columns):
            raise HDF5FileError("", f"{group.name} has columns of one name")

    @cached_property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self._levels[0].array)

    @cached_property
    def _levels(self) -> list[Index]:
        return self.index()

    def _names(self, name: str) -> list[str]:
        values = self._array(name)
        return [v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist()]

    def _array(self, name: str) -> NDArray[Any]:
        node = self._group.get(name)
        is_pickled = (
            isinstance(node, h5py.Dataset)
            and attribute(node, "PSEUDOATOM", "") == "object"
        )
        dataset = child_dataset(self._group, name, is_pickled=is_pickled)
        if is_pickled:
            values = load_objects(np.asarray(dataset[0], dtype=np.uint8).tobytes())
            return values.T if int(attribute(dataset, "transposed", 0)) else values
        kind = str(attribute(dataset, "value_type", ""))
        if (shape := attribute(dataset, "shape")) is not None:
            return _empty(tuple(int(n) for n in shape), kind)
        numbers = dataset[()]
        if dataset.id.get_type().get_class() == h5py.h5t.BITFIELD:
            kind = "bool"
        typed = _typed(numbers.astype(numbers.dtype.newbyteorder("=")), kind)
        return typed.T if int(attribute(dataset, "transposed", 0)) else typed

    def read(self, columns: Collection[str], first: int, last: int) -> Batch:
        """Return some columns of rows ``[first, last)``; everything is read."""
        blocks = self._series() if self.is_series else self._frame(columns)
        missing = set(columns) - set(blocks)
        if missing:
            raise HDF5FileError("", f"{self._group.name} lacks {sorted(missing)}")
        return {
            name: _plain(name, blocks[name][first:last])
            for name in self.columns
            if name in columns
        }

    def _series(self) -> dict[str, NDArray[Any]]:
        return {self.columns[0]: self._array("values")}

    def _frame(self, columns: Collection[str]) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {}
        for block in range(int(attribute(self._group, "nblocks", 0))):
            names = self._names(f"block{block}_items")
            if not set(names) & set(columns):
                continue
            values = self._array(f"block{block}_values")
            values = values.reshape(len(names), -1)
            if values.shape[1] != self.n_rows:
                raise HDF5FileError("", f"{self._group.name} is of uneven length")
            found.update(zip(names, values, strict=True))
        return found

    def index(self) -> list[Index]:
        """Return the levels of the index."""
        axis = self._axis
        if attribute(self._group, f"{axis}_variety") != "multi":
            return [self._level(axis)]
        levels = []
        for number in range(int(attribute(self._group, f"{axis}_nlevels", 0))):
            level = self._level(f"{axis}_level{number}")
            codes = self._array(f"{axis}_label{number}").astype(np.int64)
            if len(codes) and not 0 <= codes.min() <= codes.max() < len(level.array):
                raise HDF5FileError("", f"{self._group.name} has a broken index")
            levels.append(Index(level.name, level.array[codes]))
        if not levels:
            raise HDF5FileError("", f"{self._group.name} has no index")
        return levels

    def _level(self, name: str) -> Index:
        values = self._array(name)
        own = attribute(self._group[name], "name")
        return Index(None if own is None else str(own), _plain(name, values))


def _empty(shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    if 0 not in shape:
        raise HDF5FileError("", "an empty table claims to have rows")
    plain = (
        kind if kind.startswith(("int", "uint", "float", "bool", "datetime")) else "O"
    )
    return np.empty(shape, dtype=plain)


def _plain(name: str, values: NDArray[Any]) -> NDArray[np.generic]:
    if values.dtype != object:
        return values
    items = values.tolist()
    if all(isinstance(v, bool | np.bool_) for v in items) and items:
        return np.array(items, dtype=bool)
    if any(isinstance(v, int | float | np.number) and v == v for v in items):  # noqa: PLR0124 NaN
        if any(isinstance(v, str | bytes) for v in items):
            raise HDF5FileError("", f"column {name!r} mixes numbers and texts")
        return number_array(name, items)
    return text_array(
        name,
        [
            v.encode() if isinstance(v, str) else v if isinstance(v, bytes) else None
            for v in items
        ],
    )
