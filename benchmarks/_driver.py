"""Runs a workload on our store or on the peer, and counts CPU of client and server.

A visit's database steps are what the prototype does: read the objects of the field,
their sources, their forced sources (12 months, all columns), store the visit. Server
CPU is that of the postmaster and all its children, those that ended included.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from _workload import Costs, VisitInput, Workload

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.open import open_store
from pipeline_runtime.postgres import EmbeddedPostgres

FOLDER = Path(__file__).resolve().parent
PEER_VENV = FOLDER.parent / ".venv-peer"
YEAR = timedelta(days=360)
GROWTH = "last ten visits / first ten"
_TICKS = os.sysconf("SC_CLK_TCK")


def arguments(description: str | None) -> argparse.Namespace:
    """Return the options that every program has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--peer",
        type=Path,
        default=PEER_VENV,
        help="virtual environment of the peer (default: .venv-peer, made if absent)",
    )
    parser.add_argument("--no-peer", action="store_true", help="only our figures")
    parser.add_argument("--visits", type=int, help="other number of visits")
    parser.add_argument("--steps", action="store_true", help="print steps, too")
    return parser.parse_args()


def report(name: str, unit: str, ours: float, **more: float) -> None:
    """Print a figure as a JSON line; ``ratio`` is how many times less than the peer."""
    line: dict[str, object] = {"name": name, "unit": unit, "ours": round(ours, 4)}
    line |= {key: round(value, 4) for key, value in more.items()}
    if "peer" in more and ours:
        line["ratio"] = round(more["peer"] / ours, 2)
    elif more.get("limit"):
        line["ratio"] = round(ours / more["limit"], 2)
    print(json.dumps(line), flush=True)


@contextmanager
def postgres() -> Iterator[EmbeddedPostgres]:
    """Run a PostgreSQL with default settings."""
    with tempfile.TemporaryDirectory(prefix="l1db-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data")
        server.start()
        try:
            yield server
        finally:
            server.stop()


class ServerCpu:
    """CPU seconds of a PostgreSQL server so far; 0 without a server."""

    def __init__(self, data: Path | None) -> None:
        self._pid = 0
        if data is not None:
            self._pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])

    def __call__(self) -> float:
        if not self._pid:
            return 0.0
        total = sum(self._times(self._pid, 4))
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text()
        for child in children.split():
            try:
                total += sum(self._times(int(child), 2))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total / _TICKS

    @staticmethod
    def _times(pid: int, n_fields: int) -> list[int]:
        """Return utime and stime, and with four fields those of ended children."""
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return [int(ticks) for ticks in stat[11 : 11 + n_fields]]


def config_of(url: str, history: History, **more: object) -> L1dbConfig:
    """Return the configuration of a benchmark."""
    options: dict[str, object] = {
        "dia_object_index": ObjectIndex.LAST_OBJECT_TABLE,
        "object_last_replace": True,
        "read_sources_months": 12,
        "read_forced_sources_months": 12,
        "history": history,
    }
    return L1dbConfig(url=url, **(options | more))  # type: ignore[arg-type]  # names checked there


def run_ours(
    workload: Workload,
    config: L1dbConfig,
    server_cpu: Callable[[], float],
    after: Callable[[L1Store, VisitInput], None] | None = None,
) -> Costs:
    """Run all visits in an empty database."""
    costs = Costs()
    store = open_store(config)
    store.create_schema()
    for visit in workload.visits():
        store.timings.steps.clear()
        server, client, wall = server_cpu(), time.process_time(), time.perf_counter()
        n_rows = visit_steps(store, visit)
        costs.wall_s.append(time.perf_counter() - wall)
        costs.client_s.append(time.process_time() - client)
        costs.server_s.append(server_cpu() - server)
        costs.rows_read.append(n_rows)
        costs.steps.append({s.step: s.real_s for s in store.timings.steps})
        if after is not None:
            after(store, visit)
    store.close()
    costs.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return costs


def visit_steps(store: L1Store, visit: VisitInput) -> int:
    """Do the database steps of a visit; return the number of rows read."""
    with store.reading_unit(visit.key.visit_id, visit.region) as token:
        known = store.read_objects(visit.region)
        n_rows = len(known)
        if n_rows:
            window: dict[str, Any] = {
                "since": visit.key.time - YEAR,
                "until": visit.key.time,
            }
            ids = known["diaObjectId"]
            n_rows += len(store.read_sources(object_ids=ids, **window))
            n_rows += len(store.read_forced_sources(object_ids=ids, **window))
    store.store_visit(visit.key, visit.records, token)
    return n_rows


