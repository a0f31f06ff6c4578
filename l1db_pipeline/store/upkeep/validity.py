"""Validity of versions: without gap or overlap, but where an object was closed."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.errors import some
from visit_tables.time_scales import mjd_tai_from_utc

__all__ = ["check_validity", "report"]

_CLOSED = "validityEndMjdTai"
_TWO_US = 2 / 86_400_000_000


def check_validity(versions: Catalog, *, derives_ends: bool) -> Iterator[Finding]:
    """Find versions whose start or end does not agree with those beside them.

    Parameters
    ----------
    versions
        All versions of some objects.
    derives_ends
        Whether the next start ends a version, unless the object was closed.
    """
    if not len(versions):
        return
    order = np.lexsort((versions["validityStart"], versions["diaObjectId"]))
    versions = versions.take(order)
    ids, starts = versions["diaObjectId"], versions["validityStart"]
    ends, is_open = versions["validityEnd"], versions.null_mask("validityEnd")
    has_next = np.append(ids[1:] == ids[:-1], np.False_)
    following = np.append(starts[1:], starts[-1:])
    twice = has_next & (following == starts)
    yield from report("validity", "two versions start at one time", ids, twice)
    was_closed = _was_closed(versions)
    known = np.where(is_open, starts, ends)
    said = versions[_CLOSED] if _CLOSED in versions else np.zeros(len(ids))
    apart = np.abs(mjd_tai_from_utc(known) - said) > _TWO_US
    yield from report(
        "validity", "its two ends differ", ids, was_closed & (is_open | apart)
    )
    if derives_ends:
        yield from report(
            "validity",
            "has an end, which this index mode derives",
            ids,
            ~is_open & ~was_closed,
        )
        return
    gap = has_next & ~is_open & (ends < following) & ~was_closed
    overlap = has_next & ~twice & (is_open | (ends > following)) & ~was_closed
    yield from report("validity", "a gap follows a version", ids, gap)
    yield from report("validity", "a version overlaps the next", ids, overlap)
    ended = ~has_next & ~is_open & ~was_closed
    yield from report("current", "no version is open", ids, ended)


def _was_closed(versions: Catalog) -> NDArray[np.bool_]:
    """Tell which versions an update has ended."""
    if _CLOSED not in versions:
        return np.zeros(len(versions), dtype=np.bool_)
    return ~versions.null_mask(_CLOSED)


def report(
    invariant: str, detail: str, ids: NDArray[np.int64], bad: NDArray[np.bool_]
) -> Iterator[Finding]:
    """Name the objects that a mask chooses, if any, as one finding."""
    if bad.any():
        found = np.unique(ids[bad]).tolist()
        yield Finding(
            invariant=invariant,
            where=f"diaObjectId {some(found)}",
            detail=f"{detail} ({len(found)} objects)",
        )
