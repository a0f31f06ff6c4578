"""Positional association: which known object is each source."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["match_positions"]


def match_positions(
    sources_xyz: NDArray[np.float64],
    objects_xyz: NDArray[np.float64],
    radius_arcsec: float,
    *,
    one_source_per_object: bool = False,
) -> NDArray[np.int64]:
    """Return the row of the nearest object within a radius of each source.

    Parameters
    ----------
    sources_xyz, objects_xyz
        Unit vectors of one frame, shapes ``(n, 3)`` and ``(m, 3)``.
    radius_arcsec
        Largest separation, inclusive, to rounding; 0 to 180 deg.
    one_source_per_object
        Let no two sources have the same object: of those that chose it the nearest
        keeps it, the others have none. A match depends on nothing that is farther
        than three radii, so that a part of the sky with such a margin is matched as
        the whole is.

    Returns
    -------
    rows
        Row of ``objects_xyz`` for each source, -1 where none is within the radius.
        Of objects (sources) equally far the lowest row wins, in any order of the
        other rows.

    Raises
    ------
    ValueError
        If the radius is out of range.
    """
    if not 0 <= radius_arcsec <= 180 * 3600:
        raise ValueError(
            f"match radius must be within 0..648000 arcsec, not {radius_arcsec}"
        )
    matched = np.full(len(sources_xyz), -1, dtype=np.int64)
    if not len(sources_xyz) or not len(objects_xyz):
        return matched
    source, other, distance = _pairs(sources_xyz, objects_xyz, radius_arcsec)
    order = np.lexsort((other, source, distance))
    chosen = order[_is_first(source[order])]
    if one_source_per_object:
        chosen = chosen[_is_first(other[chosen])]
    matched[source[chosen]] = other[chosen]
    return matched


def _pairs(
    sources_xyz: NDArray[np.float64],
    objects_xyz: NDArray[np.float64],
    radius_arcsec: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return rows of sources and objects within the radius, and their distances."""
    # half a second to load, and only matching by position needs it
    from scipy.spatial import KDTree  # noqa: PLC0415

    chord = 2 * math.sin(math.radians(radius_arcsec / 3600) / 2)
    trees = [
        KDTree(xyz, balanced_tree=False, compact_nodes=False)
        for xyz in (sources_xyz, objects_xyz)
    ]
    pairs = trees[0].sparse_distance_matrix(
        trees[1], np.nextafter(chord, np.inf), output_type="ndarray"
    )
    return pairs["i"].astype(np.int64), pairs["j"].astype(np.int64), pairs["v"]


def _is_first(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell where a value stands for the first time."""
    first = np.zeros(len(rows), dtype=np.bool_)
    first[np.unique(rows, return_index=True)[1]] = True
    return first
