"""W1F: as W1 with every column filled, 12 blobs of an object included.

The peer's schema has no blobs: ours writes 1,248 bytes more for each object.
"""

from dataclasses import replace

from _driver import arguments, compare, run_on_postgres
from w1 import W1

from l1db_pipeline.schema.config import History

W1F = replace(W1, name="w1f", fill=True)


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__)
    workload = replace(W1F, n_visits=options.visits or W1F.n_visits)
    ours = {history.value: run_on_postgres(workload, history) for history in History}
    compare(workload, options, ours)


if __name__ == "__main__":
    main()
