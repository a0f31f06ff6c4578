"""W1: full fields of view, required columns only, against lsst-dax-apdb.

5,000 variables and 5,150 noise sources a visit, 3 fields, 30 visits,
``last_object_table``, on PostgreSQL with default settings.
"""

from dataclasses import replace

from _driver import arguments, compare, run_on_postgres
from _workload import Workload

from l1db_pipeline.schema.config import History

W1 = Workload(name="w1", n_fields=3, n_visits=30, n_variables=5000, n_noise=5150)


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__)
    workload = replace(W1, n_visits=options.visits or W1.n_visits)
    ours = {history.value: run_on_postgres(workload, history) for history in History}
    compare(workload, options, ours)


if __name__ == "__main__":
    main()
