"""HTM pixel of a position: sphgeom's answer for whole arrays, in numpy.

A trixel is split by the midpoints of its edges. With ``p = b0 v0 + b1 v1 + b2 v2``
the coordinates ``b`` of a point in a child follow from those in the parent and the
cosines of half the parent's edges, so no vertex is ever computed:

- levels 0 to 6 take the cosines from a table of one octant (all eight are alike);
- levels 6 to 10 take them from the edges at level 6, to second order in their length;
- below level 10 a trixel is flat enough that the path is the binary digits of ``b``.

A point too close to an edge for that, about one in 700, is left to sphgeom.

References
----------
Szalay et al. (2007), arXiv:cs/0701164, describes the mesh; ``HtmPixelization`` of
lsst.sphgeom is the implementation whose numbering this is.
"""

from typing import Any

import numpy as np
from lsst.sphgeom import HtmPixelization, UnitVector3d
from numpy.typing import NDArray

from l1db_pipeline.sky.htm_tables import (
    CURVED_LEVELS,
    FLAT_LEVELS,
    TABLE_LEVELS,
    HtmTables,
    htm_tables,
)
from visit_tables.directions import radec_to_xyz

__all__ = [
    "HTM_LEVEL",
    "MAX_HTM_LEVEL",
    "home_pixel",
    "htm_index",
    "radec_to_xyz",
    "xyz_to_radec",
]

HTM_LEVEL = 20
MAX_HTM_LEVEL = 24
_BLOCK = 8192  # rows whose working arrays stay in the second-level cache
_FLAT_FROM = TABLE_LEVELS + CURVED_LEVELS
_TOLERANCE = 3e-4
"""Part of a level-20 trixel's side; coordinates are right to a fifth of it."""
_ROOT_OF_SIGNS = np.array([7, 6, 4, 5, 0, 1, 3, 2], dtype=np.int64)

_Coordinates = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
_Ints = NDArray[np.int64]


