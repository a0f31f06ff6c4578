"""Months that expire in the store in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from l1db_pipeline.store.backends.memory_contents import Contents
from l1db_pipeline.store.digest import TableDigest
from l1db_pipeline.store.expired import check_before
from l1db_pipeline.store.months import Month
from l1db_pipeline.store.tables.layout import VISIT_TIME

__all__ = ["expire", "months_of"]

_Row = dict[str, Any]


def expire(
    contents: Contents, ended: Sequence[_Row], place: str, before: np.datetime64
) -> None:
    """Forget what is from before a time, but for versions that were valid then.

    Parameters
    ----------
    contents
        To be changed.
    ended
        Its versions, each with its end.
    place, before
        As in `check_before`, whose errors it raises.
    """
    times = [np.datetime64(entry[0], "us") for entry in contents.ledger.values()]
    check_before(place, before, max(times, default=None))
    horizon = contents.horizon
    if min(times) >= before or (horizon is not None and before <= horizon):
        return
    contents.horizon = before
    limit = before.item()
    contents.versions = [
        {name: value for name, value in row.items() if name != "validityEnd"}
        for row in ended
        if row["validityEnd"] is None or row["validityEnd"] > limit
    ]
    for rows in (contents.sources, contents.forced):
        rows[:] = [row for row in rows if row[VISIT_TIME] >= limit]


def months_of(contents: Contents) -> list[Month]:
    """Return the months that have visits, in order."""
    found: dict[str, list[tuple[int, int]]] = {}
    for (visit_id, _), (time, _, *digests) in contents.ledger.items():
        n_rows = sum(TableDigest.parse(text).n_rows for text in digests)
        found.setdefault(time[:7], []).append((visit_id, n_rows))
    limit = "" if contents.horizon is None else str(contents.horizon)[:7]
    return [
        Month(
            month=month,
            n_visits=len({visit_id for visit_id, _ in visits}),
            n_rows=0 if month < limit else sum(n_rows for _, n_rows in visits),
            n_bytes=0,
            is_expired=month < limit,
        )
        for month, visits in sorted(found.items())
    ]
