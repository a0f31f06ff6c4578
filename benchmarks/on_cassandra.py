"""W1 and W0 on Apache Cassandra: CPU of client and nodes; digests against SQLite's.

Ten visits of W1, thirty of W0, on new nodes on loopback: one, or three with three
replicas. They need Java 17 and Maven.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from _driver import GROWTH, config_of, report, run_ours
from _workload import Workload
from w0 import W0
from w1 import W1

from l1db_pipeline.schema.config import History, L1dbConfig
from l1db_pipeline.store.open import open_store
from pipeline_runtime.cassandra import TrialCassandra

_LEVEL = 5  # one process a visit


@contextmanager
def trial(n_nodes: int) -> Iterator[TrialCassandra]:
    """Run new nodes."""
    with tempfile.TemporaryDirectory(prefix="l1db-bench-") as folder:
        servers = TrialCassandra(Path(folder) / "home" / "cassandra")
        servers.start(n_nodes)
        try:
            yield servers
        finally:
            servers.stop()


def nodes_cpu_s(servers: TrialCassandra) -> float:
    """Return the CPU seconds of all nodes so far."""
    found = [process for node in servers.nodes if (process := node.process())]
    return sum(p.cpu_times().user + p.cpu_times().system for p in found)


def digest_on_sqlite(workload: Workload) -> object:
    """Return the digest of the visits in a new SQLite file."""
    with tempfile.TemporaryDirectory(prefix="l1db-bench-") as folder:
        config = config_of(f"sqlite:///{folder}/l1.db", History.PACKED)
        with open_store(config) as store:
            store.create_schema()
            for visit in workload.visits():
                store.store_visit(visit.key, visit.records)
            return store.science_digest()


def run(workload: Workload, servers: TrialCassandra) -> None:
    """Run a workload, print its figures, compare the digest."""
    rf = len(servers.nodes)
    url = f"cassandra://{servers.hosts}/{workload.name}?rf={rf}&merge_age_s=0"
    config: L1dbConfig = config_of(
        url, History.PACKED, object_last_replace=False, history_pixel_level=_LEVEL
    )
    costs = run_ours(workload, config, lambda: nodes_cpu_s(servers))
    title = f"{workload.name} cassandra rf={rf}"
    for what, parts in (("client", costs.client_s), ("nodes", costs.server_s)):
        report(f"{title} {what}", "CPU s a visit", sum(parts) / len(parts))
    report(title, "CPU s a visit, client + nodes", costs.mean_cpu_s())
    report(f"{title} growth", GROWTH, costs.growth())
    with open_store(config) as store:
        expected = digest_on_sqlite(workload)
        is_equal = store.science_digest() == expected
        store.compact_history()
        is_equal_merged = store.science_digest() == expected
    report(f"{title} digest", "1 if equal to SQLite's", float(is_equal))
    report(f"{title} digest, merged", "1 if equal to SQLite's", float(is_equal_merged))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1)
    parser.add_argument("--visits", type=int, help="other number of visits")
    options = parser.parse_args()
    with trial(options.nodes) as servers:
        for workload, n_visits in ((W1, 10), (W0, 30)):
            run(replace(workload, n_visits=options.visits or n_visits), servers)


if __name__ == "__main__":
    main()
