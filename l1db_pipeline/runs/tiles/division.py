"""A visit divided into tiles, each an area of its own.

Tiles cover the field of view only (the original also measured the corners of the
square around it, 10 to 27 % more rows), and each position is in exactly one of them.
With what `l1db_pipeline.runs.tiles.workers` does, a divided visit has the rows of an
undivided one, exactly.
"""

from collections.abc import Callable

import numpy as np
from lsst.sphgeom import ConvexPolygon, UnitVector3d
from numpy.typing import NDArray

from l1db_pipeline.sky.geometry import TileGrid
from l1db_pipeline.visit.process import Area, Visit, field_of_view

__all__ = ["make_tiles"]

_ROUNDING_DEG = 1e-7


def make_tiles(visit: Visit, n: int, *, margin_deg: float = 0.0) -> list[Area]:
    """Cut a field of view into ``n`` by ``n`` tiles.

    The square around the field, in its tangent plane, is cut into equal cells;
    cells outside the field are left out.

    Parameters
    ----------
    visit
        Its pointing and field of view.
    n
        Tiles along a side, at least 1.
    margin_deg
        How far beyond a tile's edges its ``region`` reaches.

    Returns
    -------
    tiles
        In the order of their names ``0x0``, ``0x1``, ...; every position in the
        field of view is in exactly one of them.
    """
    grid = TileGrid(visit.centre, np.radians(visit.open_angle_deg), n, n)
    return [
        Area(
            name=tile.name,
            region=_widened(tile.region, margin_deg + _ROUNDING_DEG),
            contains=_membership(visit, grid, place),
            n_areas=len(grid.tiles),
        )
        for place, tile in enumerate(grid.tiles)
    ]


def _membership(
    visit: Visit, grid: TileGrid, place: int
) -> Callable[[NDArray[np.float64]], NDArray[np.bool_]]:
    in_field = field_of_view(visit).contains

    def contains(xyz: NDArray[np.float64]) -> NDArray[np.bool_]:
        is_here: NDArray[np.bool_] = grid.assign(xyz) == place
        return is_here & in_field(xyz)

    return contains


def _widened(polygon: ConvexPolygon, margin_deg: float) -> ConvexPolygon:
    """Return a polygon whose edges are farther out by a margin, or a little more."""
    corners = np.array(
        [[v.x(), v.y(), v.z()] for v in polygon.getVertices()], dtype=np.float64
    )
    centre = corners.mean(axis=0)
    middles = (corners + np.roll(corners, 1, axis=0)) / 2
    half_width = np.linalg.norm(middles - centre, axis=1).min()
    # 1.1: tiles are not quite square, and chords are shorter than arcs
    scale = 1 + 1.1 * np.radians(margin_deg) / half_width
    wider = centre + scale * (corners - centre)
    return ConvexPolygon([UnitVector3d(*corner.tolist()) for corner in wider])
