"""What Dagster adds to a night of the AP prototype: one run over all its visits.

The whole way on a PostgreSQL of its own: an opsim file, archived, its visits
registered, and the real asset over them. Dagster's share is all the CPU of the run
but that within the visits' processing.
"""

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import numpy as np
import pandas as pd
from dagster_overhead import figure, project

NIGHT = "2026-10-10"
_NOON_MJD = 61323.5


def write_opsim(path: Path, n_visits: int) -> None:
    """Write the visits of a night, over a hundred fields."""
    n = np.arange(n_visits)
    start = _NOON_MJD + 0.4 + n * 0.4 / n_visits
    visits = pd.DataFrame(
        {
            "observationId": n,
            "fieldRA": 20.0 + n % 10 * 3.0,
            "fieldDec": -40.0 + n // 10 % 10 * 3.0,
            "observationStartMJD": start,
            "flush_by_mjd": start + 1,
            "visitExposureTime": 30.0,
            "visitTime": 34.0,
            "band": np.resize(list("gri"), n_visits),
            "filter": np.resize(["g_6", "r_57", "i_39"], n_visits),
            "rotSkyPos": 0.0,
            "numExposures": 1,
            "airmass": 1.2,
            "seeingFwhmEff": 0.8,
            "fiveSigmaDepth": 24.0,
            "altitude": 60.0,
            "azimuth": 10.0,
            "night": 100,
            "scheduler_note": "blob",
        }
    )
    with closing(sqlite3.connect(path)) as connection:
        visits.to_sql("observations", connection, index=False)


class Watch:
    """CPU and wall seconds within the processing of visits."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self.n_visits = 0

    def timed(self, visits: Iterator[object]) -> Iterator[object]:
        """Yield what the prototype yields, and add up what it took."""
        while True:
            cpu, wall = time.process_time(), time.perf_counter()
            summary = next(visits, None)
            self.cpu_s += time.process_time() - cpu
            self.wall_s += time.perf_counter() - wall
            if summary is None:
                return
            self.n_visits += 1
            yield summary


def prepare(
    instance: dg.DagsterInstance, folder: Path, sizes: argparse.Namespace
) -> None:
    """Archive the night and register its visits."""
    from archive_assets import definitions as archive  # noqa: PLC0415 - after the environment is set
    from archive_assets.defs.names import NOMINAL, simulation_key  # noqa: PLC0415 - as above
    from l1db_pipeline import definitions as l1db  # noqa: PLC0415 - as above

    write_opsim(folder / "opsim.db", sizes.visits)
    simulation = "__".join(simulation_key(NOMINAL).path)
    form = {"n_nights": 1, "opsim_file": str(folder / "opsim.db")}
    sources = {"counts_per_fov": sizes.sources}
    for definitions, job, op, config in (
        (archive, "nominal_night", simulation, form),
        (l1db, "night_visits", "l1db__variable_sources", sources),
    ):
        definitions.defs().resolve_job_def(job).execute_in_process(
            partition_key=NIGHT,
            instance=instance,
            run_config={"ops": {op: {"config": config}}},
        )


def measure(instance: dg.DagsterInstance, sizes: argparse.Namespace) -> bool:
    """Run the night, print its figures, return whether they are within limits."""
    from l1db_pipeline import definitions as l1db  # noqa: PLC0415 - after the environment is set
    from l1db_pipeline.runs.archived_night import NightRun  # noqa: PLC0415 - as above

    watch, run = Watch(), NightRun.run
    night = NIGHT.replace("-", "")
    form = {"n_noise": sizes.noise}
    with patch.object(
        NightRun, "run", lambda *args, **names: watch.timed(run(*args, **names))
    ):
        cpu, wall = time.process_time(), time.perf_counter()
        l1db.defs().resolve_job_def("ap_prototype").execute_in_process(
            instance=instance,
            run_config={"ops": {"l1db_write_batches": {"config": form}}},
            tags={
                "dagster/asset_partition_range_start": f"{night}-00001",
                "dagster/asset_partition_range_end": f"{night}-{sizes.visits:05d}",
            },
        )
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if watch.n_visits != sizes.visits:
        raise SystemExit(f"{watch.n_visits} of {sizes.visits} visits ran")
    visit_ms = round(watch.wall_s / sizes.visits * 1e3, 1)
    print(json.dumps({"visits": sizes.visits, "visit_ms": visit_ms}))
    share_ms = (cpu - watch.cpu_s) / sizes.visits * 1e3
    part = 100 * (wall - watch.wall_s) / wall
    limit = 10.0 if sizes.sources + sizes.noise >= 10_000 else 100.0
    return all(
        [
            figure("dagster_per_visit", "CPU ms", share_ms, 25.0),
            figure("dagster_of_wall", "%", part, limit),
        ]
    )


def main() -> int:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=1000)
    parser.add_argument("--sources", type=int, default=500)
    parser.add_argument("--noise", type=int, default=500)
    sizes = parser.parse_args()
    with project() as instance:
        prepare(instance, Path(os.environ["L1DB_HOME"]), sizes)
        return int(not measure(instance, sizes))


if __name__ == "__main__":
    sys.exit(main())
