"""`L1Apdb` against ApdbSql with today's schema: CPU of client and server.

First 10,000 rows a table, stored and read; ``peer`` is ApdbSql. Then updates by day of
`L1Apdb` on PostgreSQL: 100 rows of each kind at 40,000 sources stored, and 100,000
sources withdrawn in one call.
"""

import argparse
import tempfile
import time
from collections.abc import Callable

import astropy.time
import numpy as np
import pandas as pd
from _driver import ServerCpu, postgres, report
from felis.datamodel import DataType
from lsst.dax.apdb import Apdb, DiaForcedSourceId, DiaObjectId, DiaSourceId
from lsst.dax.apdb.apdbSchema import ApdbSchema, ApdbTables
from lsst.dax.apdb.sql import ApdbSql
from lsst.sphgeom import Angle, Circle, LonLat, UnitVector3d

from l1db_pipeline.apdb.apdb import L1Apdb
from l1db_pipeline.apdb.registration import register

SCHEMA = "resource://lsst.sdm.schemas/apdb.yaml"
N_ROWS = 10_000
CENTRE = LonLat.fromDegrees(30.0, -20.0)
FIELD = Circle(UnitVector3d(CENTRE), Angle.fromDegrees(1.8))
START = astropy.time.Time("2026-11-01T03:00:00", format="isot", scale="tai")
Frames = tuple[astropy.time.Time, pd.DataFrame, pd.DataFrame, pd.DataFrame]
Cpu = Callable[[], float]


def visit_time(number: int) -> astropy.time.Time:
    """Return the time of a visit."""
    return START + astropy.time.TimeDelta(40.0 * number, format="sec")


class Visits:
    """Visits of the same objects, every column filled."""

    def __init__(self) -> None:
        self._schema = ApdbSchema(SCHEMA, "")
        rng = np.random.default_rng(1)
        radius = np.sqrt(rng.uniform(0, 1.6**2, N_ROWS))
        angle = rng.uniform(0, 2 * np.pi, N_ROWS)
        self._dec = -20 + radius * np.sin(angle)
        self._ra = 30 + radius * np.cos(angle) / np.cos(np.radians(20))
        self.ids = np.arange(1, N_ROWS + 1)
        self._rng = rng

    def visit(self, number: int) -> Frames:
        """Return what is stored of a visit."""
        time_tai = visit_time(number)
        midpoint = np.full(N_ROWS, time_tai.mjd)
        numbers = self.ids + number * N_ROWS
        given = {
            "ra": self._ra,
            "dec": self._dec,
            "diaObjectId": self.ids,
            "diaSourceId": numbers,
            "diaForcedSourceId": numbers,
            "visit": np.full(N_ROWS, 2026110100000 + number),
            "detector": np.full(N_ROWS, 1, dtype=np.int16),
            "midpointMjdTai": midpoint,
            "timeProcessedMjdTai": midpoint,
            "timeWithdrawnMjdTai": np.full(N_ROWS, np.nan),
            "ssObjectId": pd.Series([None] * N_ROWS, dtype="Int64"),
        }
        tables = (
            ApdbTables.DiaObject,
            ApdbTables.DiaSource,
            ApdbTables.DiaForcedSource,
        )
        objects, sources, forced = (self._frame(name, given) for name in tables)
        return time_tai, objects, sources, forced

    def _frame(self, table: ApdbTables, given: dict[str, object]) -> pd.DataFrame:
        columns = {}
        for column in self._schema.tableSchemas[table].columns:
            if not column.name.startswith("validity"):
                columns[column.name] = given.get(
                    column.name, self._values(column.datatype)
                )
        return pd.DataFrame(columns)

    def _values(self, kind: object) -> object:
        if kind in {DataType.double, DataType.float}:
            return self._rng.normal(size=N_ROWS)
        if kind is DataType.boolean:
            return self._rng.random(N_ROWS) < 0.5
        if kind in {DataType.long, DataType.int, DataType.short, DataType.byte}:
            return self._rng.integers(0, 100, N_ROWS)
        return ["a"] * N_ROWS


