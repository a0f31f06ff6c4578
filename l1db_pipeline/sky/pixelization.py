"""Regions of the sky: the HTM ranges to ask a database for, and the exact trim."""

from typing import Any

import numpy as np
from lsst.sphgeom import HtmPixelization, Region
from numpy.typing import NDArray

from l1db_pipeline.sky.htm import HTM_LEVEL, MAX_HTM_LEVEL

__all__ = ["MAX_HTM_RANGES", "Interior", "htm_ranges", "in_region"]

MAX_HTM_RANGES = 64
_INTERIOR_LEVEL = 10
_MOST_PIXELS = 1 << 24


def htm_ranges(
    region: Region, level: int = HTM_LEVEL, max_ranges: int = MAX_HTM_RANGES
) -> NDArray[np.int64]:
    """Return HTM pixel ranges that cover a region.

    The cover is conservative: it holds points outside the region, 15 % more area
    for a field of view of 3.5 deg and 64 ranges. Trim what was read by `in_region`.

    Parameters
    ----------
    region
        Region on the unit sphere, ICRS.
    level
        Level of the pixels, 0..24.
    max_ranges
        Most ranges to return, at least 2.

    Returns
    -------
    ranges
        Half-open ``[begin, end)``, sorted and disjoint, shape ``(n, 2)`` with
        ``n <= max_ranges``.

    Raises
    ------
    ValueError
        If the level or ``max_ranges`` is out of range.
    """
    # sphgeom 30.2026.4000 loses area when an envelope is limited to one range.
    if max_ranges < 2:
        raise ValueError(f"max_ranges must be at least 2, not {max_ranges}")
    if not 0 <= level <= MAX_HTM_LEVEL:
        raise ValueError(f"level must be within 0..{MAX_HTM_LEVEL}, not {level}")
    cover = HtmPixelization(level).envelope(region, max_ranges)
    return np.array(cover.ranges(), dtype=np.int64).reshape(-1, 2)


def in_region(xyz: NDArray[np.floating[Any]], region: Region) -> NDArray[np.bool_]:
    """Tell which positions, unit vectors of shape ``(n, 3)``, a region holds."""
    x, y, z = np.ascontiguousarray(np.asarray(xyz, dtype=np.float64).T)
    return np.asarray(region.contains(x, y, z), dtype=np.bool_)


class Interior:
    """The pixels of a level that lie wholly inside a region, as a table to look in.

    Positions in them need no trigonometry. A region so large that the table would be
    has none: every position is then tested exactly.
    """

    def __init__(self, region: Region, level: int = _INTERIOR_LEVEL) -> None:
        self._shift = 2 * (HTM_LEVEL - level)
        inside = HtmPixelization(level).interior(region).ranges()
        ranges = np.array(inside, dtype=np.int64).reshape(-1, 2)
        if not len(ranges) or ranges.max() - ranges.min() > _MOST_PIXELS:
            ranges = ranges[:0]
        # one pixel more at each end, outside, is what all others are taken for
        self._first = int(ranges.min(initial=1 << 40)) - 1
        n_pixels = int(ranges.max(initial=self._first)) - self._first + 1
        self._is_inside = np.zeros(n_pixels, dtype=np.bool_)
        for begin, end in (ranges - self._first).tolist():
            self._is_inside[begin:end] = True

    def holds(self, htm_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which positions, HTM ids of level 20, are surely in the region."""
        places = (htm_ids >> self._shift) - self._first
        np.clip(places, 0, len(self._is_inside) - 1, out=places)
        found: NDArray[np.bool_] = self._is_inside[places]
        return found
