"""Retention: months of visits, of which a window is kept.

Each month has some visits of one field, packed, on PostgreSQL. After each month those
expire that are older than the window, then the tables are vacuumed, as a nightly job
does. A line a month: CPU of a visit and of its reads, size of the tables, and what the
expiry took. The last line compares the last months with those when the window was full.
Current objects never expire, nor does the last version of each: ``--noise`` is how many
objects a visit makes, at scale 1, and with 0 no table has a reason to grow.
"""

import argparse
import json
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import _workload
import numpy as np
from _driver import ServerCpu, config_of, postgres, run_ours
from _workload import VisitInput, Workload

from l1db_pipeline.schema.config import History
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.retention import expire_months

_MONTH = timedelta(days=365.25 / 12)


class Months:
    """Lets months expire, and notes what each took."""

    def __init__(self, cpu: ServerCpu, keep: int) -> None:
        self._cpu = cpu
        self._keep = keep
        self._month: tuple[int, int] | None = None
        self.lines: list[dict[str, float]] = []
        self.n_visits: list[int] = []

    def __call__(self, store: L1Store, visit: VisitInput) -> None:
        """Close the month before that of a visit, if it is the first of its own."""
        month = visit.key.time.year, visit.key.time.month
        if self._month is not None and month != self._month:
            self.close(store, visit.key.time)
        self._month = month
        self.n_visits.append(len(self.lines))

    def close(self, store: L1Store, now: datetime) -> None:
        """Expire and vacuum."""
        client, server, wall = time.process_time(), self._cpu(), time.perf_counter()
        plan = expire_months(store, keep=self._keep)
        line = {
            "expired": len(plan.months),
            "expire_wall_s": time.perf_counter() - wall,
            "expire_cpu_s": time.process_time() - client + self._cpu() - server,
        }
        server = self._cpu()
        store.merge_nightly()
        line["vacuum_cpu_s"] = self._cpu() - server
        sizes = store.table_bytes()
        line["table_mb"] = sum(sizes.values()) / 1e6
        line["history_mb"] = sum(n for t, n in sizes.items() if "Source" in t) / 1e6
        line["rows"] = sum(month.n_rows for month in store.months())
        line["year"], line["month"] = now.year, now.month
        self.lines.append(line)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--keep", type=int, default=12)
    parser.add_argument("--visits", type=int, default=12, help="a month")
    parser.add_argument("--noise", type=int, default=5150)
    options = parser.parse_args()
    _workload.INTERVAL = _MONTH / options.visits
    workload = Workload(
        name="retention",
        n_fields=1,
        n_visits=options.months * options.visits + 1,
        n_variables=round(10_000 * options.scale),
        n_noise=round(options.noise * options.scale),
    )
    with postgres() as server:
        n_read = min(options.keep, 12)
        config = config_of(
            server.url("postgres", "psycopg"),
            History.PACKED,
            read_sources_months=n_read,
            read_forced_sources_months=n_read,
        )
        cpu = ServerCpu(server.data)
        months = Months(cpu, options.keep)
        costs = run_ours(workload, config, cpu, after=months)
    of_visit = np.array(months.n_visits)
    for number, line in enumerate(months.lines):
        chosen = np.flatnonzero(of_visit == number)
        reads = [_reads(costs.steps[visit]) for visit in chosen]
        line["visit_cpu_s"] = _mean([costs.cpu_s[visit] for visit in chosen])
        line["reads_wall_s"] = _mean(reads)
        line["rows_read"] = _mean([costs.rows_read[visit] for visit in chosen])
        rounded = {name: round(value, 4) for name, value in line.items()}
        print(json.dumps({"name": "retention month", **rounded}), flush=True)
    _compare(months.lines, options.keep)


def _compare(lines: Sequence[dict[str, float]], keep: int) -> None:
    """Print the last three months beside the first three of a full window."""
    full, last = lines[keep : keep + 3], lines[-3:]
    names = ("table_mb", "history_mb", "visit_cpu_s", "reads_wall_s", "rows_read")
    ratios = {
        name: _mean([line[name] for line in last]) / _mean([m[name] for m in full])
        for name in names
    }
    slowest = max(line["expire_wall_s"] for line in lines)
    rounded = {name: round(ratio, 3) for name, ratio in ratios.items()}
    print(
        json.dumps(
            {
                "name": "retention last / first full window",
                **rounded,
                "slowest_expiry_wall_s": round(slowest, 3),
            }
        ),
        flush=True,
    )


def _reads(steps: dict[str, float]) -> float:
    return sum(spent for step, spent in steps.items() if step.endswith(" select"))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


if __name__ == "__main__":
    main()
