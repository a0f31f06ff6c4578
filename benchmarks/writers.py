"""Pairs of overlapping visits on many processes: duplicate objects, waits, cost.

Both visits of a pair see the same field and begin together. Printed are the objects
beside those of a serial run, pairs of objects within the match radius beside its
own, how often was read again, how long a store took and how long its cells were
waited for and held, CPU and WAL of a unit, and what `verify` finds. ``--unsafe``
stores without tokens, as if nobody else were there. ``--check`` prints instead what
tokens and claims cost: each unit is stored in two databases in turn, one of them
without cells.

    python benchmarks/writers.py --pairs 1000 --processes 16
    python benchmarks/writers.py --pairs 100 --check
"""

import argparse
import json
import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg
from _driver import ServerCpu, config_of, postgres
from lsst.sphgeom import Region
from scipy.spatial import KDTree
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import History, L1dbConfig
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sources.dia import SimulatedSources
from l1db_pipeline.sources.generators import rand_cone_xyz
from l1db_pipeline.store.cells import Cells
from l1db_pipeline.store.errors import StaleReadError
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.token import CellClaim, ReadToken
from l1db_pipeline.visit.association import Detections, detections_of
from l1db_pipeline.visit.process import (
    MatchMode,
    Visit,
    VisitOptions,
    field_of_view,
    prepare_visit,
)
from pipeline_runtime.postgres import EmbeddedPostgres

_START = datetime(2026, 1, 1, tzinfo=UTC)
_FIELD_DEG = 0.3
_N_VARIABLES, _N_NOISE = 30, 5
_SEEN, _SCATTER_ARCSEC = 0.8, 0.12
_OPTIONS = VisitOptions(match=MatchMode.POSITION)
_CONTEXT = multiprocessing.get_context("fork")
_NOTHING = np.empty(0, dtype=np.int64)
_Cells = TypeVar("_Cells", bound=Cells)


@dataclass(frozen=True, slots=True)
class _Job:
    visit: Visit
    detections: Detections


