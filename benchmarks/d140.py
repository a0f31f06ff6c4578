"""D140: one field, visited 140 times: what a visit costs at a year's depth.

10,000 variables and 5,150 noise a visit, required columns (``--fill``: all), packed, on
PostgreSQL. Means of ten visits at 3-12, 31-40, 66-75 and 131-140: CPU of client and
server, wall, WAL of the store's own backend and of the whole server, rows and bytes
read, the limit (see `_limit`) and each step; table sizes at the end. ``--scale 0.1``
makes the visits smaller, ``--days`` spreads them so that months close.
"""

import argparse
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import _workload
import numpy as np
from _driver import ServerCpu, config_of, postgres, run_ours
from _limit import Limit
from _workload import Costs, VisitInput, Workload

from l1db_pipeline.schema.config import History
from l1db_pipeline.store.backends.postgres import PostgresDatabase
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.sql_store import SqlL1Store

DEPTHS = ((3, 12), (31, 40), (66, 75), (131, 140))
_OWN = b"SELECT wal_bytes FROM pg_stat_get_backend_wal(pg_backend_pid())"
_ALL = b"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"


class Meter:
    """Counts the WAL that each visit wrote, then takes its limit."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.own: list[int] = []
        self.every: list[int] = []
        self.sizes: dict[str, int] = {}
        self._start = (0, 0)

    def __call__(self, store: L1Store, visit: VisitInput) -> None:
        """Count after a visit."""
        if not isinstance(store, SqlL1Store):
            return
        database: Any = store._database  # noqa: SLF001 - its own connection
        if not isinstance(database, PostgresDatabase):
            return
        own, every = _wal(database)
        self.own.append(own - self._start[0])
        self.every.append(every - self._start[1])
        self.sizes = dict(store.table_bytes())
        self.limit(store, visit)
        self._start = _wal(database)


def _wal(database: PostgresDatabase) -> tuple[int, int]:
    connection = database._connection  # noqa: SLF001 - its own connection
    connection.execute("SELECT pg_stat_force_next_flush()")
    rows = [connection.execute(query).fetchone() for query in (_OWN, _ALL)]
    own, every = (int(row[0]) if row else 0 for row in rows)
    return own, every


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
    depths = [(first, min(last, options.visits)) for first, last in DEPTHS
              if first <= options.visits]  # fmt: skip
    chosen = {v for first, last in depths for v in range(first, last + 1)}
    with postgres() as server:
        config = config_of(server.url("postgres", "psycopg"), History.PACKED)
        cpu = ServerCpu(server.data)
        meter = Meter(Limit(chosen, cpu))
        costs = run_ours(workload, config, cpu, after=meter)
    for first, last in depths:
        line = _figures(slice(first - 1, last), costs, meter)
        print(json.dumps({"name": f"d140 visits {first}-{last}", **line}), flush=True)
    sizes = {name: round(n / 1e6, 2) for name, n in meter.sizes.items() if n > 1e5}
    print(json.dumps({"name": "d140 MB of tables", **sizes}), flush=True)


def _figures(part: slice, costs: Costs, meter: Meter) -> dict[str, float]:
    limit = meter.limit
    of_part = [place for place, visit in enumerate(limit.visits)
               if part.start < visit <= part.stop]  # fmt: skip
    cpu = float(costs.cpu_s[part].mean())
    least = float(np.mean([limit.cpu_s[place] for place in of_part]))
    steps = {name for of_visit in costs.steps[part] for name in of_visit}
    return {
        "cpu_s": round(cpu, 4),
        "client_s": _mean(costs.client_s[part]),
        "wall_s": _mean(costs.wall_s[part]),
        "limit_cpu_s": round(least, 4),
        "times_limit": round(cpu / least, 2),
        "wal_own_mb": _mean(meter.own[part], 1e6),
        "wal_own_largest_mb": round(max(meter.own[part]) / 1e6, 3),
        "wal_all_mb": _mean(meter.every[part], 1e6),
        "rows_read": round(float(np.mean(costs.rows_read[part]))),
        "chunks_read_mib": _mean([limit.read_mib[place] for place in of_part]),
        **{
            f"{name} ms": _mean([s.get(name, 0) for s in costs.steps[part]], 1e-3)
            for name in sorted(steps)
        },
    }


def _mean(values: Sequence[float], unit: float = 1.0) -> float:
    return round(float(np.mean(values)) / unit, 4)


if __name__ == "__main__":
    main()
