"""W0: small visits, 500 variables and 500 noise, 4 fields, 100 visits.

On PostgreSQL with default settings and on SQLite, against lsst-dax-apdb on the same.
"""

from dataclasses import replace

from _driver import arguments, compare, run_on_postgres, run_on_sqlite
from _workload import Workload

from l1db_pipeline.schema.config import History

W0 = Workload(name="w0", n_fields=4, n_visits=100, n_variables=500, n_noise=500)


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__)
    workload = replace(W0, n_visits=options.visits or W0.n_visits)
    ours = {history.value: run_on_postgres(workload, history) for history in History}
    compare(workload, options, ours)
    ours = {history.value: run_on_sqlite(workload, history) for history in History}
    compare(workload, options, ours, backend="sqlite")


if __name__ == "__main__":
    main()
