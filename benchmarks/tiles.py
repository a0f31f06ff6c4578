"""A visit of 10,000 sources divided into tiles, against the same visit in one process.

Two databases in one embedded PostgreSQL with its defaults; visits alternate between
them, so that other load on the machine falls on both. ``ours`` is the median of a visit
divided into tiles, ``limit`` that of the undivided visit: wall time (``s``), CPU of
client and server (``cpu_s``), and that CPU shared among the workers, which is the wall
time that a machine with as many free processors can reach (``cpu_s per worker``).
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil

from l1db_pipeline.runs.command import simulator
from l1db_pipeline.runs.loop import Division, run_visits
from l1db_pipeline.runs.settings import RunSettings
from l1db_pipeline.runs.tiles.workers import TileWorkers
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sources.generators import rand_cone_xyz, rand_sphere_xyz
from l1db_pipeline.sources.source_file import SourceCatalog
from l1db_pipeline.store.open import open_store
from l1db_pipeline.visit.process import Visit, VisitOptions, VisitSummary
from pipeline_runtime.postgres import EmbeddedPostgres

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


def server_cpu_s(postmaster: psutil.Process) -> float:
    """Return CPU seconds of the server's processes, ended ones too."""
    own = postmaster.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for process in postmaster.children():
        with suppress(psutil.NoSuchProcess):  # ended meanwhile: the next look has it
            times = process.cpu_times()
            total += times.user + times.system
    return float(total)


def timed(
    runs: list[Iterator[VisitSummary]], postmaster: psutil.Process, n_visits: int
) -> list[list[tuple[float, float]]]:
    """Return wall and CPU seconds of each visit of each run, turn about."""
    found: list[list[tuple[float, float]]] = [[] for _ in runs]
    for _ in range(n_visits):
        for run, figures in zip(runs, found, strict=True):
            before = server_cpu_s(postmaster)
            summary = next(run)
            (visit,) = (step for step in summary.steps if step.step == "Visit")
            spent = server_cpu_s(postmaster) - before
            figures.append((visit.real_s, visit.user_s + visit.sys_s + spent))
    return found


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
                pid = int(
                    (Path(folder) / "data" / "postmaster.pid").read_text().split()[0]
                )
                figures = timed(runs, psutil.Process(pid), arguments.visits)
            equal = len({str(sorted(s.science_digest().items())) for s in stores}) == 1
            for store in stores:
                store.close()
        finally:
            server.stop()
    # the first visit to a field finds caches cold and no history
    whole, divided = (np.median(f[N_FIELDS:], axis=0).tolist() for f in figures)
    name = f"tiles_{arguments.divide}x{arguments.divide}"
    report(name, "s", divided[0], whole[0])
    report(name, "cpu_s", divided[1], whole[1])
    n_workers = arguments.workers
    report(name, f"cpu_s per worker of {n_workers}", divided[1] / n_workers, whole[1])
    print(json.dumps({"name": "tiles_same_content", "unit": "bool", "ours": equal}))


if __name__ == "__main__":
    main()
