"""D7: the depth of 15,000 visits of the published runs, on one machine.

10,000 variables and 5,150 noise a visit over 21 fields until each was visited seven
times (147 visits); every object seen before is measured by forced photometry, as
within the scaled 30-day window. The limit is taken in the same run after each of the
last visits: see `_limit`.
"""

import os
from dataclasses import replace

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
from _limit import Limit
from _workload import Workload

from l1db_pipeline.schema.config import History

D7 = Workload(
    name="d7",
    n_fields=21,
    n_visits=147,
    n_variables=10_000,
    n_noise=5150,
    force_all=True,
)
N_LIMITS = 10


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__)
    workload = replace(D7, n_visits=options.visits or D7.n_visits)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with postgres() as server:
        config = config_of(server.url("postgres", "psycopg"), History.PACKED)
        cpu = ServerCpu(server.data)
        n = workload.n_visits
        limit = Limit(range(n - N_LIMITS + 1, n + 1), cpu)
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
    report("d7 written by the last visit", "MiB", limit.written_mib[-1])
    report("d7 chunks read by the last visit", "MiB", limit.read_mib[-1])
    report("d7 peak memory", "MiB", costs.peak_mib)
    if options.steps:
        tail = replace(costs, **{name: getattr(costs, name)[last] for name in (
            "client_s", "server_s", "wall_s", "steps", "rows_read")})  # fmt: skip
        print_steps("d7, last visits", tail)


if __name__ == "__main__":
    main()
