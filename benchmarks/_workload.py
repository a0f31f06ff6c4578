"""The visits of the L1 workloads: the same for our store, its options and the peer."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
from lsst.sphgeom import Angle, Circle, Region, UnitVector3d
from numpy.random import SeedSequence
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.ids import new_object_ids, source_ids
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sky.htm import htm_index, xyz_to_radec
from l1db_pipeline.sources.generators import rand_cone_xyz
from l1db_pipeline.store.base import VisitKey, VisitRecords
from l1db_pipeline.visit.association import with_required_columns
from l1db_pipeline.visit.filling import fill_columns, row_keys
from visit_tables.time_scales import utc64

FIELD_OF_VIEW_DEG = 3.5
START = datetime(2026, 1, 1, 3, tzinfo=UTC)
INTERVAL = timedelta(seconds=45)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Visits that go round some fields; each field has variables and sees noise."""

    name: str
    n_fields: int
    n_visits: int
    n_variables: int
    n_noise: int
    fill: bool = False
    """Fill every column, not the required ones only."""
    force_all: bool = False
    """Measure every known object by forced photometry, as the prototype of 2018 does
    within 30 days, not only the detected variables, as the peer does today."""
    seed: int = 11

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Unit vectors of the fields, 8 degrees apart."""
        place = np.arange(self.n_fields)
        ra = np.radians(20 + 8.0 * (place % 7))
        dec = np.radians(-20 - 8.0 * (place // 7))
        xyz = np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)
        return np.stack(xyz, axis=1)

    def region(self, visit_id: int) -> Region:
        """Return the field of view of a visit."""
        centre = UnitVector3d(*self.centres[visit_id % self.n_fields])
        return Circle(centre, Angle.fromDegrees(FIELD_OF_VIEW_DEG / 2))

    def visits(self) -> Iterator["VisitInput"]:
        """Yield every visit, made from the seed and its id alone."""
        known: list[list[Catalog]] = [[] for _ in range(self.n_fields)]
        for visit_id in range(1, self.n_visits + 1):
            yield self._visit(visit_id, known[visit_id % self.n_fields])

    def _visit(self, visit_id: int, known: list[Catalog]) -> "VisitInput":
        place = visit_id % self.n_fields
        opening = np.radians(FIELD_OF_VIEW_DEG)
        variables = rand_cone_xyz(
            self.centres[place],
            opening,
            self.n_variables,
            SeedSequence((self.seed, place)),
        )
        noise = rand_cone_xyz(
            self.centres[place],
            opening,
            self.n_noise,
            SeedSequence((self.seed, place, visit_id)),
        )
        n_variables = len(variables)
        xyz = np.concatenate([variables, noise])
        ids = np.concatenate(
            [
                place * self.n_variables + np.arange(n_variables),
                new_object_ids(visit_id, np.arange(n_variables, len(xyz))),
            ]
        )
        ra, decl = xyz_to_radec(xyz)
        time = START + INTERVAL * visit_id
        detected = Catalog(
            {
                "diaObjectId": ids,
                "ra": ra,
                "decl": decl,
                "htmId20": htm_index(xyz),
                "lastNonForcedSource": np.full(len(ids), utc64(time)),
            }
        )
        old = known if self.force_all else []
        objects = Catalog.concat([detected, *old])
        known.append(detected.take(np.arange(n_variables, len(ids))))
        key = VisitKey(visit_id=visit_id, time=time)
        return VisitInput(
            key=key,
            region=self.region(visit_id),
            records=self._records(visit_id, objects, detected, n_variables),
        )

    def _records(
        self, visit_id: int, objects: Catalog, detected: Catalog, n_variables: int
    ) -> VisitRecords:
        n_sources = len(detected)
        sources = Catalog(
            {
                "diaSourceId": source_ids(visit_id, np.arange(n_sources)),
                "ccdVisitId": np.full(n_sources, visit_id),
                **{n: detected[n] for n in ("diaObjectId", "ra", "decl", "htmId20")},
                "snr": np.full(n_sources, 5.0),
            }
        )
        forced_ids = objects["diaObjectId"] if self.force_all else (
            detected["diaObjectId"][:n_variables]
        )  # fmt: skip
        forced = Catalog(
            {
                "diaObjectId": forced_ids,
                "ccdVisitId": np.full(len(forced_ids), visit_id),
            }
        )
        return VisitRecords(
            objects=self._complete("DiaObject", objects, objects["diaObjectId"]),
            sources=self._complete("DiaSource", sources, sources["diaSourceId"]),
            forced_sources=self._complete("DiaForcedSource", forced, forced_ids),
        )

    def _complete(self, name: str, rows: Catalog, ids: NDArray[np.int64]) -> Catalog:
        table = load_schema().table(name)
        if self.fill:
            rows = fill_columns(rows, table, row_keys(ids))
        return with_required_columns(rows, table)


@dataclass(frozen=True, kw_only=True)
class VisitInput:
    """What a visit is given: region and records, made outside the timing."""

    key: VisitKey
    region: Region
    records: VisitRecords


@dataclass
class Costs:
    """What each visit of a run cost; one element a visit."""

    client_s: list[float] = field(default_factory=list)
    server_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    steps: list[dict[str, float]] = field(default_factory=list)
    rows_read: list[int] = field(default_factory=list)
    peak_mib: float = 0.0

    @property
    def cpu_s(self) -> NDArray[np.float64]:
        """Client and server together."""
        total: NDArray[np.float64] = np.array(self.client_s) + np.array(self.server_s)
        return total

    def mean_cpu_s(self) -> float:
        """Return CPU seconds a visit."""
        return float(self.cpu_s.mean())

    def growth(self) -> float:
        """Return the last ten visits' cost over the first ten's."""
        n_visits = min(10, len(self.client_s) // 2)
        return float(self.cpu_s[-n_visits:].mean() / self.cpu_s[:n_visits].mean())
