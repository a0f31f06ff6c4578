"""W1F: as W1 with every column filled, 12 blobs of an object included; 4 visits.

The peer's schema has no blobs: ours writes 1,248 bytes more for each object.
"""

from dataclasses import replace

from _driver import arguments, compare, run_on_postgres
from _workload import Workload

from l1db_pipeline.config import History

W1F = Workload(
    name="w1f", n_fields=1, n_visits=4, n_variables=5000, n_noise=5150, fill=True
)


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__)
    workload = replace(W1F, n_visits=options.visits or W1F.n_visits)
    ours = {history.value: run_on_postgres(workload, history) for history in History}
    compare(workload, options, ours)


if __name__ == "__main__":
    main()
