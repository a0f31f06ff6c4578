"""Deterministic ids: a visit's sources and new objects are numbered by the visit.

A source id is ``visit_id * 2**20 + n`` where ``n`` is the source's place in the
visit's whole list, before any division into tiles. An object that a visit first
sees (a transient) has the same number with bit 61 set, so that it cannot meet the
id of a catalogued variable source, which is its index in the catalog (below 10^9).
Hence the same visit gives the same ids in any process, division or re-run.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_CATALOG_SOURCES",
    "MAX_SOURCES_PER_VISIT",
    "MAX_VISIT_ID",
    "new_object_ids",
    "source_ids",
]

_N_BITS = 20
_NEW_OBJECT_BIT = 61
MAX_SOURCES_PER_VISIT = 1 << _N_BITS
MAX_VISIT_ID = (1 << (_NEW_OBJECT_BIT - _N_BITS)) - 1
"""Largest visit id, 2,199,023,255,551: holds ``day_obs * 100000 + seq_num``."""
MAX_CATALOG_SOURCES = 1_000_000_000


def source_ids(visit_id: int, places: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return DIASource ids of a visit.

    Parameters
    ----------
    visit_id
        From 0 to `MAX_VISIT_ID`.
    places
        Zero-based places in the visit's whole source list, each below
        `MAX_SOURCES_PER_VISIT`.

    Raises
    ------
    ValueError
        If the visit id or a place is out of range.
    """
    if not 0 <= visit_id <= MAX_VISIT_ID:
        raise ValueError(f"visit id {visit_id} is not within 0..{MAX_VISIT_ID}")
    if places.size and (places.min() < 0 or places.max() >= MAX_SOURCES_PER_VISIT):
        raise ValueError(
            f"visit {visit_id} has a source outside 0..{MAX_SOURCES_PER_VISIT - 1}"
        )
    return places.astype(np.int64) + (visit_id << _N_BITS)


def new_object_ids(
    visit_id: int, places: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Return ids for the DIAObjects that a visit's sources create.

    Parameters and errors as in `source_ids`.
    """
    return source_ids(visit_id, places) | (1 << _NEW_OBJECT_BIT)
