"""What Dagster itself costs: loading, an event a visit, a sensor's tick, a page.

Everything runs on a PostgreSQL of its own in a temporary folder. Exits with 1 if a
figure is over its limit (issue 7). CPU seconds are those of this process and its
children; the page is asked of a real web server.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import psycopg
import requests

from l1db_pipeline.services import environment, start_services

ROOT = Path(__file__).resolve().parents[1]
PAGE = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
  ... on AssetNode { partitionKeys assetPartitionStatuses { __typename
    ... on DefaultPartitionStatuses {
      materializedPartitions failedPartitions } } } } }"""


def figure(name: str, unit: str, ours: float, limit: float) -> bool:
    """Print a figure; return whether it is within its limit."""
    line = {"name": name, "unit": unit, "ours": round(ours, 3), "limit": limit}
    print(json.dumps(line), flush=True)
    return ours <= limit


@contextmanager
def project() -> Iterator[dg.DagsterInstance]:
    """Give an instance on an embedded PostgreSQL of its own."""
    with tempfile.TemporaryDirectory(prefix="l1db-bench-") as home:
        os.environ["L1DB_HOME"] = home
        os.environ["SENSOR_INTERVAL_S"] = "5"
        server = start_services()
        os.environ.update(environment())
        try:
            with dg.DagsterInstance.get() as instance:
                yield instance
        finally:
            server.stop()


def load_cpu_s(module: str) -> float:
    """Return the CPU seconds in which a code location loads."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = f"import {module} as m; m.defs.get_repository_def()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def event_cpu_ms(instance: dg.DagsterInstance, n_visits: int) -> float:
    """Return the CPU of a visit's event, in a run of the real asset's shape."""
    from l1db_pipeline.defs.partitions import visits  # noqa: PLC0415 - after the environment is set

    keys = [f"20261010-{number:05d}" for number in range(1, n_visits + 1)]
    instance.add_dynamic_partitions("visits", keys)

    @dg.multi_asset(
        specs=[dg.AssetSpec("batches", skippable=True, partitions_def=visits)],
        partitions_def=visits,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def batches(context: dg.AssetExecutionContext) -> Iterator[dg.AssetMaterialization]:
        for key in context.partition_keys:
            yield dg.AssetMaterialization(
                "batches",
                partition=key,
                metadata={f"number_{n}": float(n) for n in range(12)},
            )

    start = time.process_time()
    result = dg.materialize(
        [batches],
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[-1],
        },
    )
    spent = time.process_time() - start
    if not result.success:
        raise SystemExit("the run of events failed")
    return spent / n_visits * 1e3


def _repeat_events(night: str, n_nights: int) -> None:
    """Repeat the events of a night for those after it, the followers' at the end."""
    url = os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")
    with psycopg.connect(url) as connection:
        connection.execute(
            """
            INSERT INTO event_logs
              (run_id, event, dagster_event_type, timestamp, step_key, asset_key,
               partition)
            SELECT run_id, replace(event, %(night)s::text, day), dagster_event_type,
                   timestamp, step_key, asset_key, day
            FROM event_logs,
              (SELECT to_char(%(night)s::date + n, 'YYYY-MM-DD') AS day, n
               FROM generate_series(1, %(n)s - 1) AS n) AS nights
            WHERE partition = %(night)s::text
            ORDER BY asset_key LIKE '%%prenight_index%%', n
            """,
            {"night": night, "n": n_nights},
        )


def tick_s(instance: dg.DagsterInstance, n_sequences: int) -> tuple[float, float]:
    """Return the wall time of a sensor's tick with a good and with a lost cursor."""
    from archive_assets import definitions  # noqa: PLC0415 - after the environment is set
    from archive_assets.defs.names import archived_key, plans  # noqa: PLC0415 - as above
    from archive_assets.defs.partitions import nights  # noqa: PLC0415 - as above

    first = nights.get_first_partition_key()
    index = dg.AssetKey(["archive", "prenight_index"])
    for key in (*map(archived_key, plans()), index):  # the followers come last
        instance.report_runless_asset_event(
            dg.AssetMaterialization(key, partition=first)
        )
    _repeat_events(str(first), n_sequences // len(plans()))
    sensor = definitions.defs.resolve_sensor_def("sequence_archived")
    cursor: str | None = None
    lost = 0.0
    while True:
        context = dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            definitions=definitions.defs,
            sensor_name="sequence_archived",
        )
        start = time.perf_counter()
        tick = sensor.evaluate_tick(context)
        spent = time.perf_counter() - start
        if tick.cursor == cursor:
            return spent, lost
        lost, cursor = max(lost, spent), tick.cursor


@contextmanager
def web_server() -> Iterator[str]:
    """Run a web server with both code locations; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = ["-m", "dagster_webserver", "-w", "workspace.yaml", "-p", str(port)]
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            while True:
                with suppress(requests.ConnectionError):
                    requests.get(f"{url}/server_info", timeout=10)
                    break
                time.sleep(0.2)
            yield url
        finally:
            server.terminate()


def page_s(instance: dg.DagsterInstance, n_keys: int) -> float:
    """Return the wall time of the partition keys of the write batches, GraphQL."""
    keys = [f"20270{n // 10_000 + 101}-{n % 10_000:05d}" for n in range(n_keys)]
    instance.add_dynamic_partitions("visits", keys)
    question = {
        "query": PAGE,
        "variables": {"key": {"path": ["l1db", "write_batches"]}},
    }
    with web_server() as url:
        times = []
        for _ in range(4):
            start = time.perf_counter()
            answer = requests.post(f"{url}/graphql", json=question, timeout=60)
            times.append(time.perf_counter() - start)
    found = answer.json()["data"]["assetNodeOrError"].get("partitionKeys", [])
    if len(found) < n_keys:
        raise SystemExit(f"the page has {len(found)} of {n_keys} keys")
    return min(times[1:])  # the first asks for what later ones find in memory


def main() -> int:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=1000)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=25_000)
    sizes = parser.parse_args()
    within = []
    with project() as instance:
        for module in ("archive_assets", "l1db_pipeline"):
            spent = load_cpu_s(f"{module}.definitions")
            within.append(figure(f"load_{module}", "CPU s", spent, 3.0))
        spent = event_cpu_ms(instance, sizes.visits)
        within.append(figure("event_per_visit", "CPU ms", spent, 25.0))
        within.append(
            figure("partition_keys_page", "s", page_s(instance, sizes.keys), 1.0)
        )
        good, lost = tick_s(instance, sizes.sequences)
        within.append(figure("sensor_tick", "s", good, 1.0))
        within.append(figure("sensor_tick_lost_cursor", "s", lost, 1.0))
    return int(not all(within))


if __name__ == "__main__":
    sys.exit(main())