def cost(work: Callable[[], object], cpu: Cpu) -> float:
    """Return the CPU seconds of a call, client and server."""
    before = cpu()
    work()
    return cpu() - before


def store_and_read(apdb: Apdb, visits: Visits, cpu: Cpu) -> dict[str, float]:
    """Return the costs of the second visit's store, and of reads after it."""
    apdb.store(*visits.visit(0))
    second = visits.visit(1)
    ids = visits.ids.tolist()
    later = visit_time(2)
    return {
        "store": cost(lambda: apdb.store(*second), cpu),
        "read objects": cost(lambda: apdb.getDiaObjects(FIELD), cpu),
        "read sources": cost(lambda: apdb.getDiaSources(FIELD, ids, later), cpu),
        "read forced": cost(lambda: apdb.getDiaForcedSources(FIELD, ids, later), cpu),
    }


def update(apdb: L1Apdb, visits: Visits, cpu: Cpu) -> None:
    """Report the costs of updates."""
    for number in range(2, 4):
        apdb.store(*visits.visit(number))
    _, objects, sources, forced = visits.visit(3)
    found = [DiaSourceId.from_named_tuple(row) for row in sources[:300].itertuples()]
    held = [
        DiaForcedSourceId.from_named_tuple(row) for row in forced[:100].itertuples()
    ]
    old = [DiaObjectId.from_named_tuple(row) for row in objects[-100:].itertuples()]
    kinds: dict[str, Callable[[], object]] = {
        "move": lambda: apdb.reassignDiaSourcesToDiaObjects(
            {source: 5000 + n for n, source in enumerate(found[:100])}
        ),
        "withdraw": lambda: apdb.withdrawDiaSources(found[100:200]),
        "withdraw forced": lambda: apdb.withdrawDiaForcedSources(held),
        "to the solar system": lambda: apdb.reassignDiaSources(
            {source.diaSourceId: 7 for source in found[200:]}
        ),
        "close": lambda: apdb.setValidityEnd(old, visit_time(9)),
    }
    for kind, work in kinds.items():
        spent = cost(work, cpu)
        report(f"apdb 100 rows {kind}", "CPU s at 40,000 stored", spent, limit=0.1)
    every = []
    for number in range(4, 14):
        unit = visits.visit(number)
        apdb.store(*unit)
        every += [DiaSourceId.from_named_tuple(row) for row in unit[2].itertuples()]
    spent = cost(lambda: apdb.withdrawDiaSources(every), cpu)
    report(f"apdb {len(every)} rows withdraw", "CPU s", spent, limit=5.0)


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-peer", action="store_true", help="only our figures")
    is_alone = parser.parse_args().no_peer
    register()
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        names = ("ours", "peer")
        server.create_databases(names)
        server_cpu = ServerCpu(server.data)
        visits = Visits()

        def cpu() -> float:
            return time.process_time() + server_cpu()

        urls = {
            "postgresql": [
                server.url(names[0], "psycopg"),
                server.url(names[1], "psycopg2"),  # ApdbSql gives NULLs no type
            ],
            "sqlite": [f"sqlite:///{folder}/{name}.db" for name in names],
        }
        for backend, (own, other) in urls.items():
            made = L1Apdb.init_database(own, schema_file=SCHEMA, ss_schema_file="")
            ours = L1Apdb(made)
            costs = store_and_read(ours, visits, cpu)
            peers: dict[str, float] = {}
            if not is_alone:
                config = ApdbSql.init_database(
                    other, schema_file=SCHEMA, ss_schema_file=""
                )
                peers = store_and_read(Apdb.from_config(config), visits, cpu)
            for step, spent in costs.items():
                more = {"peer": peers[step]} if peers else {}
                report(f"apdb {backend} {step}", "CPU s, 10,000 rows", spent, **more)
            total = {"peer": sum(peers.values())} if peers else {}
            report(f"apdb {backend}", "CPU s", sum(costs.values()), **total)
            if backend == "postgresql":
                update(ours, visits, cpu)


if __name__ == "__main__":
    main()
