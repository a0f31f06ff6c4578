"""What a client has read for its next store: the token on which that depends."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from lsst.sphgeom import Region

from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sky.pixelization import in_region
from l1db_pipeline.store.base import L1Store, VisitKey, VisitRecords
from l1db_pipeline.store.token import NOBODY, ReadToken

__all__ = ["VisitReads"]

_WIDEST_DEG = 5.0
"""Radius of a circle that holds any camera's field: wider reads are not a visit's."""


class VisitReads:
    """Reads of regions by one client, since its last store.

    A client's calls carry no token. A read of the objects of a region, and the reads
    after it, are taken for those of the visit that the client stores next, if that
    stores something there.

    Parameters
    ----------
    store
        Database.
    """

    def __init__(self, store: L1Store) -> None:
        self._store = store
        self._reads: list[tuple[Region, ReadToken]] = []  # each region once

    @contextmanager
    def of(self, region: Region, *, is_first: bool = False) -> Iterator[None]:
        """Open a block that reads a region; ``is_first`` if a visit begins with it."""
        if is_first:
            self._reads.clear()
        is_new = (bool(self._reads) or is_first) and all(
            region != known for known, _ in self._reads
        )
        if not is_new or _is_wide(region):
            yield
            return
        with self._store.reading_unit(NOBODY, region) as token:
            yield
        self._reads.append((region, token))

    def token_for(self, key: VisitKey, records: VisitRecords) -> ReadToken | None:
        """Return the token of a unit's reads; `None` if there were none where it is."""
        if not self._reads or not self._is_there(records):
            return None
        cells = np.concatenate([token.cells for _, token in self._reads])
        versions = np.concatenate([token.versions for _, token in self._reads])
        # of a cell that several have read, the earliest state
        order = np.lexsort((versions, cells))
        unique, first = np.unique(cells[order], return_index=True)
        database = self._reads[0][1].database
        return ReadToken(database, key.read_as, unique, versions[order][first])

    def _is_there(self, records: VisitRecords) -> bool:
        """Tell whether records, if any have a position, have one in what was read."""
        held = [
            rows for rows in (records.objects, records.sources)
            if len(rows) and {"ra", "decl"} <= set(rows.names)
        ]  # fmt: skip
        places = [radec_to_xyz(rows["ra"], rows["decl"]) for rows in held]
        return not places or any(
            in_region(xyz, region).any() for xyz in places for region, _ in self._reads
        )

    def forget(self) -> None:
        """Start over, after a store."""
        self._reads.clear()


def _is_wide(region: Region) -> bool:
    angle = region.getBoundingCircle().getOpeningAngle()
    return float(angle.asDegrees()) > _WIDEST_DEG
