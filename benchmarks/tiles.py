"""A visit of 10,000 sources divided into tiles, against the same visit in one process.

Two databases in one embedded PostgreSQL with its defaults; visits alternate between
them, so that other load on the machine falls on both. ``ours`` is the median wall time
of a visit divided into tiles, ``limit`` that of the undivided visit.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from l1db_pipeline.ap_proto import Division, run_visits
from l1db_pipeline.config import L1dbConfig, ObjectIndex
from l1db_pipeline.generators import rand_cone_xyz, rand_sphere_xyz
from l1db_pipeline.run_command import simulator
from l1db_pipeline.run_settings import RunSettings
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.services import EmbeddedPostgres
from l1db_pipeline.sources import SourceCatalog
from l1db_pipeline.store.open import open_store
from l1db_pipeline.tile_workers import TileWorkers
from l1db_pipeline.visit import Visit, VisitOptions, VisitSummary

N_FIELDS, N_VARIABLES, N_NOISE = 3, 5_000, 5_000
START = datetime(2026, 1, 1, tzinfo=UTC)


def visits(fields: np.ndarray, n: int) -> list[Visit]:
    """Return visits that go round the fields."""
    return [
        Visit(
            visit_id=number,
            time=START + timedelta(seconds=45 * number),
            centre=fields[number % len(fields)],
            open_angle_deg=3.5,
        )
        for number in range(1, n + 1)
    ]


def seconds(summary: VisitSummary, step: str) -> tuple[float, float]:
    """Return wall and client CPU seconds of a step of the whole visit."""
    (found,) = (s for s in summary.steps if s.step == step)
    return found.real_s, found.user_s + found.sys_s


def report(name: str, unit: str, ours: float, limit: float) -> None:
    """Print one figure."""
    values = {"ours": ours, "limit": limit, "ratio": ours / limit}
    rounded = {key: round(value, 4) for key, value in values.items()}
    print(json.dumps({"name": name, "unit": unit, **rounded}), flush=True)


def main() -> None:
    """Run both and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=18)
    parser.add_argument("--divide", type=int, default=2)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    fields = rand_sphere_xyz(N_FIELDS, -1, seed=11)
    cones = [rand_cone_xyz(f, np.radians(3.5), N_VARIABLES, 1) for f in fields]
    simulate = simulator(
        SourceCatalog(np.concatenate(cones)),
        RunSettings(seed=11, catalog_sha256="", n_noise=N_NOISE),
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # the server runs as a user of its own under root
        server = EmbeddedPostgres(Path(folder) / "data")
        server.start()
        try:
            server.create_databases(("whole", "divided"))
            configs = [
                L1dbConfig(
                    url=server.url(name, "psycopg"),
                    dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
                    object_last_replace=True,
                )
                for name in ("whole", "divided")
            ]
            stores = [open_store(config) for config in configs]
            with TileWorkers(configs[1], arguments.workers) as workers:
                runs: list[Iterator[VisitSummary]] = []
                divisions = (None, Division(arguments.divide, workers))
                for store, division in zip(stores, divisions, strict=True):
                    store.create_schema()
                    runs.append(
                        run_visits(
                            store,
                            visits(fields, arguments.visits),
                            simulate,
                            options=VisitOptions(),
                            schema=load_schema(),
                            division=division,
                            counts_every=10**9,
                        )
                    )
                pairs = list(zip(*runs, strict=True))[N_FIELDS:]  # caches are warm then
            equal = len({str(sorted(s.science_digest().items())) for s in stores}) == 1
            for store in stores:
                store.close()
        finally:
            server.stop()
    whole, divided = zip(*pairs, strict=True)
    names = f"{arguments.divide}x{arguments.divide}_{arguments.workers}_workers"
    for step in ("VisitProcessing", "Visit"):
        for unit, which in (("s", 0), ("cpu_s", 1)):
            ours, limit = (
                statistics.median(
                    seconds(summary, step)[which] for summary in summaries
                )
                for summaries in (divided, whole)
            )
            report(f"tiles_{names}_{step}", unit, ours, limit)
    print(json.dumps({"name": "tiles_same_content", "unit": "bool", "ours": equal}))


if __name__ == "__main__":
    main()
