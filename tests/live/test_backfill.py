"""A backfill; one night fails and is retried alone; the daemon is killed on the way.

A second daemon stood by and takes over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from live.graph import Graph
from live.instance import Instance, kill, live_instance, wait_for
from live.night import simulate_quietly, stored_nights, undisturbed_nights

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(1800)]

_TODAY = datetime.now(UTC).date()
NIGHTS = tuple(_TODAY - timedelta(days=days) for days in (5, 4))
FAILING = NIGHTS[0]
N_VISITS = 4
NOMINAL = ("visit_simulations", "simonyi_nominal_noreward")
# in the order in which they began: each night comes on top of those before it
PROCESSED = """SELECT value FROM runs JOIN run_tags USING (run_id)
WHERE key = 'l1db/night' AND pipeline_name = 'ap_prototype' ORDER BY start_time"""


@dataclass(frozen=True)
class Backfill:
    """What was seen of it."""

    ended: str
    n_archived_at_end: int
    processed: list[date]


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with live_instance(
        FAILING_NIGHT=f"{FAILING:%Y%m%d}", DAGSTER_EXECUTOR="in_process"
    ) as made:
        command = made.environ["SIMULATION_COMMAND"]
        made.environ["SIMULATION_COMMAND"] = command.replace(" 20 ", f" {N_VISITS} ")
        yield made


@pytest.fixture(scope="module")
def graph(instance: Instance) -> Iterator[Graph]:
    with instance.code_servers(), instance.web_server() as graph:
        yield graph


def _ask(instance: Instance, database: str, query: str) -> list[str]:
    with psycopg.connect(instance.server.dsn(database)) as connection:
        return [str(row[0]) for row in connection.execute(query.encode())]


def _n_archived(instance: Instance) -> int:
    """Return how many sequences there are; the first one brings the tables."""
    tables = _ask(instance, "archive", "SELECT to_regclass('vsmd.simulations')")
    if tables == ["None"]:
        return 0
    return len(_ask(instance, "archive", "SELECT 1 FROM vsmd.simulations"))


@pytest.fixture(scope="module")
def backfill(instance: Instance, graph: Graph) -> Iterator[Backfill]:
    """Launch it over all nights, mend what fails one, launch that one again."""
    daemons = {name: instance.start_daemon(name) for name in ("one", "other")}
    try:
        waiting = wait_for("one that stands by", lambda: _standing_by(instance))
        first = graph.launch_backfill([NOMINAL], [str(night) for night in NIGHTS])
        wait_for("a run", graph.all_runs)
        for name in daemons.keys() - {waiting}:
            kill(daemons[name])
        wait_for("its end", lambda: graph.backfill_status(first) != "REQUESTED")
        ended = graph.backfill_status(first)
        wait_for("the other", lambda: _n_archived(instance) > 0)
        n_archived = _n_archived(instance)
        wait_for("its AP", lambda: _has_begun(graph, "ap_prototype"))
        (instance.home / "mended").touch()
        graph.launch_backfill([NOMINAL], [str(FAILING)])
        wait_for("its night", lambda: _n_succeeded(graph, "nightly") == len(NIGHTS))
        processed = dict.fromkeys(_ask(instance, "dagster", PROCESSED))
        nights = [date.fromisoformat(night) for night in processed]
        yield Backfill(ended, n_archived, nights)
    finally:
        for daemon in daemons.values():
            kill(daemon)


def _standing_by(instance: Instance) -> str | None:
    names = ("one", "other")
    return next((it for it in names if "standing by" in instance.log(it)), None)


def _has_begun(graph: Graph, job: str) -> bool:
    return any(run["status"] in {"STARTED", "SUCCESS"} for run in graph.runs(job))


def _n_succeeded(graph: Graph, job: str) -> int:
    nights = {
        run["tags"]["dagster/partition"]
        for run in graph.runs(job)
        if run["status"] == "SUCCESS"
    }
    return len(nights)


def test_a_failed_night_stops_no_other(backfill: Backfill) -> None:
    assert backfill.ended == "COMPLETED_FAILED"
    assert backfill.n_archived_at_end == len(NIGHTS) - 1
    assert backfill.processed[-1] == FAILING


def test_every_night_is_there_once(
    backfill: Backfill, instance: Instance, tmp_path: Path
) -> None:
    opsims = {
        night: simulate_quietly(night, tmp_path, delays=[0], n_visits=N_VISITS)[0]
        for night in NIGHTS
    }

    assert stored_nights(instance, NIGHTS) == undisturbed_nights(
        instance,
        {night: opsims[night] for night in backfill.processed},
        list(opsims.values()),
    )
