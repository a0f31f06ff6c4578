"""Daemons, code server and run workers killed, doubled and cancelled, for real.

One night goes through all of it; what is left equals a night that nobody disturbed.
"""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest
from live.end_point import KEY, EndPoint, end_point
from live.gate import closed_gate, wait_at_gate
from live.graph import Graph
from live.instance import N_VISITS, SITE, Instance, kill, live_instance, wait_for
from live.night import (
    NightState,
    simulate_quietly,
    stored_nights,
    undisturbed_nights,
)
from live.workers import n_stored_visits, running_worker

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(1800)]

_TODAY = datetime.now(UTC).date()
NIGHT = _TODAY - timedelta(days=3)
HANGING_NIGHT = _TODAY - timedelta(days=2)
DEADLINE_S = 4
N_AT_CANCEL = 4
LAST_JOBS = ("ap_prototype", "nightly", "timing_report")
FOLLOWING = {
    "set_up",
    "ap_prototype",
    "nightly",
    "report",
    "again",
}


@dataclass(frozen=True)
class Story:
    """What was seen on the way."""

    n_stored_at_cancel: int
    at_cancel: NightState
    cancelled: str
    lost: str
    hung: str


@pytest.fixture(scope="module")
def status_end_point() -> Iterator[EndPoint]:
    with end_point() as taken:
        yield taken


@pytest.fixture(scope="module")
def instance(status_end_point: EndPoint) -> Iterator[Instance]:
    with live_instance(
        STATUS_URL=status_end_point.url, HANGING_NIGHT=f"{HANGING_NIGHT:%Y%m%d}"
    ) as made:
        yield made


@pytest.fixture(scope="module")
def code_servers(instance: Instance) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    with instance.code_servers() as servers:
        yield servers


@pytest.fixture(scope="module")
def graph(
    instance: Instance,
    code_servers: dict[str, subprocess.Popen[bytes]],  # noqa: ARG001 - it loads them
) -> Iterator[Graph]:
    with instance.web_server() as graph:
        yield graph


def _wait_for_a_tick(instance: Instance) -> None:
    query = "SELECT count(*) FROM job_ticks WHERE status = 'STARTED'"
    with psycopg.connect(instance.server.dsn("dagster"), autocommit=True) as connection:
        deadline = time.monotonic() + 60
        while not connection.execute(query).fetchone()[0]:  # type: ignore[index]
            assert time.monotonic() < deadline, "no tick"
            time.sleep(0.005)


def _cancel_half_way(graph: Graph, instance: Instance) -> tuple[str, int]:
    """Cancel the AP prototype in its first visits, as its page's button does."""
    with closed_gate(instance, N_AT_CANCEL):
        tags = {"dagster/partition": NIGHT.isoformat()}
        graph.launch("archive_assets", "simulate", tags=tags)
        run_id, _ = wait_for("AP", lambda: running_worker(graph, "ap_prototype"))
        wait_at_gate(instance, N_AT_CANCEL)
        graph.terminate(run_id)
    wait_for("end of the run", lambda: graph.status(run_id) == "CANCELED")
    return run_id, n_stored_visits(instance)


def _lose_the_machine(
    graph: Graph,
    instance: Instance,
    servers: dict[str, subprocess.Popen[bytes]],
    cancelled: str,
) -> str:
    """Run AP again; kill daemon, code server and all that belongs to it.

    The code server is away until Dagster has dropped the retry.
    """
    n_at_loss = n_stored_visits(instance) + 2
    with instance.daemon() as daemon, closed_gate(instance, n_at_loss):
        run_id = graph.launch_again(cancelled)
        wait_at_gate(instance, n_at_loss)
        kill(servers["l1db_pipeline"])
        kill(daemon)
    with instance.daemon():
        dropped = "Failed to retry run"
        wait_for("dropped retry", lambda: dropped in graph.messages(run_id))
    servers["l1db_pipeline"] = instance.start_code_server("l1db_pipeline")
    started = "Started Dagster code server"
    wait_for("code server", lambda: instance.log("l1db_pipeline").count(started) > 1)
    return run_id


def _hang(graph: Graph) -> str:
    """Launch a simulation that hangs, with a short deadline."""
    run_id = graph.launch(
        "archive_assets",
        "simulate",
        tags={
            "dagster/partition": HANGING_NIGHT.isoformat(),
            "dagster/max_runtime": str(DEADLINE_S),
            "dagster/max_retries": "0",
        },
    )
    wait_for("end of what hangs", lambda: graph.status(run_id) == "FAILURE")
    return run_id


