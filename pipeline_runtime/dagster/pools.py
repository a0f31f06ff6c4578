"""Concurrency pools: what may not run at once, whoever launched it.

Every pool lets one step through at a time (`default_limit` of the instance), so that
one writer alone has the L1 database even if several runs were launched by hand.
Simulations take one of several pools: as many as the machine's memory allows.
"""

import os
from collections.abc import Mapping

from pipeline_runtime.environment import count_of

__all__ = ["ARCHIVE", "L1DB", "VISITS", "scheduler_pool", "scheduler_slots"]

ARCHIVE = "archive"
L1DB = "l1db"
VISITS = "visits"
"""The list of visit partitions: registered and pruned by one night at a time."""
_SIMULATION_BYTES = 3e9


def scheduler_slots(environ: Mapping[str, str] = os.environ) -> int:
    """Return how many simulations may run at once, at least 1.

    ``$SCHEDULER_SLOTS``; else as many as there are processors, 3 GB of memory each.
    """
    if asked := count_of("SCHEDULER_SLOTS", environ):
        return asked
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, int(memory / _SIMULATION_BYTES)))


def scheduler_pool(order: int, n_slots: int) -> str:
    """Return the pool of a variant by its place in the variants file."""
    return f"scheduler_{order % n_slots}"