def main() -> None:
    """Run the pairs, serially and on the processes, and print a line of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=250)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--history", type=History, default=History.PACKED)
    parser.add_argument("--unsafe", action="store_true", help="store without tokens")
    parser.add_argument(
        "--check", action="store_true", help="only the cost of the check"
    )
    arguments = parser.parse_args()
    jobs = list(_jobs(arguments.pairs))
    with postgres() as server:
        if arguments.check:
            for line in _cost_of_check(server, arguments.history, jobs):
                print(json.dumps(line), flush=True)
            return
        lines = []
        for name, n in (("serial", 1), ("together", arguments.processes)):
            config = _new_database(server, name, arguments.history)
            is_safe = n == 1 or not arguments.unsafe
            line = {"run": name, "processes": n}
            line |= _run(server, config, jobs, n, is_safe=is_safe)
            print(json.dumps(line), flush=True)
            lines.append(line)
        print(json.dumps({"more than the serial run": {
            name: lines[1][name] - lines[0][name]
            for name in ("objects", "pairs within the radius", "sources")
        }}))  # fmt: skip


def _jobs(n_pairs: int) -> Iterator[_Job]:
    for pair in range(n_pairs):
        rng = np.random.default_rng((5, pair))
        centre = rng.normal(size=3)
        centre /= np.linalg.norm(centre)
        angle = math.radians(_FIELD_DEG * 1.05)
        variables = rand_cone_xyz(
            centre, angle, _N_VARIABLES, np.random.default_rng((7, pair))
        )
        for number in range(2 * pair + 1, 2 * pair + 3):
            rng = np.random.default_rng((3, number))
            scatter = math.radians(_SCATTER_ARCSEC / 3600)
            xyz = variables + rng.normal(0, scatter, variables.shape)
            xyz /= np.linalg.norm(xyz, axis=1)[:, None]
            noise = rand_cone_xyz(
                centre, angle, _N_NOISE, np.random.default_rng((9, number))
            )
            xyz = np.concatenate([xyz[rng.random(len(xyz)) < _SEEN], noise])
            sources = SimulatedSources(
                xyz=xyz, catalog_rows=np.full(len(xyz), -1), columns={}
            )
            visit = Visit(
                visit_id=number,
                time=_START + timedelta(seconds=40 * number),
                centre=centre,
                open_angle_deg=_FIELD_DEG,
            )
            yield _Job(visit, detections_of(sources))


def _new_database(server: EmbeddedPostgres, name: str, history: History) -> L1dbConfig:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    config = config_of(server.url(name, "psycopg"), history, read_full_objects=False)
    with closing(open_sql_store(config)) as store:
        store.create_schema()
        store.put_setting("run.match", _OPTIONS.match.value)
        store.put_setting("run.match_radius_arcsec", str(_OPTIONS.match_radius_arcsec))
    return config


def _run(
    server: EmbeddedPostgres,
    config: L1dbConfig,
    jobs: Sequence[_Job],
    n_processes: int,
    *,
    is_safe: bool,
) -> dict[str, Any]:
    cpu, position = ServerCpu(server.data), _wal_position(server)
    before = cpu(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        counter, start = _CONTEXT.Value("l", 0), _CONTEXT.Barrier(n_processes)

        def work(number: int) -> None:
            found = []
            with closing(open_sql_store(config)) as store:
                cells = _with_cells(store, _TimedCells)
                start.wait()
                while True:
                    with counter.get_lock():
                        place = counter.value
                        counter.value += 1
                    if place >= len(jobs):
                        break
                    unit = _process(store, jobs[place], is_safe=is_safe)
                    found.append(unit | {"held_s": cells.held_s})
            Path(folder, f"{number}.json").write_text(json.dumps(found))

        processes = [
            _CONTEXT.Process(target=work, args=(n,)) for n in range(n_processes)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert not any(process.exitcode for process in processes)
        units = [u for p in Path(folder).iterdir() for u in json.loads(p.read_text())]
    after = cpu(), resource.getrusage(resource.RUSAGE_CHILDREN)
    client = sum(
        getattr(after[1], name) - getattr(before[1], name)
        for name in ("ru_utime", "ru_stime")
    )
    stores, held = (
        np.array([unit[name] for unit in units]) * 1e3 for name in ("store_s", "held_s")
    )
    line = {
        "units": len(units),
        "read again": sum(unit["again"] for unit in units),
        "store ms p50, p99": np.percentile(stores, [50, 99]).round(1).tolist(),
        "cells waited for and held, to the end of COMMIT, ms p50, p99": (
            np.percentile(held, [50, 99]).round(1).tolist()
        ),
        "CPU ms a unit": round((client + after[0] - before[0]) / len(units) * 1e3, 2),
        "WAL kB a unit": round(
            (_wal_position(server) - position) / len(units) / 1024, 1
        ),
    }
    with closing(open_sql_store(config)) as store:
        return line | _judged(store)


class _TimedCells(Cells):
    """Cells that say how long the claim of the last store took, COMMIT included."""

    held_s = 0.0

    @override
    def note(self, claim: CellClaim) -> None:
        begin = time.perf_counter()
        super().note(claim)
        self.held_s = time.perf_counter() - begin


class _NoCells(Cells):
    """Cells of a store that is alone: nothing is seen, compared or raised."""

    @override
    def token(self, database_id: str, visit_id: int, region: Region) -> ReadToken:
        return ReadToken(database_id, visit_id, _NOTHING, _NOTHING)

    @override
    def claim(
        self, visit_id: int, token: ReadToken | None, written: Sequence[Catalog]
    ) -> CellClaim:
        return CellClaim(visit_id, _NOTHING, _NOTHING)

    @override
    def note(self, claim: CellClaim) -> None:
        """Leave the COMMIT to the transaction."""


def _with_cells(store: SqlL1Store, kind: type[_Cells]) -> _Cells:
    store.stored_tiles(0)  # looks at the database, and binds its tables
    tables, level = store.layout.cells, store.config.cell_level
    cells = store._cells = kind(store._database, tables, level)  # noqa: SLF001 - measured from within
    return cells


def _cost_of_check(
    server: EmbeddedPostgres, history: History, jobs: Sequence[_Job]
) -> Iterator[dict[str, Any]]:
    names = {"checked": Cells, "alone": _NoCells}
    cpu = ServerCpu(server.data)
    sums = {name: np.zeros(3) for name in names}
    with ExitStack() as stack:
        stores = {}
        for name, kind in names.items():
            config = _new_database(server, name, history)
            stores[name] = stack.enter_context(closing(open_sql_store(config)))
            _with_cells(stores[name], kind)
        for number, job in enumerate(jobs):
            for name in sorted(stores, reverse=bool(number % 2)):
                before = time.process_time(), cpu(), _wal_position(server)
                _process(stores[name], job, is_safe=True)
                after = time.process_time(), cpu(), _wal_position(server)
                sums[name] += np.subtract(after, before)
    for name, total in sums.items():
        client, at_server, wal = total / len(jobs)
        yield {
            "run": name,
            "units": len(jobs),
            "client CPU ms a unit": round(client * 1e3, 2),
            "server CPU ms a unit": round(at_server * 1e3, 2),
            "WAL kB a unit": round(wal / 1024, 2),
        }


def _process(store: SqlL1Store, job: _Job, *, is_safe: bool) -> dict[str, float]:
    area = field_of_view(job.visit, margin_deg=_OPTIONS.margin_deg)
    schema, again = load_schema(), 0
    while True:
        prepared = prepare_visit(
            store,
            job.visit,
            job.detections,
            area=area,
            options=_OPTIONS,
            schema=schema,
        )
        begin = time.perf_counter()
        token = prepared.token if is_safe else None
        try:
            store.store_visit(prepared.key, prepared.records, token)
        except StaleReadError:
            again += 1
            continue
        return {"again": again, "store_s": time.perf_counter() - begin}


def _judged(store: SqlL1Store) -> dict[str, Any]:
    counts = store.row_counts()
    with store._reading():  # noqa: SLF001 - all objects, wherever they are
        rows = store._objects.read_versions([], ["diaObjectId", "ra", "decl"])  # noqa: SLF001
    _, first = np.unique(rows["diaObjectId"], return_index=True)
    tree = KDTree(radec_to_xyz(rows["ra"][first], rows["decl"][first]))
    radius = math.radians(_OPTIONS.match_radius_arcsec / 3600)
    findings = store.verify()
    return {
        "objects": len(first),
        "pairs within the radius": len(tree.query_pairs(radius)),
        "sources": counts["DiaSource"],
        "duplicates by verify": sum(f.invariant == "duplicate" for f in findings),
        "other findings": [str(f) for f in findings if f.invariant != "duplicate"][:3],
    }


def _wal_position(server: EmbeddedPostgres) -> int:
    with psycopg.connect(server.dsn()) as connection:
        row = connection.execute(
            "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
        ).fetchone()
    return int(row[0]) if row else 0


if __name__ == "__main__":
    main()