def run_on_postgres(workload: Workload, history: History, **more: object) -> Costs:
    """Run a workload on a new PostgreSQL."""
    with postgres() as server:
        config = config_of(server.url("postgres", "psycopg"), history, **more)
        return run_ours(workload, config, ServerCpu(server.data))


def run_on_sqlite(workload: Workload, history: History) -> Costs:
    """Run a workload on a new SQLite file."""
    with tempfile.TemporaryDirectory(prefix="l1db-bench-") as folder:
        config = config_of(f"sqlite:///{folder}/l1.db", history)
        return run_ours(workload, config, ServerCpu(None))


def run_peer(workload: Workload, venv: Path, backend: str = "postgresql") -> Costs:
    """Run a workload on lsst-dax-apdb, in its own interpreter, with our catalogs."""
    make_peer(venv)
    with tempfile.TemporaryDirectory(prefix="l1db-bench-") as folder:
        save_visits(workload, Path(folder))
        if backend != "postgresql":
            return _peer_costs(venv, f"sqlite:///{folder}/peer.db", folder, None)
        with postgres() as server:
            url = server.url("postgres", "psycopg2")
            return _peer_costs(venv, url, folder, server.data)


def _peer_costs(venv: Path, url: str, folder: str, data: Path | None) -> Costs:
    done = subprocess.run(
        [venv / "bin" / "python", FOLDER / "_peer.py", url, folder, str(data or "")],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
    )
    return Costs(**json.loads(done.stdout.strip().split("\n")[-1]))


def make_peer(venv: Path) -> None:
    """Make the peer's virtual environment unless it is there."""
    if (venv / "bin" / "python").exists():
        return
    requirements = FOLDER / "requirements-peer.txt"
    pip: list[Path | str] = [
        venv / "bin" / "python",
        "-m",
        "pip",
        "install",
        "-q",
        "-r",
        requirements,
    ]
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run(pip, check=True)


def save_visits(workload: Workload, folder: Path) -> None:
    """Write every visit's catalogs for the peer."""
    for visit in workload.visits():
        records = visit.records
        parts = {
            "object": records.objects,
            "source": records.sources,
            "forced": records.forced_sources,
        }
        arrays: dict[str, Any] = {
            f"{part}.{name}": column
            for part, rows in parts.items()
            for name, column in rows.columns.items()
            if not column.dtype.hasobject
        }
        place = visit.key.visit_id % workload.n_fields
        np.savez(
            folder / f"{visit.key.visit_id:06d}.npz",
            centre=workload.centres[place],
            time=np.datetime64(visit.key.time.replace(tzinfo=None), "us"),
            fill=np.array(workload.fill),
            **arrays,
        )


def compare(
    workload: Workload,
    options: argparse.Namespace,
    ours: dict[str, Costs],
    backend: str = "postgresql",
) -> None:
    """Run the peer unless told not to, and print all figures of a workload."""
    name, peer = workload.name, {}
    if not options.no_peer:
        costs = run_peer(workload, options.peer, backend)
        peer = {"peer": costs.mean_cpu_s()}
        report(f"{name} {backend} peer growth", GROWTH, costs.growth())
        if options.steps:
            print_steps(f"{name} {backend} peer", costs)
    for kind, costs in ours.items():
        title = f"{name} {backend} {kind}"
        report(title, "CPU s a visit, client + server", costs.mean_cpu_s(), **peer)
        report(f"{title} growth", GROWTH, costs.growth())
        report(f"{title} peak memory", "MiB", costs.peak_mib)
        if options.steps:
            print_steps(title, costs)


def print_steps(title: str, costs: Costs) -> None:
    """Print the mean of each step, wall milliseconds."""
    names = dict.fromkeys(name for steps in costs.steps for name in steps)
    means = {
        name: round(1e3 * float(np.mean([s.get(name, 0.0) for s in costs.steps])), 1)
        for name in names
    }
    totals = {
        "client": round(float(np.mean(costs.client_s)), 4),
        "server": round(float(np.mean(costs.server_s)), 4),
        "wall": round(float(np.mean(costs.wall_s)), 4),
        "rows_read_last": costs.rows_read[-1],
        "peak_mib": round(costs.peak_mib),
    }
    print(json.dumps({"steps_of": title, **totals, "wall_ms": means}), flush=True)
