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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import requests

from pipeline_runtime.services import environment, start_services

ROOT = Path(__file__).resolve().parents[1]
NIGHT = "20261010"
BATCHES = ["l1db", "write_batches"]
# what the web UI of Dagster 1.13 asks for an asset's page, its partitions, and one
# partition that was clicked at (webapp's usePartitionHealthData, AssetPartitionDetail)
QUESTIONS = {
    "partitions_page": """query($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode { id
    partitionKeysByDimension { name type partitionKeys }
    assetPartitionStatuses { ... on DefaultPartitionStatuses {
      materializedPartitions materializingPartitions failedPartitions } } } } }""",
    "asset_page": """query($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) { ... on Asset { id
    assetMaterializations(limit: 1) { timestamp runId }
    definition { id groupName isExecutable pools
      partitionDefinition { description dimensionTypes { type
        dynamicPartitionsDefinitionName } }
      partitionKeysByDimension { name }
      partitionStats { numMaterialized numMaterializing numPartitions numFailed }
      } } } }""",
    "partition_detail": """query($key: AssetKeyInput!, $partition: String!) {
  assetOrError(assetKey: $key) { ... on Asset { id
    definition { id latestRunForPartition(partition: $partition) { id status } }
    assetEventHistory(partitions: [$partition], limit: 1000, eventTypeSelectors:
      [MATERIALIZATION, OBSERVATION, FAILED_TO_MATERIALIZE]) { results {
        ... on MaterializationEvent { runId timestamp partition
          metadataEntries { label } } } } } } }""",
    "partition_staleness": """query($key: AssetKeyInput!, $partition: String!) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode { id
    staleStatus(partition: $partition)
    staleCauses(partition: $partition) { reason category } } } }""",
    "asset_events": """query($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) { ... on Asset { id
    assetEventHistory(limit: 100, eventTypeSelectors:
      [MATERIALIZATION, OBSERVATION, FAILED_TO_MATERIALIZE]) { results {
        ... on MaterializationEvent { runId timestamp partition
          metadataEntries { label ... on FloatMetadataEntry { floatValue } } }
        } } } } }""",
}


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
    code = f"import {module} as m; m.defs().get_repository_def()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def event_cpu_ms(instance: dg.DagsterInstance, n_visits: int) -> float:
    """Return the CPU of a visit's event, in a run of the real asset's shape."""
    from l1db_pipeline.defs.partitions import visits  # noqa: PLC0415 - after the environment is set

    keys = [f"{NIGHT}-{number:05d}" for number in range(1, n_visits + 1)]
    instance.add_dynamic_partitions("visits", keys)

    @dg.multi_asset(
        specs=[dg.AssetSpec(BATCHES, skippable=True, partitions_def=visits)],
        partitions_def=visits,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def batches(context: dg.AssetExecutionContext) -> Iterator[dg.AssetMaterialization]:
        for key in context.partition_keys:
            yield dg.AssetMaterialization(
                BATCHES,
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


def _repeat_events(night: str, others: Sequence[str], last: str = "") -> None:
    """Repeat the events of partitions of a night for others, those of an asset last."""
    url = os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")
    with psycopg.connect(url) as connection:
        connection.execute(
            """
            INSERT INTO event_logs
              (run_id, event, dagster_event_type, timestamp, step_key, asset_key,
               partition)
            SELECT run_id, replace(event, %(night)s::text, other), dagster_event_type,
                   timestamp, step_key, asset_key,
                   replace(partition, %(night)s::text, other)
            FROM event_logs,
              unnest(%(others)s::text[]) WITH ORDINALITY AS nights (other, n)
            WHERE partition LIKE %(night)s::text || '%%'
            ORDER BY asset_key LIKE '%%' || %(last)s::text || '%%', n, id
            """,
            {"night": night, "others": list(others), "last": last or "none"},
        )


def tick_s(instance: dg.DagsterInstance, n_sequences: int) -> tuple[float, float]:
    """Return the wall time of a tick over many nights, and of the first one of all."""
    from archive_assets import definitions  # noqa: PLC0415 - after the environment is set
    from archive_assets.defs.names import archived_key, plans  # noqa: PLC0415 - as above
    from archive_assets.defs.partitions import nights  # noqa: PLC0415 - as above

    first, *others = nights.get_partition_keys(
        current_time=datetime(2060, 1, 1, tzinfo=UTC)
    )
    index = dg.AssetKey(["archive", "prenight_index"])
    for key in (*map(archived_key, plans()), index):  # the followers come last
        instance.report_runless_asset_event(
            dg.AssetMaterialization(key, partition=first)
        )
    _repeat_events(first, others[: n_sequences // len(plans()) - 1], "prenight_index")
    location = definitions.defs()
    cursor = None
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        cursor = dg.evaluate_automation_conditions(
            location, instance, cursor=cursor
        ).cursor
        spent.append(time.perf_counter() - start)
    return min(spent[1:]), spent[0]


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


def page_figures(
    instance: dg.DagsterInstance, n_keys: int, n_visits: int
) -> Iterator[bool]:
    """Print how long the web UI's questions on the write batches take, over HTTP.

    Four in five of the nights are stored, each by a run over its visits; the others
    are registered only.
    """
    nights = [f"{20270101 + n}" for n in range(n_keys // n_visits - 1)]
    keys = [f"{night}-{n:05d}" for night in nights for n in range(1, n_visits + 1)]
    instance.add_dynamic_partitions("visits", keys)
    _repeat_events(NIGHT, nights[: len(nights) * 4 // 5])
    variables = {"key": {"path": BATCHES}, "partition": f"{NIGHT}-00001"}
    with web_server() as url:
        for name, query in QUESTIONS.items():
            times: list[float] = []
            answered: dict[str, Any] = {}
            for _ in range(4):
                start = time.perf_counter()
                answer = requests.post(
                    f"{url}/graphql",
                    json={"query": query, "variables": variables},
                    timeout=120,
                )
                times.append(time.perf_counter() - start)
                answered = answer.json()
            if "errors" in answered:
                raise SystemExit(f"{name}: {answered['errors']}")
            # the first asks for what later ones find in memory
            yield figure(name, "s", min(times[1:]), 1.0)
            yield figure(f"{name}_first", "s", times[0], 5.0)
            if name == "partitions_page":
                _see_all(answered["data"], n_keys)


def _see_all(data: dict[str, Any], n_keys: int) -> None:
    """See that a partitions page shows every key, and those that are stored."""
    node = data["assetNodeOrError"]
    n_shown = len(node["partitionKeysByDimension"][0]["partitionKeys"])
    n_stored = len(node["assetPartitionStatuses"]["materializedPartitions"])
    print(json.dumps({"keys": n_shown, "materialized": n_stored}), flush=True)
    if n_shown < n_keys or not n_stored:
        raise SystemExit(f"the page has {n_shown} of {n_keys} keys, {n_stored} stored")


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
        within.extend(page_figures(instance, sizes.keys, sizes.visits))
        good, lost = tick_s(instance, sizes.sequences)
        within.append(figure("sensor_tick", "s", good, 1.0))
        within.append(figure("sensor_tick_first", "s", lost, 1.0))
    return int(not all(within))


if __name__ == "__main__":
    sys.exit(main())
