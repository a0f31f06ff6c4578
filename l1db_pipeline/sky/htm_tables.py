"""Look-up tables of the vectorised HTM index, made once a process (20 ms)."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CURVED_LEVELS",
    "FLAT_LEVELS",
    "TABLE_LEVELS",
    "HtmTables",
    "PathTable",
    "htm_tables",
]

TABLE_LEVELS = 6
CURVED_LEVELS = 4
FLAT_LEVELS = 5
_MIDDLE = 3

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PathTable:
    """Turns several levels of our own child numbers into HTM's in one look-up.

    HTM turns the corners of each child round. Which of our corners is HTM's first,
    whether HTM's order is the opposite of ours, and whether a flat trixel stands on
    its head make a ``state`` that one stretch of the path hands to the next.
    """

    entries: _Ints
    n_key_bits: int
    n_path_bits: int

    def follow(
        self, pixels: _Ints, state: NDArray[np.integer[Any]], key: _Ints
    ) -> tuple[_Ints, _Ints]:
        """Return the pixels so many levels down, and the new states."""
        entry = self.entries[state << self.n_key_bits | key]
        path = entry & (1 << self.n_path_bits) - 1
        path |= pixels << self.n_path_bits
        entry >>= self.n_path_bits
        return path, entry


@dataclass(frozen=True, slots=True)
class HtmTables:
    """All tables; nodes are paths in one octant, our child numbers, two bits each."""

    half_edge_cosines: tuple[NDArray[np.float64], ...]
    """Per level 0..5: cosines of half the edges 01, 12, 20 of each node, (3, n)."""
    edges_squared: NDArray[np.float64]
    """Edges 01, 12, 20 of the nodes at level 6, squared, in radians, (3, 4096)."""
    octant: PathTable
    """State is 0 for an even root and 1 for an odd one."""
    curved: PathTable
    flat: PathTable
    """Key: digits of the first two coordinates, and the parity of all three."""


@cache
def htm_tables() -> HtmTables:
    """Return the tables, made at the first call."""
    corners = np.eye(3)[np.newaxis, [0, 2, 1]]  # on x, z, y
    cosines = []
    for _ in range(TABLE_LEVELS):
        dots = np.sum(corners * np.roll(corners, -1, axis=1), axis=2)
        cosines.append(np.sqrt((1 + dots.T) / 2))
        corners = _children(corners)
    chords = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
    octant = _node_table(TABLE_LEVELS)
    even_and_odd = octant.entries.reshape(12, -1)[[0, 5]].ravel()
    return HtmTables(
        half_edge_cosines=tuple(cosines),
        edges_squared=(2 * np.arcsin(chords.T / 2)) ** 2,
        octant=PathTable(even_and_odd, octant.n_key_bits, octant.n_path_bits),
        curved=_node_table(CURVED_LEVELS),
        flat=_flat_table(),
    )


def _children(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Split trixels, shape ``(n, 3, 3)``: child, corner, axis."""
    middles = corners + np.roll(corners, -1, axis=1)  # of the edges 01, 12, 20
    middles /= np.linalg.norm(middles, axis=2, keepdims=True)
    v0, v1, v2 = np.moveaxis(corners, 1, 0)
    m01, m12, m20 = np.moveaxis(middles, 1, 0)
    children = [(v0, m01, m20), (m01, v1, m12), (m20, m12, v2), (m12, m20, m01)]
    return np.stack([np.stack(c, axis=1) for c in children], axis=1).reshape(-1, 3, 3)


def _node_table(n_levels: int) -> PathTable:
    keys = np.arange(4**n_levels)
    children = [keys >> 2 * level & 3 for level in reversed(range(n_levels))]
    unflipped = np.zeros_like(keys)
    rows = [_entries(state, children, unflipped) for state in range(12)]
    return PathTable(np.concatenate(rows), 2 * n_levels, 2 * n_levels)


def _flat_table() -> PathTable:
    """Tabulate binary digits: a corner's digit is 1 there, the middle turns all over.

    The digits of the three coordinates add up to 31 in an upright trixel and to 30
    in one on its head, so the parity of all three gives the third.
    """
    n_key_bits = 2 * FLAT_LEVELS + 1
    mask = (1 << FLAT_LEVELS) - 1
    keys = np.arange(1 << n_key_bits)
    rows = []
    for state in range(12):
        turned = mask if state >= 6 else 0
        first, second = keys & mask ^ turned, keys >> FLAT_LEVELS & mask ^ turned
        odd = keys >> 2 * FLAT_LEVELS ^ (turned & 1)
        third = mask - 1 + odd - first - second
        flip = np.zeros_like(keys)
        children = []
        for level in reversed(range(FLAT_LEVELS)):
            is_corner = [
                (digits >> level & 1) ^ flip == 1 for digits in (first, second, third)
            ]
            child = np.select(is_corner, [0, 1, 2], _MIDDLE)
            flip = np.where(child == _MIDDLE, 1 - flip, flip)
            children.append(child)
        rows.append(_entries(state, children, flip ^ (turned & 1)))
    return PathTable(np.concatenate(rows), n_key_bits, 2 * FLAT_LEVELS)


def _entries(state: int, children: list[_Ints], flip: _Ints) -> _Ints:
    """Pack HTM's path and the new state, ``first + 3 * is_opposite + 6 * is_flipped``.

    HTM's child 1 is ``(v1, m12, m01)``, its child 2 ``(v2, m20, m12)``: the corner
    that a child keeps is its first. The middle one keeps the order.
    """
    first = np.full_like(flip, state % 3)
    is_opposite = state // 3 % 2
    sign = -1 if is_opposite else 1
    path = np.zeros_like(flip)
    for child in children:
        is_middle = child == _MIDDLE
        path = path << 2 | np.where(is_middle, _MIDDLE, sign * (child - first) % 3)
        first = np.where(is_middle, first, child)
    new_state = first + 3 * is_opposite + 6 * flip
    return new_state << 2 * len(children) | path
