"""Membership of ids, many against many, several times faster than by sorting.

``numpy.isin`` and ``searchsorted`` spend 100 ns on each of a million ids, mostly
waiting for memory. One hash and two look-ups settle nearly all; the few ids that
share a place of the hash table are searched for in order.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IdSet", "sorted_unique"]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, odd
_SLOTS_PER_ID = 8

_Ids = NDArray[np.int64]


class IdSet:
    """Ids to look others up in.

    Parameters
    ----------
    ids
        In any order; copied. Of equal ones the last is found.
    """

    def __init__(self, ids: NDArray[np.integer[Any]]) -> None:
        self._ids: _Ids = np.array(ids, dtype=np.int64)
        n_bits = max(len(ids) * _SLOTS_PER_ID - 1, 1).bit_length()
        self._shift = np.uint64(64 - n_bits)
        self._table = np.full(1 << n_bits, -1, dtype=np.int32)
        places = np.arange(len(ids), dtype=np.int32)
        slots = self._slots(self._ids)
        self._table[slots] = places
        crowded = np.flatnonzero(self._table[slots] != places)
        self._crowded = crowded[np.argsort(self._ids[crowded], kind="stable")]
        self._crowded_ids = self._ids[self._crowded]

    def __len__(self) -> int:
        return len(self._ids)

    def holds(self, values: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Tell which values are in the set."""
        return self.places(values) >= 0

    def places(self, values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the place of each value in the ids, -1 for one that is not there."""
        wanted: _Ids = np.asarray(values, dtype=np.int64)
        if not len(self._ids):
            return np.full(len(wanted), -1, dtype=np.int64)
        places = self._table[self._slots(wanted)].astype(np.int64)
        # an empty slot is -1, which shows the last id: no value of that slot is it
        others = np.flatnonzero((self._ids[places] != wanted) & (places >= 0))
        if len(others):
            places[others] = self._search(wanted[others])
        return places

    def _slots(self, values: _Ids) -> NDArray[np.int64]:
        slots = values.view(np.uint64) * _MULTIPLIER
        slots >>= self._shift
        return slots.view(np.int64)

    def _search(self, values: _Ids) -> NDArray[np.int64]:
        if not len(self._crowded):
            return np.full(len(values), -1, dtype=np.int64)
        # the last of equal ids
        found = np.searchsorted(self._crowded_ids, values, side="right") - 1
        places = self._crowded[found]
        return np.where(self._crowded_ids[found] == values, places, -1)


def sorted_unique(ids: _Ids) -> _Ids:
    """Return distinct ids, ascending: ``numpy.unique`` at the cost of sorting."""
    ordered = np.sort(ids)
    is_new = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    return ordered[is_new]
