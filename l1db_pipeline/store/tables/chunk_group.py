"""Chunks that were decoded together, whatever their format."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog

__all__ = ["TEXT_DTYPE", "ChunkGroup", "join_groups", "scalar_dtypes"]

TEXT_DTYPE = np.dtype([("start", "<u4"), ("length", "<u4")])
"""Where a text is in the heap of its chunk."""

_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_Keep = NDArray[np.intp] | None
_FORBIDDEN = "a column of another kind"


class ChunkGroup(Protocol):
    """Chunks of one layout; a column is put together when it is asked for."""

    pixels: NDArray[np.int32]
    """Pixel of each chunk."""
    counts: NDArray[np.int64]
    """Rows of each chunk."""

    def __len__(self) -> int:
        """Return the number of rows."""

    @property
    def names(self) -> list[str]:
        """All columns that the chunks have."""

    def column(
        self, name: str, keep: _Keep = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the values and NULL mask of a column, of all rows or of some."""

    def constant(self, _name: str) -> NDArray[Any] | None:
        """Return a column's value of each segment, if each has but one."""
        return None

    def entries(self, _name: str) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
        """Return distinct values and each row's place in them, if so held."""
        return None

    def fill(self, _name: str, _out: NDArray[Any]) -> bool:
        """Write a whole column without NULL into its place; false if it cannot."""
        return False

    @property
    def segment_counts(self) -> NDArray[np.int64]:
        """Rows of each segment."""
        return self.counts

    def pixel_of_row(self) -> NDArray[np.int32]:
        """Return the pixel of each row."""
        return np.repeat(self.pixels, self.counts)

    def catalog(self, names: Sequence[str], keep: _Keep = None) -> Catalog:
        """Return columns that the chunks have, of all rows or of some."""
        values, nulls = {}, {}
        for name in names:
            values[name], mask = self.column(name, keep)
            if mask is not None:
                nulls[name] = mask
        return Catalog(values, nulls)


def scalar_dtypes(named: Mapping[str, str]) -> dict[str, np.dtype[Any]]:
    """Return the types that a chunk's layout names, by column.

    Raises
    ------
    TypeError, ValueError
        If one is not a number, a flag or a time.
    """
    dtypes = {name: np.dtype(text) for name, text in named.items()}
    if any(dtype.kind not in "biufM" for dtype in dtypes.values()):
        raise ValueError(_FORBIDDEN)
    return dtypes


def join_groups(
    groups: Sequence[ChunkGroup],
    keeps: Sequence[_Keep],
    names: Sequence[str],
    dtype_of: Callable[[str], np.dtype[Any]],
) -> Catalog:
    """Return columns of groups, each value copied once, from its chunk to its place.

    Columns that no group has are left out. One that has the same value everywhere is
    broadcast: read-only, of stride 0, and without memory of its own.
    """
    sizes = [
        len(group) if keep is None else len(keep)
        for group, keep in zip(groups, keeps, strict=True)
    ]
    total = sum(sizes)
    held = [set(group.names) for group in groups]
    values: dict[str, NDArray[Any]] = {}
    nulls: dict[str, NDArray[np.bool_]] = {}
    for name in names:
        is_held = [name in of_group for of_group in held]
        if not any(is_held):
            continue
        same = _same_everywhere(groups, name) if all(is_held) else None
        if same is not None:
            values[name] = np.broadcast_to(same, total)
            continue
        out = np.empty(total, dtype_of(name))
        mask = np.zeros(total, dtype=np.bool_)
        stop = 0
        for group, keep, size, has in zip(groups, keeps, sizes, is_held, strict=True):
            part = slice(stop, stop + size)
            stop += size
            if not has:
                out[part] = np.zeros((), out.dtype)
                mask[part] = True
            elif keep is not None or not group.fill(name, out[part]):
                out[part], is_null = group.column(name, keep)
                if is_null is not None:
                    mask[part] = is_null
        values[name] = out
        if mask.any():
            nulls[name] = mask
    return Catalog(values, nulls)


def _same_everywhere(groups: Sequence[ChunkGroup], name: str) -> NDArray[Any] | None:
    constants = [group.constant(name) for group in groups]
    known = [values for values in constants if values is not None]
    if len(known) < len(groups):
        return None
    every = np.concatenate(known)
    words = every.view(_WORDS[every.dtype.itemsize])
    return every[:1] if (words == words[0]).all() else None
