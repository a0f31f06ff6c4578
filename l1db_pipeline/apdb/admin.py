"""Administration of an APDB: where a record is kept."""

from collections.abc import Iterable

from lsst.dax.apdb.apdbAdmin import (
    ApdbAdmin,
    DiaForcedSourceLocator,
    DiaObjectLocator,
    DiaSourceLocator,
)
from lsst.sphgeom import HtmPixelization, LonLat, UnitVector3d
from typing_extensions import override

__all__ = ["L1ApdbAdmin"]


class L1ApdbAdmin(ApdbAdmin):
    """The partitions are HTM pixels; there are none of time.

    Parameters
    ----------
    level
        HTM level of the store's pixels.
    """

    def __init__(self, level: int) -> None:
        self._pixels = HtmPixelization(level)

    @override
    def apdb_part(self, ra_deg: float, dec_deg: float) -> int:
        return self._pixels.index(UnitVector3d(LonLat.fromDegrees(ra_deg, dec_deg)))

    @override
    def apdb_time_part(self, midpointMjdTai: float) -> int:
        return 0

    @override
    def delete_records(
        self,
        objects: Iterable[DiaObjectLocator],
        sources: Iterable[DiaSourceLocator],
        forced_sources: Iterable[DiaForcedSourceLocator],
    ) -> None:
        raise NotImplementedError(
            "records of an L1 database cannot be deleted yet: withdraw sources, and "
            "close the validity of objects"
        )
