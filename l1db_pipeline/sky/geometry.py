"""Pointings on the sky: rotations, the circular field of view and its square tiles."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from lsst.sphgeom import Angle, Circle, ConvexPolygon, UnitVector3d
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FOV_OPEN_ANGLE_RAD",
    "Tile",
    "TileGrid",
    "cosines",
    "fov_circle",
    "make_square_tiles",
    "rotate",
    "rotation_matrix",
    "unit_vector",
]

FOV_OPEN_ANGLE_RAD = math.radians(3.5)
"""Full opening angle of the camera's field of view."""
_BORDER = 1e-9
"""Part of a field's half width within which a point still belongs to it."""

_ROUNDING = 1e-15

_Vector = NDArray[np.float64]


def unit_vector(vector: ArrayLike) -> _Vector:
    """Return a direction, shape ``(3,)``, with unit length.

    Raises
    ------
    ValueError
        If it has another shape, or is zero or not finite.
    """
    direction = np.array(vector, dtype=np.float64)
    if direction.shape != (3,):
        raise ValueError(f"a direction must have shape (3,), not {direction.shape}")
    length = np.linalg.norm(direction)
    if not 0 < length < np.inf:
        raise ValueError(f"{direction.tolist()} is not a direction")
    return direction / length


def rotation_matrix(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the matrix that turns direction ``a`` into ``b`` the shortest way.

    For opposite directions, where every way is as short, it turns about an axis
    that depends on ``a`` alone. Multiply it on the left of a column vector.

    Parameters
    ----------
    a, b
        Directions, shape ``(3,)``, of any length but 0.

    Returns
    -------
    matrix
        Orthogonal, determinant 1; shape ``(3, 3)``.

    Raises
    ------
    ValueError
        If a vector is not a direction.

    Notes
    -----
    Two reflections make a rotation by twice the angle between their normals, which
    is exact to rounding at any angle; Rodrigues' formula is not near 180 deg.
    """
    start, end = unit_vector(a), unit_vector(b)
    return _reflection(_halfway(start, end)) @ _reflection(start)


def _halfway(start: _Vector, end: _Vector) -> _Vector:
    """Return the unit vector half-way; one across ``start`` if they are opposite."""
    sum_ = start + end
    if start @ end < -0.5:
        # nearly opposite, the part along start is lost in the rounding of their
        # lengths: it follows from the part across, for the sum ends on the sphere
        across = sum_ - (sum_ @ start) * start
        square = float(across @ across)
        if square < _ROUNDING**2:
            axis = np.zeros(3)
            axis[np.argmin(np.abs(start))] = 1.0
            across = np.cross(start, axis)
        sum_ = across + square / (1 + math.sqrt(1 - square)) * start
    return np.asarray(sum_ / np.linalg.norm(sum_))


def rotate(
    xyz: NDArray[np.float64], rotation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return vectors, shape ``(n, 3)``, each multiplied by a matrix from the left.

    A vector gives the same to the last bit in any array and any process, which a
    BLAS does not promise: its order of adding depends on places and threads.
    """
    return np.stack([cosines(xyz, row) for row in rotation], axis=1)


def cosines(xyz: NDArray[np.float64], direction: ArrayLike) -> NDArray[np.float64]:
    """Return the cosine of the angle of each unit vector to a direction.

    The same to the last bit in any array and any process, as `rotate`.
    """
    x, y, z = np.asarray(direction, dtype=np.float64).tolist()
    return np.asarray(xyz[:, 0] * x + xyz[:, 1] * y + xyz[:, 2] * z)


def _reflection(normal: _Vector) -> NDArray[np.float64]:
    return np.eye(3) - 2.0 * np.outer(normal, normal)


def fov_circle(
    direction: ArrayLike, open_angle_rad: float = FOV_OPEN_ANGLE_RAD
) -> Circle:
    """Return the circular field of view of a pointing.

    Parameters
    ----------
    direction
        Unit vector of the pointing, ICRS.
    open_angle_rad
        Full opening angle; sphgeom's circles take half of it, a difference that
        made the first published runs read four times too large an area.
    """
    x, y, z = unit_vector(direction).tolist()
    return Circle(UnitVector3d(x, y, z), Angle.fromRadians(open_angle_rad / 2))


class Tile(NamedTuple):
    """One square of the grid: its place along each side, and its region.

    The region is larger by 2e-9 of the field's half width, so that it surely holds
    what `TileGrid.assign` puts into the tile: points on a border are in the regions
    of two tiles, but assigned to one.
    """

    ix: int
    iy: int
    region: ConvexPolygon

    @property
    def name(self) -> str:
        """Name of the tile in logs, in ids and in the database: ``"2x3"``."""
        return f"{self.ix}x{self.iy}"


@dataclass(frozen=True, eq=False)
class TileGrid:
    """The tiles of one pointing, and which point lies in which.

    A square about the circular field of view is cut ``nx`` by ``ny`` on the plane
    that touches the sphere at the pointing; tiles outside the circle are dropped.

    Parameters
    ----------
    direction
        Unit vector of the pointing, ICRS.
    open_angle_rad
        Full opening angle of the field of view, below pi.
    nx, ny
        Divisions along each side.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    direction: _Vector
    open_angle_rad: float
    nx: int
    ny: int
    tiles: tuple[Tile, ...] = field(init=False)
    _rotation: NDArray[np.float64] = field(init=False, repr=False)
    _numbers: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.open_angle_rad < math.pi:
            raise ValueError(
                f"opening angle must be within 0..pi rad, not {self.open_angle_rad}"
            )
        if self.nx < 1 or self.ny < 1:
            raise ValueError(f"cannot cut a field into {self.nx}x{self.ny} tiles")
        rotation = rotation_matrix([0.0, 0.0, 1.0], self.direction)
        object.__setattr__(self, "_rotation", rotation)
        kept = self._meets_circle()
        numbers = np.where(kept, np.cumsum(kept).reshape(kept.shape) - 1, -1)
        object.__setattr__(self, "_numbers", numbers)
        places = np.argwhere(kept).tolist()
        tiles = tuple(Tile(ix, iy, self._polygon(ix, iy)) for ix, iy in places)
        object.__setattr__(self, "tiles", tiles)

    def assign(self, xyz: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the place in `tiles` of the one tile that holds each point.

        Parameters
        ----------
        xyz
            Unit vectors, shape ``(n, 3)``.

        Returns
        -------
        places
            -1 where no tile is. A point on the border of two tiles lies in the one
            with the higher ``ix`` or ``iy``; one on the outer border, or beyond it
            by rounding, in the outermost tile. So each point of the field of view
            lies in exactly one tile.
        """
        x, y, z = rotate(np.asarray(xyz, dtype=np.float64), self._rotation.T).T
        half_width = math.tan(self.open_angle_rad / 2)
        in_front = z > 0
        z = np.where(in_front, z * half_width, 1.0)
        ix, inside_x = _cut(x / z, self.nx)
        iy, inside_y = _cut(y / z, self.ny)
        return np.where(in_front & inside_x & inside_y, self._numbers[ix, iy], -1)

    def _meets_circle(self) -> NDArray[np.bool_]:
        """Tell which tiles have a point within the circle, or touch it."""
        nearest = [
            np.maximum(0, np.maximum(edges[:-1], -edges[1:]))
            for edges in (
                np.linspace(-1, 1, self.nx + 1),
                np.linspace(-1, 1, self.ny + 1),
            )
        ]
        distance = np.hypot(nearest[0][:, np.newaxis], nearest[1])
        return distance <= 1 + _BORDER

    def _polygon(self, ix: int, iy: int) -> ConvexPolygon:
        half_width = math.tan(self.open_angle_rad / 2)
        corners = []
        for right, top in ((0, 0), (1, 0), (1, 1), (0, 1)):
            x = 2 * (ix + right) / self.nx - 1 + 2 * _BORDER * (2 * right - 1)
            y = 2 * (iy + top) / self.ny - 1 + 2 * _BORDER * (2 * top - 1)
            plane = [half_width * x, half_width * y, 1.0]
            corners.append(UnitVector3d(*(self._rotation @ plane).tolist()))
        return ConvexPolygon(corners)


def _cut(
    along: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the division of each coordinate within -1..1, and whether it has one."""
    inside = np.abs(along) <= 1 + _BORDER
    clipped = np.where(inside, along, 0.0)
    places = np.floor((clipped + 1) * (0.5 * count)).astype(np.int64)
    return np.clip(places, 0, count - 1), inside


def make_square_tiles(
    open_angle: float, nx: int, ny: int, direction: ArrayLike = (0.0, 0.0, 1.0)
) -> list[Tile]:
    """Return the square tiles of a field of view, the original's function.

    Parameters
    ----------
    open_angle
        Full opening angle of the field of view, radians.
    nx, ny
        Divisions along each side.
    direction
        Unit vector of the pointing.

    Returns
    -------
    tiles
        ``(ix, iy, region)`` of each tile that meets the circular field of view.
    """
    return list(TileGrid(unit_vector(direction), open_angle, nx, ny).tiles)
