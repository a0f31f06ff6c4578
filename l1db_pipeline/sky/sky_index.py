"""Which rows of a large array of positions may lie near a direction.

The sphere is unfolded on an octahedron, ``u = x / (|x| + |y| + |z|)``, whose two
halves are squares cut into 180 x 180 cells: 64,800 cells of 0.3 to 1.6 deg, so that
numbers of cells fit 16 bits and sort fast.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SkyIndex"]

_SIDE = 180
_N_CELLS = 2 * _SIDE * _SIDE
_BLOCK = 16384
_PART = 1 << 18
_ROUNDING_RAD = 1e-9


class SkyIndex:
    """Rows of an array of positions, sorted by cell of the sky in each part of it.

    Parts are small enough that sorting one stays in the processor's cache.

    Parameters
    ----------
    xyz
        Unit vectors, shape ``(n, 3)``, fewer than 2**32; read once, not kept.
    """

    def __init__(self, xyz: NDArray[np.float64]) -> None:
        n_parts = -(-len(xyz) // _PART)
        self._rows = np.empty(len(xyz), dtype=np.uint32)
        self._starts = np.empty((n_parts, _N_CELLS + 1), dtype=np.int32)
        for part in range(n_parts):
            first = part * _PART
            cells = _cells(xyz[first : first + _PART])
            self._rows[first : first + _PART] = np.argsort(cells, kind="stable") + first
            counts = np.bincount(cells, minlength=_N_CELLS)
            self._starts[part, 0] = 0
            np.cumsum(counts, out=self._starts[part, 1:])

    def rows_near(
        self, direction: NDArray[np.float64], radius_rad: float
    ) -> NDArray[np.int64]:
        """Return ascending rows of every cell within a radius of a unit vector.

        Among them are all positions within the radius, and others up to 1.6 deg
        beyond it.
        """
        centers, radii = _cell_circles()
        reach = np.minimum(radii + (radius_rad + _ROUNDING_RAD), np.pi)
        near = np.flatnonzero(centers @ direction >= np.cos(reach))
        starts = self._starts[:, near]
        counts = (self._starts[:, near + 1] - starts).ravel()
        firsts = np.arange(len(starts))[:, np.newaxis] * _PART + starts
        ends = np.cumsum(counts)
        places = np.arange(ends[-1] if ends.size else 0)
        places += np.repeat(firsts.ravel() - ends + counts, counts)
        rows = self._rows[places].astype(np.int64)
        rows.sort()
        return rows


def _cells(xyz: NDArray[np.float64]) -> NDArray[np.uint16]:
    cells = np.empty(len(xyz), dtype=np.uint16)
    for start in range(0, len(xyz), _BLOCK):
        x, y, z = np.array(xyz[start : start + _BLOCK].T, order="C")
        scale = np.abs(x)
        scale += np.abs(y)
        scale += np.abs(z)
        np.divide(_SIDE / 2, scale, out=scale)
        x *= scale
        y *= scale
        along = np.minimum((x + y + _SIDE / 2).astype(np.int32), _SIDE - 1)
        across = np.minimum((x - y + _SIDE / 2).astype(np.int32), _SIDE - 1)
        along *= _SIDE
        along += across
        along += _SIDE * _SIDE * (z < 0)
        cells[start : start + _BLOCK] = along
    return cells


@cache
def _cell_circles() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centre of each cell and a radius in radians that holds all of it.

    The map turns straight lines on a face of the octahedron into great circles and
    its edges run through corners of cells, so no point is farther than a corner.
    """
    along, across = np.divmod(np.arange(_SIDE * _SIDE), _SIDE)
    centers = _unfold(along + 0.5, across + 0.5)
    cosines = [
        np.sum(centers * _unfold(along + i, across + j), axis=1)
        for i in (0, 1)
        for j in (0, 1)
    ]
    radii = np.arccos(np.min(cosines, axis=0))
    return np.concatenate([centers, centers * [1, 1, -1]]), np.tile(radii, 2)


def _unfold(
    along: NDArray[np.floating[Any]], across: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Return the directions, in the northern half, of places on the square."""
    u, v = 2 * along / _SIDE - 1, 2 * across / _SIDE - 1
    x, y = (u + v) / 2, (u - v) / 2
    xyz = np.stack([x, y, 1 - np.abs(x) - np.abs(y)], axis=1)
    return np.asarray(xyz / np.linalg.norm(xyz, axis=1, keepdims=True))
