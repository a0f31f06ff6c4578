"""Random positions: the whole sky, a hemisphere, a cone."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import ArrayLike, NDArray

from l1db_pipeline.sky.geometry import FOV_OPEN_ANGLE_RAD, rotate, rotation_matrix

__all__ = ["catalog_size", "rand_cone_xyz", "rand_sphere_xyz", "sphere_blocks"]

Seed = int | SeedSequence | Generator | None
"""What starts the random numbers; `None` for different ones at every call."""
_BLOCK = 16384


def catalog_size(per_fov: float, hemi: int = 0) -> int:
    """Return how many sources give so many in each field of view of 3.5 deg.

    The field's area is taken flat, ``pi * (1.75 deg)**2``, as the original does:
    10,000 a field are 42,877,470 over the sky and 21,438,735 in a hemisphere.
    """
    sky = (2 if hemi else 4) * math.pi
    return int(per_fov * sky / (math.pi * (FOV_OPEN_ANGLE_RAD / 2) ** 2))


def sphere_blocks(
    count: int, hemi: int = 0, seed: Seed = None, *, block: int = _BLOCK
) -> Iterator[NDArray[np.float64]]:
    """Yield the rows of `rand_sphere_xyz` in blocks, the same for any block size.

    Each block is overwritten by the next: copy what you keep.

    Raises
    ------
    ValueError
        If ``count`` is negative or ``block`` is not positive.
    """
    if count < 0 or block < 1:
        raise ValueError(f"cannot make {count} points in blocks of {block}")
    rng = np.random.default_rng(seed)
    buffer = np.empty((min(block, count), 3))
    for start in range(0, count, block):
        points = buffer[: min(block, count - start)]
        rng.standard_normal(out=points)
        points /= np.sqrt(np.einsum("ij,ij->i", points, points))[:, np.newaxis]
        if hemi:
            z = points[:, 2]
            np.copysign(z, float(hemi), out=z)
        yield points


def rand_sphere_xyz(
    count: int = 1, hemi: int = 0, seed: Seed = None
) -> NDArray[np.float64]:
    """Return random directions, uniform on the sphere, the original's function.

    Parameters
    ----------
    count
        How many.
    hemi
        0 for the whole sphere, positive for the north, negative for the south.
    seed
        Same seed, same points; `None` for different ones at every call.

    Returns
    -------
    xyz
        Unit vectors, shape ``(count, 3)``: normalised Gaussian triplets, with the
        sign of ``z`` forced for a hemisphere.

    Raises
    ------
    ValueError
        If ``count`` is negative.
    """
    blocks = [block.copy() for block in sphere_blocks(count, hemi, seed)]
    return np.concatenate(blocks) if blocks else np.empty((0, 3))


def rand_cone_xyz(
    direction: ArrayLike, open_angle: float, n: int = 1, seed: Seed = None
) -> NDArray[np.float64]:
    """Return random directions, uniform on a spherical cap, the original's function.

    Parameters
    ----------
    direction
        Axis of the cone, a unit vector.
    open_angle
        Full opening angle, radians, up to 2 pi.
    n
        How many.
    seed
        As in `rand_sphere_xyz`.

    Returns
    -------
    xyz
        Unit vectors, shape ``(n, 3)``: uniform in height along the axis and in the
        angle about it.

    Raises
    ------
    ValueError
        If ``direction`` is none, ``n`` is negative or the angle is out of range.
    """
    if n < 0:
        raise ValueError(f"cannot make {n} points")
    if not 0 <= open_angle <= 2 * math.pi:
        raise ValueError(f"opening angle must be within 0..2 pi rad, not {open_angle}")
    rng = np.random.default_rng(seed)
    drop = 2 * math.sin(open_angle / 4) ** 2 * rng.random(n)  # 1 - z, exact when small
    angle = 2 * math.pi * rng.random(n)
    radius = np.sqrt(drop * (2 - drop))
    xyz = np.empty((n, 3))
    xyz[:, 0] = radius * np.cos(angle)
    xyz[:, 1] = radius * np.sin(angle)
    xyz[:, 2] = 1 - drop
    return rotate(xyz, rotation_matrix([0.0, 0.0, 1.0], direction))
