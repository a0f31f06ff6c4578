"""The visits of a comparison, the same for every candidate, and how deep each is."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from l1db_pipeline.comparison.plan import ComparisonPlan, PlanError
from l1db_pipeline.runs.cadence import visits_of
from l1db_pipeline.runs.settings import RunSettings, catalog_digest
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sources.dia import simulate_visit
from l1db_pipeline.sources.generators import rand_cone_xyz, rand_sphere_xyz
from l1db_pipeline.sources.source_file import SourceCatalog
from l1db_pipeline.survey.pointings import field_pointings, table_pointings
from l1db_pipeline.survey.visits_table import read_visits_table
from l1db_pipeline.visit.association import Detections, detections_of
from l1db_pipeline.visit.process import Visit

__all__ = ["Workload", "depths_of"]

_OPEN_ANGLE_DEG = 3.5
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SAME_FIELD_DEG = _OPEN_ANGLE_DEG / 2


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Visits, and what each of them detects."""

    plan: ComparisonPlan
    visits: tuple[Visit, ...]
    is_counted: bool
    """Whether ids count from 1; else they are those of a visits file."""
    _latest: dict[int, Detections] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, plan: ComparisonPlan) -> "Workload":
        """Return the visits of a plan.

        Raises
        ------
        PlanError
            If its file has no visits, or its name is the UUID of a sequence.
        VisitsFileError
            If its file cannot be read.
        """
        if plan.visits_file:
            _refuse_uuid(plan.visits_file)
            pointings = table_pointings(read_visits_table(plan.visits_file))
        else:
            pointings = field_pointings(
                list(_fields(plan)),
                first_visit_id=1,
                start=plan.start_time,
                interval_s=plan.interval_s,
            )
        made = visits_of(islice(pointings, plan.visits), _OPEN_ANGLE_DEG)
        visits = tuple(made)
        if not visits:
            raise PlanError(f"{plan.visits_file} has no visits")
        return cls(plan=plan, visits=visits, is_counted=not plan.visits_file)

    @cached_property
    def depth(self) -> NDArray[np.int64]:
        """The number of each visit among those of its field, from 1."""
        return depths_of(np.array([visit.centre for visit in self.visits]))

    @property
    def n_fields(self) -> int:
        """How many fields the visits observe."""
        return int((self.depth == 1).sum())

    @cached_property
    def catalog(self) -> SourceCatalog:
        """The variable sources: of one density wherever a visit looks."""
        plan = self.plan
        centres = np.unique([visit.centre for visit in self.visits], axis=0)
        angle = math.radians(_OPEN_ANGLE_DEG)
        kept = []
        for place, centre in enumerate(centres):
            seed = SeedSequence((plan.seed, place))
            xyz = rand_cone_xyz(centre, angle, plan.variables_per_field, seed)
            earlier = centres[:place]
            near = earlier[earlier @ centre > math.cos(angle)]
            # where caps overlap, the first of them gives the sources
            kept.append(xyz[~(xyz @ near.T > math.cos(angle / 2)).any(axis=1)])
        return SourceCatalog(np.concatenate(kept))

    @cached_property
    def settings(self) -> RunSettings:
        """What the rows depend on besides the visits."""
        return RunSettings(
            seed=self.plan.seed,
            catalog_sha256=catalog_digest(self.catalog.xyz),
            n_noise=self.plan.n_transients,
            open_angle_deg=_OPEN_ANGLE_DEG,
            fill=self.plan.fill,
        )

    @property
    def simulate(self) -> Callable[[Visit], Detections]:
        """The difference imaging; makes the latest visit only once."""
        catalog, seed = self.catalog, self.plan.seed
        model = self.settings.model

        def simulate(visit: Visit) -> Detections:
            if visit.visit_id not in self._latest:
                self._latest.clear()
                sources = simulate_visit(
                    catalog,
                    visit.centre,
                    seed=seed,
                    visit_id=visit.visit_id,
                    model=model,
                )
                self._latest[visit.visit_id] = detections_of(sources)
            return self._latest[visit.visit_id]

        return simulate


def depths_of(centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many visits of a field there were, each visit itself included.

    Visits are of one field if the centre of the later one lies inside the field of
    view of the earlier one.

    Parameters
    ----------
    centres
        Unit vectors, shape ``(n, 3)``, in the order of the visits.
    """
    nearest = math.cos(math.radians(_SAME_FIELD_DEG))
    return np.array(
        [
            int((centres[: place + 1] @ centre >= nearest).sum())
            for place, centre in enumerate(centres)
        ]
    )


def _refuse_uuid(name: str) -> None:
    if _UUID.fullmatch(name):
        raise PlanError(
            f"{name} is the UUID of a sequence: fetch its visits, `vseqarchive "
            f"get-file {name} visits visits.h5`, and give that file"
        )


def _fields(plan: ComparisonPlan) -> NDArray[np.float64]:
    if plan.fields_deg:
        return np.array([radec_to_xyz(ra, dec) for ra, dec in plan.fields_deg])
    return rand_sphere_xyz(plan.fields, -1, plan.seed)
