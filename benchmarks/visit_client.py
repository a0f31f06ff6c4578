"""W1: client CPU of a whole visit apart from the calls to the database.

Field of view 3.5 deg, 5,000 variable (of 21 million over the sky) and 5,150 noise
sources a visit, 3 fields, DiaObjectLast, history of 12 months: simulation, HTM ids,
trimming, matching, forced photometry, records. CPU spent inside calls of the store
is taken off. The ``limit`` is 0.15 CPU s; ``peer`` is l1dbproto fe7bc66 with dax_apdb
30.2026.4100, measured once on this kind of machine, not in this run.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from l1db_pipeline.dia import DiaModel, simulate_visit
from l1db_pipeline.runs.cadence import visits_of
from l1db_pipeline.runs.loop import run_visits
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sky.geometry import FOV_OPEN_ANGLE_RAD
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sources.generators import catalog_size, rand_sphere_xyz
from l1db_pipeline.sources.source_file import SourceCatalog
from l1db_pipeline.store.open import open_store
from l1db_pipeline.survey.pointings import field_pointings
from l1db_pipeline.visit.association import Detections, detections_of
from l1db_pipeline.visit.process import MatchMode, Visit, VisitOptions

FIELDS_DEG = ((30.0, -30.0), (120.0, -50.0), (250.0, -10.0))
LIMIT_S = 0.15
PEER_S = 5.7
SEED = 11


class Metered:
    """A store that adds up the CPU seconds of its methods."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.cpu_s = 0.0

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        return self._timed(value) if callable(value) else value

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return method(*args, **kwargs)
            finally:
                self.cpu_s += time.process_time() - start

        return timed


def run(
    catalog: SourceCatalog, model: DiaModel, options: VisitOptions, n_visits: int
) -> list[float]:
    """Return the CPU seconds of each visit, without those of the database."""
    with tempfile.TemporaryDirectory() as folder:
        config = L1dbConfig(
            url=f"sqlite:///{Path(folder, 'l1db.sqlite')}",
            dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
            object_last_replace=True,
            read_sources_months=12,
            read_forced_sources_months=12,
        )
        store = Metered(open_store(config))
        store.create_schema()
        pointings = field_pointings(
            [radec_to_xyz(ra, dec) for ra, dec in FIELDS_DEG],
            first_visit_id=1,
            start=datetime(2026, 1, 1, 20, tzinfo=UTC),
            interval_s=45,
        )

        def simulate(visit: Visit) -> Detections:
            return detections_of(
                simulate_visit(
                    catalog,
                    visit.centre,
                    seed=SEED,
                    visit_id=visit.visit_id,
                    model=model,
                )
            )

        summaries = run_visits(
            store,
            visits_of(islice(pointings, n_visits), 3.5),
            simulate,
            options=options,
            schema=load_schema(),
            counts_every=n_visits + 1,
        )
        clock = [time.process_time() - store.cpu_s]
        clock += [time.process_time() - store.cpu_s for _ in summaries]
        store.close()
    return [after - before for before, after in pairwise(clock)]


def main() -> None:
    """Print the mean cost of a visit for each way to run one."""
    # the first run builds the index of the catalog, the others have it
    catalog = SourceCatalog(rand_sphere_xyz(catalog_size(5000), seed=SEED))
    model = DiaModel(open_angle_rad=FOV_OPEN_ANGLE_RAD)
    scattered = replace(model, astrometric_scatter_arcsec=0.1)
    for name, variant, options, n_visits in (
        ("by_id", model, VisitOptions(), 30),
        ("by_position", scattered, VisitOptions(match=MatchMode.POSITION), 12),
        ("all_columns", replace(model, measure=True), VisitOptions(fill=True), 6),
    ):
        costs = run(catalog, variant, options, n_visits)
        figure = {
            "name": f"visit_client_{name}",
            "unit": "CPU s",
            "ours": round(statistics.mean(costs), 4),
            "last": round(costs[-1], 4),
            "visits": n_visits,
            "peer": PEER_S,
            "limit": LIMIT_S,
            "ratio": round(PEER_S / statistics.mean(costs), 1),
        }
        print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
