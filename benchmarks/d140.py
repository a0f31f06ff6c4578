"""D140: one field, visited 140 times: what a visit costs at a year's depth.

10,000 variables and 5,150 noise a visit, required columns (``--fill``: all), packed, on
PostgreSQL. Means of ten visits at 3-12, 31-40, 66-75 and 131-140: CPU of client and
server, WAL of the store's own backend and of the whole server, rows read; table sizes
at the end. ``--scale 0.1`` makes the visits smaller, ``--days`` spreads them so that
months close.
"""

import argparse
import json
from datetime import timedelta
from typing import Any

import _workload
import numpy as np
from _driver import ServerCpu, config_of, postgres, run_ours
from _workload import VisitInput, Workload

from l1db_pipeline.schema.config import History
from l1db_pipeline.store.backends.postgres import PostgresDatabase
from l1db_pipeline.store.sql_store import SqlL1Store

DEPTHS = ((3, 12), (31, 40), (66, 75), (131, 140))
_OWN = "SELECT wal_bytes FROM pg_stat_get_backend_wal(pg_backend_pid())"
_ALL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"


class Wal:
    """Counts the WAL that each visit wrote, before and after it."""

    def __init__(self) -> None:
        self.own: list[int] = []
        self.every: list[int] = []
        self.sizes: dict[str, int] = {}

    def __call__(self, store: SqlL1Store, _: VisitInput) -> None:
        """Count after a visit."""
        database: Any = store._database  # noqa: SLF001 - its own connection
        if not isinstance(database, PostgresDatabase):
            return
        connection = database._connection  # noqa: SLF001
        connection.execute("SELECT pg_stat_force_next_flush()")
        for query, counts in ((_OWN, self.own), (_ALL, self.every)):
            row = connection.execute(query.encode()).fetchone()
            counts.append(int(row[0]) if row else 0)
        self.sizes = dict(store.table_bytes())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--visits", type=int, default=140)
    parser.add_argument("--fill", action="store_true")
    parser.add_argument("--days", type=int, default=0, help="between visits")
    options = parser.parse_args()
    if options.days:
        _workload.INTERVAL = timedelta(days=options.days)
    workload = Workload(
        name="d140",
        n_fields=1,
        n_visits=options.visits,
        n_variables=round(10_000 * options.scale),
        n_noise=round(5150 * options.scale),
        fill=options.fill,
    )
    wal = Wal()
    with postgres() as server:
        config = config_of(server.url("postgres", "psycopg"), History.PACKED)
        costs = run_ours(workload, config, ServerCpu(server.data), after=wal)
    own, every = np.diff(wal.own, prepend=0), np.diff(wal.every, prepend=0)
    for first, last in DEPTHS:
        if last > options.visits:
            break
        part = slice(first - 1, last)
        line = {
            "name": f"d140 visits {first}-{last}",
            "cpu_s": round(float(costs.cpu_s[part].mean()), 4),
            "client_s": round(float(np.mean(costs.client_s[part])), 4),
            "wal_own_mb": round(float(own[part].mean()) / 1e6, 3),
            "wal_own_largest_mb": round(float(own[part].max()) / 1e6, 3),
            "wal_all_mb": round(float(every[part].mean()) / 1e6, 3),
            "rows_read": round(float(np.mean(costs.rows_read[part]))),
        }
        steps = {name for of_visit in costs.steps[part] for name in of_visit}
        line |= {
            f"{name} ms": round(
                1e3 * float(np.mean([s.get(name, 0) for s in costs.steps[part]])), 1
            )
            for name in sorted(steps)
        }
        print(json.dumps(line), flush=True)
    sizes = {name: round(n / 1e6, 2) for name, n in wal.sizes.items() if n > 1e5}
    print(json.dumps({"name": "d140 MB of tables", **sizes}), flush=True)


if __name__ == "__main__":
    main()
