"""Directions on the sky as unit vectors."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["radec_to_xyz"]


def radec_to_xyz(ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.float64]:
    """Return unit vectors, shape ``(..., 3)``, of positions in degrees (ICRS)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    cos_dec = np.cos(dec)
    return np.stack((cos_dec * np.cos(ra), cos_dec * np.sin(ra), np.sin(dec)), axis=-1)