def xyz_to_radec(
    xyz: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right ascension in [0, 360) and declination of vectors, degrees (ICRS).

    Vectors need not have unit length; a pole has right ascension 0.
    """
    x, y, z = np.moveaxis(np.asarray(xyz, dtype=np.float64), -1, 0)
    ra_deg = np.degrees(np.arctan2(y, x)) % 360.0
    ra_deg = np.where(ra_deg == 360.0, 0.0, ra_deg)  # -1e-17 % 360 rounds to 360
    radius = np.hypot(x, y)
    return np.where(radius == 0, 0.0, ra_deg), np.degrees(np.arctan2(z, radius))


def home_pixel(htm20: NDArray[np.integer[Any]], level: int) -> _Ints:
    """Return the pixel at a coarser level that holds each level-20 pixel.

    Raises
    ------
    ValueError
        If ``level`` is not within 0..20.
    """
    if not 0 <= level <= HTM_LEVEL:
        raise ValueError(f"level must be within 0..{HTM_LEVEL}, not {level}")
    return htm20.astype(np.int64) >> 2 * (HTM_LEVEL - level)


def htm_index(xyz: NDArray[np.floating[Any]], level: int = HTM_LEVEL) -> _Ints:
    """Return the HTM pixel of each position, the one that sphgeom gives.

    Parameters
    ----------
    xyz
        Unit vectors (ICRS), shape ``(n, 3)``; only their direction matters.
    level
        Subdivision level, 0..24; ids at level 20 are 44 bits long.

    Returns
    -------
    pixels
        Ids within ``8 * 4**level <= id < 16 * 4**level``, shape ``(n,)``.

    Raises
    ------
    ValueError
        If the level or the shape is wrong, or a vector is zero or not finite.
    """
    if not 0 <= level <= MAX_HTM_LEVEL:
        raise ValueError(f"level must be within 0..{MAX_HTM_LEVEL}, not {level}")
    positions: NDArray[np.float64] = np.asarray(xyz, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise ValueError(f"positions must have shape (n, 3), not {positions.shape}")
    tables = htm_tables()
    n_chunks = 2 if level <= HTM_LEVEL else 3
    fine_level = _FLAT_FROM + n_chunks * FLAT_LEVELS
    pixels = np.empty(len(positions), dtype=np.int64)
    for start in range(0, len(positions), _BLOCK):
        block = positions[start : start + _BLOCK]
        fine, unsure = _index_block(block, n_chunks, tables)
        fine >>= 2 * (fine_level - level)
        fine[unsure] = _ask_sphgeom(block[unsure], level)
        pixels[start : start + _BLOCK] = fine
    return pixels


def _ask_sphgeom(xyz: NDArray[np.float64], level: int) -> list[int]:
    index = HtmPixelization(level).index
    return [index(UnitVector3d(x, y, z)) for x, y, z in xyz.tolist()]


def _index_block(
    xyz: NDArray[np.float64], n_chunks: int, tables: HtmTables
) -> tuple[_Ints, NDArray[np.bool_]]:
    """Return pixels at level ``10 + 5 * n_chunks``, and which of them are unsure."""
    root, coordinates = _locate_roots(xyz)
    node = np.zeros(len(xyz), dtype=np.int64)
    for cosines in tables.half_edge_cosines:
        h01, h12, h20 = cosines
        coordinates, child = _descend(coordinates, h01[node], h12[node], h20[node])
        node = node << 2 | child
    pixels = root + 8
    pixels, state = tables.octant.follow(pixels, root & 1, node)

    q01, q12, q20 = (edge[node] for edge in tables.edges_squared)
    node = np.zeros(len(xyz), dtype=np.int64)
    for depth in range(CURVED_LEVELS):
        k = 0.125 * 0.25**depth  # cos(edge / 2) = 1 - edge**2 / 8, edges halve
        coordinates, child = _descend(
            coordinates, 1 - k * q01, 1 - k * q12, 1 - k * q20
        )
        node = node << 2 | child
    pixels, state = tables.curved.follow(pixels, state, node)
    return _finish(coordinates, pixels, state, n_chunks, tables)


def _locate_roots(xyz: NDArray[np.float64]) -> tuple[_Ints, _Coordinates]:
    """Return root trixels 0..7 and coordinates on the axes x, z, y of the octant.

    HTM lists the corners of its even roots in the order x, z, y, those of its odd
    roots in the opposite one; the look-up tables mind that.
    """
    x, y, z = np.ascontiguousarray(xyz.T)
    signs = (x < 0).view(np.int8) + 2 * (y < 0).view(np.int8) + 4 * (z < 0)
    coordinates = np.abs(x), np.abs(z), np.abs(y)
    total = coordinates[0] + coordinates[1] + coordinates[2]
    if not (np.min(total) > 0 and np.max(total) < np.inf):  # NaN fails both
        raise ValueError("a position is zero, infinite or NaN: give unit vectors")
    return _ROOT_OF_SIGNS[signs], coordinates


def _descend(
    coordinates: _Coordinates,
    h01: NDArray[np.float64],
    h12: NDArray[np.float64],
    h20: NDArray[np.float64],
) -> tuple[_Coordinates, NDArray[np.int8]]:
    """Return coordinates in the child that holds each point, and its number.

    Child 0, 1 or 2 keeps that corner of its parent, 3 is the middle one, whose
    corner ``i`` is opposite the parent's. ``h`` are cosines of half the edges.
    Coordinates are homogeneous: a common factor of 2 is left out.
    """
    b0, b1, b2 = coordinates
    half = b0 + b1
    half += b2
    half *= 0.5
    d0, d1, d2 = b0 - half, b1 - half, b2 - half
    in0, in1, in2 = d0 >= 0, d1 >= 0, d2 >= 0
    in1 &= ~in0  # both at the middle of an edge
    in2 &= ~(in0 | in1)
    middle = ~(in0 | in1 | in2)
    where = np.where
    inner = (
        where(in0, d0, where(middle, -d0 * h12, b0 * where(in1, h01, h20))),
        where(in1, d1, where(middle, -d1 * h20, b1 * where(in0, h01, h12))),
        where(in2, d2, where(middle, -d2 * h01, b2 * where(in0, h20, h12))),
    )
    child = in1.view(np.int8) + 2 * in2.view(np.int8) + 3 * middle.view(np.int8)
    return inner, child


def _finish(
    coordinates: _Coordinates,
    pixels: _Ints,
    state: _Ints,
    n_chunks: int,
    tables: HtmTables,
) -> tuple[_Ints, NDArray[np.bool_]]:
    """Read the rest of the path from the binary digits of flat coordinates."""
    n_levels = n_chunks * FLAT_LEVELS
    scale = 2.0**n_levels / (coordinates[0] + coordinates[1] + coordinates[2])
    margin = 0.5 - _TOLERANCE * 2.0 ** (n_levels - HTM_LEVEL + _FLAT_FROM)
    unsure = np.zeros(len(pixels), dtype=np.bool_)
    digits = []
    for coordinate in coordinates:
        scaled = coordinate * scale
        whole = scaled.astype(np.int64)
        scaled -= whole
        scaled -= 0.5
        unsure |= np.abs(scaled, out=scaled) > margin
        digits.append(whole)
    first, second, third = digits
    parity = first ^ second ^ third
    mask = (1 << FLAT_LEVELS) - 1
    for shift in range(n_levels - FLAT_LEVELS, -1, -FLAT_LEVELS):
        key = first >> shift & mask
        key |= (second >> shift & mask) << FLAT_LEVELS
        key |= (parity >> shift & 1) << 2 * FLAT_LEVELS
        pixels, state = tables.flat.follow(pixels, state, key)
    return pixels, unsure
