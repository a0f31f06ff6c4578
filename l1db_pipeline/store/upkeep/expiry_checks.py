"""What has expired, and only that, is gone: the rows beside the horizon."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.digest import TableDigest
from l1db_pipeline.store.errors import some
from l1db_pipeline.store.tables.layout import VISIT_TIME
from l1db_pipeline.store.upkeep.expire import Retention

__all__ = ["ExpiryChecks"]

_NONE = str(TableDigest())
_HISTORIES = ("sources", "forcedSources")


class ExpiryChecks:
    """What verification has to know of expiry; part of its transaction."""

    def __init__(self, retention: Retention) -> None:
        self.horizon = retention.horizon()
        self._unfinished = retention.unfinished()
        self._n_kept = retention.n_kept()

    def has_expired(self, times: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """Tell which times are before the horizon."""
        if self.horizon is None:
            return np.zeros(len(times), dtype=np.bool_)
        return times < self.horizon

    def expected(self, name: str, entries: Catalog) -> Catalog:
        """Return ledger entries, with what there should be of a table in them.

        Of visits that have expired there are no sources. Which of their versions
        stay, the ledger does not know: those entries are left out.
        """
        gone = self.has_expired(entries["visitTime"])
        if name not in _HISTORIES:
            return entries.take(~gone)
        texts = np.where(gone, _NONE, entries[name])
        return Catalog({**entries.columns, name: texts.astype(object)}, entries.nulls)

    def check_superseded(self, versions: Catalog) -> Iterator[Finding]:
        """Find versions that had ended by the horizon."""
        if self.horizon is None or not len(versions):
            return
        ids, starts = versions["diaObjectId"], versions["validityStart"]
        order = np.lexsort((starts, ids))
        ids, starts = ids[order], starts[order]
        is_followed = (ids[1:] == ids[:-1]) & (starts[1:] <= self.horizon)
        if is_followed.any():
            found = np.unique(ids[:-1][is_followed]).tolist()
            yield Finding(
                invariant="expiry",
                where=f"diaObjectId {some(found)}",
                detail=f"versions that ended by {self.horizon} are still there",
            )

    def check_kept(
        self, entries: Catalog, found: Mapping[int, TableDigest]
    ) -> Iterator[Finding]:
        """Find out whether all versions that were valid at the horizon are there."""
        if self._unfinished is not None:
            yield Finding(
                invariant="expiry",
                where=f"before {self._unfinished}",
                detail="rows are still to be deleted: run l1db expire again",
            )
        if self.horizon is None or self._unfinished is not None:
            return
        visits = np.unique(entries["visitId"][self.has_expired(entries["visitTime"])])
        n_found = sum(found.get(v, TableDigest()).n_rows for v in visits.tolist())
        if n_found != self._n_kept:
            yield Finding(
                invariant="expiry",
                where=f"DiaObject before {self.horizon}",
                detail=f"{n_found} versions are there, {self._n_kept} were kept",
            )

    def is_gone(self, rows: Catalog, versions: Catalog) -> NDArray[np.bool_]:
        """Tell which rows of current objects are older than all versions kept.

        They are in chunks that no merge has read since their versions expired.
        """
        if self.horizon is None or not len(versions):
            return np.zeros(len(rows), dtype=np.bool_)
        order = np.lexsort((versions["validityStart"], versions["diaObjectId"]))
        ids, first = np.unique(versions["diaObjectId"][order], return_index=True)
        places = IdSet(ids).places(rows["diaObjectId"])
        oldest = versions["validityStart"][order][first][places]
        return np.asarray(
            (places >= 0)
            & self.has_expired(rows[VISIT_TIME])
            & (rows[VISIT_TIME] < oldest)
        )
