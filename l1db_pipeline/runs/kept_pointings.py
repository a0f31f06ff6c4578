"""Where each visit looked, and through which filter, as the database keeps it.

The text of a pointing ends with a checksum: nothing else in the database follows from
it, and a second setting would cost each visit a statement.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.runs.kept_settings import checksum
from l1db_pipeline.sky.htm import xyz_to_radec
from l1db_pipeline.store.base import Finding, L1Store, Verification
from l1db_pipeline.visit.process import Visit

__all__ = [
    "KeptPointing",
    "kept_pointing",
    "kept_pointings",
    "pointings_of",
    "verify_pointings",
]

_PREFIX = "pointing."
_SUM = "~"


@dataclass(frozen=True, slots=True)
class KeptPointing:
    """Pointing and band of a visit: a setting ``"<ra> <dec>[ <band>] ~<checksum>"``."""

    place: str
    """RA and Dec, degrees, six decimals."""
    band: str | None = None

    @property
    def radec_deg(self) -> tuple[float, float]:
        """RA and Dec, degrees, ICRS."""
        ra_deg, dec_deg = map(float, self.place.split())
        return ra_deg, dec_deg

    def keep(self, store: L1Store, visit_id: int) -> None:
        """Write it; one of an attempt that stored nothing does not count."""
        text = f"{self.place} {self.band}" if self.band else self.place
        name = f"{_PREFIX}{visit_id}"
        store.put_setting(name, f"{text} {_SUM}{checksum(name, text)}", replace=True)

    @classmethod
    def of(cls, visit: Visit) -> "KeptPointing":
        """Return the pointing of a visit."""
        ra_deg, dec_deg = (float(angle) for angle in xyz_to_radec(visit.centre))
        return cls(f"{ra_deg:.6f} {dec_deg:.6f}", visit.band)

    @classmethod
    def parse(cls, text: str) -> "KeptPointing":
        """Read what `keep` wrote; earlier versions kept no checksum, or no band."""
        ra, dec, *band = text.partition(f" {_SUM}")[0].split()
        return cls(f"{ra} {dec}", band[0] if band else None)


def verify_pointings(store: L1Store, scope: Verification) -> Iterator[Finding]:
    """Find pointings that were changed since they were written.

    Those of an earlier version of this package have no checksum.
    """
    n_summed = 0
    for name, kept in store.read_settings(_PREFIX).items():
        text, _, stated = kept.partition(f" {_SUM}")
        n_summed += bool(stated)
        if stated and stated != checksum(name, text):
            yield Finding(
                invariant="pointings",
                where=f"visit {name.removeprefix(_PREFIX)}",
                detail=f"is {text}, which is not what the run wrote",
            )
    scope.proved["pointings"] = n_summed


def kept_pointing(store: L1Store, visit_id: int) -> KeptPointing | None:
    """Return the pointing of a visit, `None` if the database does not keep it."""
    text = store.get_setting(f"{_PREFIX}{visit_id}")
    return KeptPointing.parse(text) if text else None


def kept_pointings(store: L1Store) -> Mapping[int, KeptPointing]:
    """Return every pointing that the database keeps, by visit id."""
    return {
        int(name.removeprefix(_PREFIX)): KeptPointing.parse(text)
        for name, text in store.read_settings(_PREFIX).items()
    }


def pointings_of(store: L1Store, visit_ids: Sequence[int]) -> NDArray[np.float64]:
    """Return RA and Dec, degrees, of visits whose pointings the database keeps."""
    kept = (kept_pointing(store, visit_id) for visit_id in visit_ids)
    angles = [pointing.radec_deg for pointing in kept if pointing]
    return np.array(angles, dtype=np.float64).reshape(-1, 2)
