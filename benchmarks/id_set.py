"""Which of 300,000 rows belong to 46,000 objects: CPU ms, ours against numpy's.

``peer`` is ``searchsorted`` in the sorted ids and a comparison.
"""

import json
import time
from collections.abc import Callable

import numpy as np

from l1db_pipeline.catalog.id_set import IdSet
from l1db_pipeline.catalog.ids import new_object_ids


def best_ms(work: Callable[[], object], n_repeats: int = 15) -> float:
    """Return the least CPU milliseconds of several calls."""
    costs = []
    for _ in range(n_repeats):
        start = time.process_time()
        work()
        costs.append(time.process_time() - start)
    return min(costs) * 1e3


def main() -> None:
    """Print the cost of one look-up of all rows, the table included."""
    new = [new_object_ids(visit, np.arange(5000, 10150)) for visit in range(8)]
    ids = np.concatenate([np.arange(5000) * 1000, *new])
    rows = np.random.default_rng(1).choice(ids, 300_000)
    ordered = np.sort(ids)
    ours = best_ms(lambda: IdSet(ids).holds(rows))
    peer = best_ms(lambda: ordered[np.searchsorted(ordered, rows)] == rows)
    figure = {
        "name": "id_set_300k_of_46k",
        "unit": "CPU ms",
        "ours": round(ours, 2),
        "peer": round(peer, 2),
        "ratio": round(peer / ours, 1),
    }
    print(json.dumps(figure))


if __name__ == "__main__":
    main()