@pytest.fixture(scope="module")
def story(
    instance: Instance,
    graph: Graph,
    code_servers: dict[str, subprocess.Popen[bytes]],
    status_end_point: EndPoint,
) -> Iterator[Story]:
    """Let all of it happen to one night."""
    two_daemons = [instance.start_daemon(f"daemon_{number}") for number in range(2)]
    try:
        cancelled, n_stored = _cancel_half_way(graph, instance)
        at_cancel = stored_nights(instance, [NIGHT])
        _wait_for_a_tick(instance)
    finally:
        for daemon in two_daemons:
            kill(daemon)
    lost = _lose_the_machine(graph, instance, code_servers, cancelled)
    with instance.daemon():
        hung = _hang(graph)
        for job in LAST_JOBS:
            wait_for(f"success of {job}", partial(graph.has_succeeded, job))
        wait_for("index", lambda: graph.has_made("archive", "prenight_index"))
        wait_for("both reports", lambda: len(status_end_point.received) > 1)
        yield Story(n_stored, at_cancel, cancelled, lost, hung)


def test_a_cancelled_run_leaves_whole_visits(story: Story) -> None:
    assert N_AT_CANCEL <= story.n_stored_at_cancel < N_VISITS
    assert story.at_cancel.n_visits == story.n_stored_at_cancel


@pytest.mark.usefixtures("story")
def test_the_end_state_equals_that_of_an_undisturbed_night(
    instance: Instance, tmp_path: Path
) -> None:
    opsims = simulate_quietly(NIGHT, tmp_path)

    assert stored_nights(instance, [NIGHT]) == undisturbed_nights(
        instance, {NIGHT: opsims[0]}, opsims
    )


@pytest.mark.usefixtures("story")
def test_no_run_was_lost_or_asked_for_twice(graph: Graph) -> None:
    runs = graph.all_runs()
    keys = [key for run in runs if (key := run["tags"].get("dagster/run_key"))]
    registering = [
        run
        for run in runs
        if {"path": ["l1db", "night_visits"]} in (run["assetSelection"] or ())
        and run["tags"]["dagster/partition"] == NIGHT.isoformat()
    ]

    assert {key.split(":")[0] for key in keys} == FOLLOWING
    assert len(set(keys)) == len(keys)
    assert len(registering) == 1


def test_a_lost_machine_is_noticed_and_its_dropped_run_run_again(
    story: Story, graph: Graph
) -> None:
    assert any("is gone" in message for message in graph.messages(story.lost))
    (again,) = (
        run
        for run in graph.runs("ap_prototype")
        if run["tags"].get("dagster/run_key") == f"again:{story.lost}"
    )
    assert again["status"] == "SUCCESS"


def _hanging_programs() -> list[psutil.Process]:
    night = f"{HANGING_NIGHT:%Y%m%d}"
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(SITE / "simulate_night.py") in (process.info["cmdline"] or ())
        and night in process.info["cmdline"]
    ]


def test_what_hangs_is_ended_at_its_deadline(story: Story, graph: Graph) -> None:
    said = " ".join(graph.messages(story.hung))

    assert f"maximum runtime of {DEADLINE_S} seconds" in said
    wait_for("end of all its processes", lambda: not _hanging_programs())


@pytest.mark.usefixtures("story")
def test_a_night_is_reported_with_all_that_matters(
    status_end_point: EndPoint, instance: Instance
) -> None:
    status, *_ = status_end_point.of(NIGHT.isoformat())
    with psycopg.connect(instance.server.dsn("archive")) as connection:
        uuids = connection.execute("SELECT visitseq_uuid FROM vsmd.simulations")
        archived = {str(row[0]) for row in uuids}

    assert (status["success"], status["total_visit_count"]) == (True, N_VISITS)
    assert status["uuid"] in archived
    assert status["download_url"].startswith(instance.environ["ARCHIVE_URL"])


def test_a_failed_night_is_reported_to_an_end_point_that_fails(
    story: Story, status_end_point: EndPoint, instance: Instance
) -> None:
    (status,) = status_end_point.of(HANGING_NIGHT.isoformat())
    with psycopg.connect(instance.server.dsn("dagster")) as connection:
        failed = "SELECT tick_body FROM job_ticks WHERE status = 'FAILURE'"
        ticks = [row[0] for row in connection.execute(failed).fetchall()]

    assert not status["success"]
    assert story.hung in status["detail"]
    assert not [tick for tick in ticks if "alarm" in tick]


@pytest.mark.usefixtures("story")
def test_no_secret_is_logged_or_stored(
    instance: Instance, status_end_point: EndPoint
) -> None:
    logs = [path.read_text(errors="replace") for path in instance.home.glob("*.log")]
    with psycopg.connect(instance.server.dsn("dagster")) as connection:
        for query in (
            "SELECT event FROM event_logs",
            "SELECT tick_body FROM job_ticks",
            "SELECT run_body FROM runs",
        ):
            logs += [row[0] for row in connection.execute(query).fetchall()]

    assert not [text for text in [*logs, *status_end_point.bodies] if KEY in text]
