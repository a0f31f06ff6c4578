"""From an empty instance a night goes to the L1 database and index without a hand.

Only the schedule is switched on; sensors are by default. The run worker is killed
twice on the way, and what is left equals a night that nobody disturbed.
"""

import subprocess
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import psycopg
import pytest
from browser.page import ALT, Page
from live.gate import closed_gate
from live.graph import Graph
from live.instance import N_VISITS, Instance, wait_for
from live.night import (
    DELAYS_MIN,
    simulate_quietly,
    stored_nights,
    undisturbed_nights,
)
from live.workers import kill_worker, n_stored_visits

from archive_assets.prenightindex import get_prenight_index_from_bucket

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1800)]

N_AT_KILL = 3
LAST_JOBS = ("ap_prototype", "nightly", "timing_report")
LINEAGE = (
    "simonyi_delay240",
    "prenight_index",
    "night_visits",
    "write_batches",
    "timing_report",
)


@dataclass(frozen=True)
class DoneNight:
    """A night that went by itself, and the runs whose workers were killed."""

    day_obs: date
    killed: dict[str, str]

    @property
    def first_visit(self) -> str:
        """Partition of its first visit."""
        return f"{self.day_obs:%Y%m%d}-00001"


@pytest.fixture(scope="module")
def night(
    instance: Instance, graph: Graph, daemon: subprocess.Popen[bytes]
) -> DoneNight:
    """Switch the schedule on, kill two run workers, wait for the end."""
    held = instance.home / "held"
    held.touch()
    with closed_gate(instance, N_AT_KILL):
        graph.start_schedule("archive_assets", "nightly")
        simulate = kill_worker(
            graph, "simulate", lambda: graph.n_materialized("simulate") > 0
        )
        held.unlink()
        ap = kill_worker(
            graph, "ap_prototype", lambda: n_stored_visits(instance) == N_AT_KILL
        )
    killed = {"simulate": simulate, "ap_prototype": ap}
    for job in LAST_JOBS:
        wait_for(f"success of {job}", partial(graph.has_succeeded, job))
    wait_for("index", lambda: graph.has_made("archive", "prenight_index"))
    assert daemon.poll() is None, instance.log("daemon")[-3000:]
    with psycopg.connect(instance.server.dsn("archive")) as connection:
        row = connection.execute("SELECT min(first_day_obs) FROM vsmd.simulations")
        (day_obs,) = row.fetchone() or (None,)
    return DoneNight(day_obs, killed)


@pytest.mark.parametrize("job", ["simulate", "ap_prototype"])
def test_a_killed_run_is_run_again(night: DoneNight, graph: Graph, job: str) -> None:
    runs = {run["runId"]: run["status"] for run in graph.runs(job)}

    assert runs.pop(night.killed[job]) == "FAILURE"
    assert "SUCCESS" in runs.values()


def test_the_end_state_equals_that_of_an_undisturbed_night(
    night: DoneNight, instance: Instance, tmp_path: Path
) -> None:
    opsims = simulate_quietly(night.day_obs, tmp_path)
    undisturbed = undisturbed_nights(instance, {night.day_obs: opsims[0]}, opsims)

    assert stored_nights(instance, [night.day_obs]) == undisturbed
    assert undisturbed.n_visits == N_VISITS


def test_every_variant_is_in_the_index(
    night: DoneNight, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRENIGHT_INDEX_URL", instance.environ["PRENIGHT_INDEX_URL"])

    index = get_prenight_index_from_bucket(night.day_obs.isoformat(), "simonyi")

    assert len(index) == len(DELAYS_MIN)


@pytest.mark.usefixtures("night")
def test_lineage_runs_from_simulation_to_the_report(page: Page) -> None:
    with page.of_size(2600, 3200):  # only what is in view is drawn
        page.open("/asset-groups", "simulation", "archive", "l1db")
        page.press(ALT, "e")  # expands all groups
        page.wait_for(*LINEAGE)

        page.shoot("lineage")


def test_the_visits_of_the_night_are_partitions(night: DoneNight, page: Page) -> None:
    page.open("/assets/l1db/write_batches?view=partitions", night.first_visit)
    page.wait_for(f"Materialized ({N_VISITS})", "Failed (0)", "Missing (0)")

    page.shoot("partitions")


@pytest.mark.usefixtures("night")
def test_numbers_of_visits_are_plotted(page: Page) -> None:
    page.open("/assets/l1db/write_batches", "seconds/Visit", "Plots")
    page.click("Plots")
    page.wait_for("seconds/L1-store", "seconds/DIA")

    with page.of_size(1600, 3000):
        page.shoot("plots")


@pytest.mark.usefixtures("night")
def test_the_report_shows_its_pictures(page: Page) -> None:
    page.open("/assets/l1db/timing_report?view=events", "median_visit_s", "coverage")

    page.shoot("report")


def test_a_killed_run_says_why_it_failed(night: DoneNight, page: Page) -> None:
    page.open(
        f"/runs/{night.killed['ap_prototype']}", "RUN_FAILURE", "Retrying the run"
    )

    page.shoot("killed_run")


@pytest.mark.usefixtures("night")
def test_a_run_launched_by_a_click_shows_the_check_that_failed(
    instance: Instance, graph: Graph, page: Page
) -> None:
    damaged, *_ = (instance.home / "archive").rglob("visits.h5")
    damaged.write_bytes(damaged.read_bytes()[:-1])

    page.open("/locations/archive_assets/jobs/verify", "verify all that it holds")
    page.click("Materialize")
    wait_for("success of verify", lambda: graph.has_succeeded("verify"))
    (run,) = graph.runs("verify")
    page.open(f"/runs/{run['runId']}", "Success", "archive_is_sound")
    page.shoot("launched_run")
    page.open("/assets/archive/archive_verification?view=checks", "archive_is_sound")
    page.wait_for("Failed", "visits.h5")

    page.shoot("failed_check")
