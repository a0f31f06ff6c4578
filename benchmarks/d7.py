"""D7: the depth of 15,000 visits of the published runs, on one machine.

10,000 variables and 5,150 noise a visit over 21 fields until each was visited seven
times (147 visits); every object seen before is measured by forced photometry, as
within the scaled 30-day window. The limit is taken in the same run after each of the
last visits: COPY of the bytes that the visit wrote into bare tables (no key, no
index), and numpy.fromfile of the bytes of history that it read.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from _driver import (
    ServerCpu,
    arguments,
    config_of,
    postgres,
    print_steps,
    report,
    run_ours,
)
from _workload import VisitInput, Workload
from psycopg import sql

from l1db_pipeline.schema.config import History
from l1db_pipeline.store.backends.database import Condition, Op
from l1db_pipeline.store.backends.pgbinary import copy_payload
from l1db_pipeline.store.backends.postgres import PostgresDatabase
from l1db_pipeline.store.sql_store import SqlL1Store
from visit_tables.time_scales import utc64

D7 = Workload(
    name="d7",
    n_fields=21,
    n_visits=147,
    n_variables=10_000,
    n_noise=5150,
    force_all=True,
)
N_LIMITS = 10


class Limit:
    """Takes the limit of visits: bare COPY and reading a file."""

    def __init__(self, workload: Workload, cpu: ServerCpu) -> None:
        self._from_visit = workload.n_visits - N_LIMITS + 1
        self._cpu = cpu
        self.wall_s: list[float] = []
        self.cpu_s: list[float] = []
        self.written_mib = 0.0
        self.read_mib = 0.0

    def __call__(self, store: SqlL1Store, visit: VisitInput) -> None:
        """Take the limit of the visit that was just stored."""
        if visit.key.visit_id < self._from_visit:
            return
        database = store._database  # noqa: SLF001 - the same connection, bare tables
        if not isinstance(database, PostgresDatabase):
            return
        connection = database._connection  # noqa: SLF001
        jobs = list(_payloads(store, database, visit))
        for name, columns, _ in jobs:
            connection.execute(
                sql.SQL("CREATE TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
                    sql.Identifier(f"bare_{name}"), columns, sql.Identifier(name)
                )
            )
        self.written_mib = sum(len(raw) for _, _, raw in jobs) / 2**20
        history = _history_bytes(store, database, visit)
        self.read_mib = len(history) / 2**20
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "history"
            path.write_bytes(history)
            server, client = self._cpu(), time.process_time()
            wall = time.perf_counter()
            connection.execute("BEGIN")
            for name, columns, raw in jobs:
                query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
                    sql.Identifier(f"bare_{name}"), columns
                )
                with connection.cursor().copy(query) as copy:
                    for start in range(0, len(raw), 1 << 22):
                        copy.write(raw[start : start + (1 << 22)])
            connection.execute("COMMIT")
            np.fromfile(path, dtype=np.uint8)
            self.wall_s.append(time.perf_counter() - wall)
            self.cpu_s.append(time.process_time() - client + self._cpu() - server)
        for name, _, _ in jobs:
            connection.execute(
                sql.SQL("DROP TABLE {}").format(sql.Identifier(f"bare_{name}"))
            )


def _payloads(
    store: SqlL1Store, database: PostgresDatabase, visit: VisitInput
) -> Iterator[tuple[str, sql.Composed, bytes]]:
    """Yield table, columns and COPY payload of all that a visit wrote."""
    layout = store.layout
    visit_id = visit.key.visit_id
    written = [(layout.objects, "l1VisitId"), (layout.last, "l1VisitId"),
               (layout.sources, "l1VisitId"), (layout.forced, "l1VisitId"),
               (layout.packed_sources, "visitId"),
               (layout.packed_forced, "visitId")]  # fmt: skip
    if layout.packed_last is not None:
        written += [(layout.packed_last.chunks, "lastTime")]
    for table, key in written:
        if table is None:
            continue
        names = store._filled.filled(table, table.names)  # noqa: SLF001
        value = utc64(visit.key.time) if key == "lastTime" else visit_id
        where = [Condition(key, Op.EQUAL, value)]
        rows = database.select(table, names if "l1" in key else table.names, where)
        columns = [table.column(name) for name in rows.names]
        raw = b"".join(bytes(block) for block in copy_payload(columns, rows))
        quoted = sql.SQL(", ").join(sql.Identifier(c.sql_name) for c in columns)
        yield table.name, quoted, raw


def _history_bytes(
    store: SqlL1Store, database: PostgresDatabase, visit: VisitInput
) -> bytes:
    """Return the chunks that the visit's reads were served from."""
    found = store._objects.read_current(visit.region, ["diaObjectId"])  # noqa: SLF001
    homes, _ = store._objects.home_pixels_of(found["diaObjectId"])  # noqa: SLF001
    parts = []
    for packed in (store.layout.packed_sources, store.layout.packed_forced):
        if packed is not None:
            where = [Condition("pixel", Op.ONE_OF, np.unique(homes))]
            parts += database.select(packed, ["data"], where)["data"].tolist()
    return b"".join(parts)


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__)
    workload = replace(D7, n_visits=options.visits or D7.n_visits)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with postgres() as server:
        config = config_of(server.url("postgres", "psycopg"), History.PACKED)
        cpu = ServerCpu(server.data)
        limit = Limit(workload, cpu)
        costs = run_ours(workload, config, cpu, after=limit)
    last = slice(-len(limit.wall_s), None)
    report(
        "d7 packed wall",
        "s a visit, last visits",
        float(np.median(costs.wall_s[last])),
        limit=float(np.median(limit.wall_s)),
    )
    report(
        "d7 packed CPU",
        "CPU s a visit, client + server, last visits",
        float(np.mean(costs.cpu_s[last])),
        limit=float(np.mean(limit.cpu_s)),
    )
    report("d7 rows read in the last visit", "rows", costs.rows_read[-1])
    report("d7 written by the last visit", "MiB", limit.written_mib)
    report("d7 history read by the last visit", "MiB", limit.read_mib)
    report("d7 peak memory", "MiB", costs.peak_mib)
    if options.steps:
        tail = replace(costs, **{name: getattr(costs, name)[last] for name in (
            "client_s", "server_s", "wall_s", "steps", "rows_read")})  # fmt: skip
        print_steps("d7, last visits", tail)


if __name__ == "__main__":
    main()
