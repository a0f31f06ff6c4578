"""From an empty instance a night goes to the L1 database and index without a hand.

Only the schedule is switched on; sensors are by default. The run worker is killed
twice on the way, and what is left equals a night that nobody disturbed.
"""

import contextlib
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from archive_assets.prenightindex import get_prenight_index_from_bucket
from l1db_pipeline.defs.resources import L1dbResource
from l1db_pipeline.kept_sources import SOURCES_FILE
from l1db_pipeline.night_run import NightRun, night_visit_ids
from l1db_pipeline.store.open import open_store
from l1db_pipeline.visits_table import read_visits_table

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

N_VARIANTS = 2
NIGHT_TIMEOUT_S = 600
POLL_S = 0.5
STARTED_PROCESS = re.compile(r"\(pid: (\d+)\)")
RUNS = """query($job: String!) { runsOrError(filter: {pipelineName: $job}) {
  ... on Runs { results { runId status stats { ... on RunStatsSnapshot {
    materializations } } } } } }"""
EVENTS = """query($run: ID!) { logsForRun(runId: $run) {
  ... on EventConnection { events { ... on MessageEvent { message } } } } }"""
START = """mutation($name: String!) { startSchedule(scheduleSelector: {
  repositoryName: "__repository__", repositoryLocationName: "archive_assets",
  scheduleName: $name}) { __typename } }"""


@dataclass(frozen=True)
class Graph:
    """The web server's GraphQL."""

    url: str

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Return the data of an answer."""
        answer = requests.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": variables},
            timeout=60,
        ).json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def runs(self, job: str) -> list[dict[str, Any]]:
        """Return the runs of a job, newest first."""
        found: list[dict[str, Any]] = self.ask(RUNS, job=job)["runsOrError"]["results"]
        return found

    def worker(self, run_id: str) -> int | None:
        """Return the process that executes a run."""
        log = self.ask(EVENTS, run=run_id)["logsForRun"]["events"]
        for event in log:
            if (found := STARTED_PROCESS.search(event.get("message") or "")) and (
                "run" in event["message"]
            ):
                return int(found.group(1))
        return None


def _wait(what: str, found: Callable[[], Any], timeout_s: float) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := found()):
        assert time.monotonic() < deadline, f"no {what} after {timeout_s:.0f} s"
        time.sleep(POLL_S)
    return value


def _kill_worker(graph: Graph, job: str, n_events: int) -> str:
    """Kill the worker of a job's run once it has reported events; return the run."""

    def killed() -> str | None:
        for run in graph.runs(job):
            done = (run["stats"] or {}).get("materializations", 0)
            if run["status"] == "STARTED" and done >= n_events:
                pid = graph.worker(run["runId"])
                if pid is None:
                    return None
                with contextlib.suppress(psutil.NoSuchProcess):
                    process = psutil.Process(pid)
                    for child in process.children(recursive=True):
                        child.kill()
                    process.kill()
                    return str(run["runId"])
        return None

    return str(_wait(f"run of {job} to kill", killed, NIGHT_TIMEOUT_S))


@dataclass(frozen=True)
class DoneNight:
    """A night that went by itself, and the runs whose workers were killed."""

    graph: Graph
    day_obs: date
    killed: dict[str, str]


def _succeeded(graph: Graph, job: str) -> Callable[[], bool]:
    return lambda: any(run["status"] == "SUCCESS" for run in graph.runs(job))


@pytest.fixture(scope="module")
def night(web_url: str, daemon: subprocess.Popen[bytes], instance: Any) -> DoneNight:
    """Switch the schedule on, kill two run workers, wait for the end."""
    graph = Graph(web_url)
    graph.ask(START, name="nightly")
    killed = {
        "simulate": _kill_worker(graph, "simulate", 1),
        "ap_prototype": _kill_worker(graph, "ap_prototype", 3),
    }
    for job in ("ap_prototype", "nightly", "timing_report", "prenight_index"):
        _wait(f"success of {job}", _succeeded(graph, job), NIGHT_TIMEOUT_S)
    assert daemon.poll() is None, "the daemon ended"
    with psycopg.connect(_archive_dsn(instance)) as connection:
        row = connection.execute("SELECT min(first_day_obs) FROM vsmd.simulations")
        (day_obs,) = row.fetchone() or (None,)
    return DoneNight(graph, day_obs, killed)


def _archive_dsn(instance: Any) -> str:
    return str(instance.server.dsn("archive"))


def test_a_killed_run_is_run_again(night: DoneNight) -> None:
    for job, run_id in night.killed.items():
        runs = {run["runId"]: run["status"] for run in night.graph.runs(job)}
        assert runs[run_id] == "FAILURE"
        assert "SUCCESS" in runs.values()


def test_each_variant_is_archived_once_and_indexed(
    night: DoneNight, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(_archive_dsn(instance)) as connection:
        rows = connection.execute(
            "SELECT visitseq_label, count(*) FROM vsmd.simulations"
            " WHERE first_day_obs = %s GROUP BY 1",
            [night.day_obs],
        ).fetchall()
    monkeypatch.setenv("PRENIGHT_INDEX_URL", instance.environ["PRENIGHT_INDEX_URL"])
    index = get_prenight_index_from_bucket(night.day_obs.isoformat(), "simonyi")

    assert len(rows) == N_VARIANTS
    assert {count for _, count in rows} == {1}
    assert len(index) == N_VARIANTS


def test_the_database_equals_that_of_an_undisturbed_night(
    night: DoneNight, instance: Any
) -> None:
    folder = Path(instance.environ["SIMULATIONS_DIR"]) / "simonyi"
    visits = read_visits_table(
        folder / night.day_obs.isoformat() / "nominal_noreward" / "opsim.db"
    )
    ids = night_visit_ids(visits, night.day_obs).tolist()
    instance.server.create_databases(("undisturbed",))
    plain = L1dbResource(
        url=instance.server.url("undisturbed", "psycopg")
    ).l1db_config()
    sources = Path(instance.environ["L1DB_SOURCES"]) / SOURCES_FILE
    run = NightRun(config=plain, sources_file=sources, seed=1, n_noise=5150, fill=False)
    digests = []
    with contextlib.closing(open_store(plain)) as store:
        store.create_schema()
        assert len(list(run.run(store, visits, ids))) == len(ids)
        digests.append(store.science_digest())
    night_config = L1dbResource(url=instance.environ["L1DB_URL"]).l1db_config()
    with contextlib.closing(open_store(night_config)) as store:
        digests.append(store.science_digest())

    assert digests[0] == digests[1]


@dataclass(frozen=True)
class Page:
    """Pages of the web UI in a real browser."""

    browser: webdriver.Chrome
    url: str
    folder: Path

    def shoot(self, name: str, path: str, *texts: str) -> str:
        """Open a page, wait for texts on it and save what it looks like."""
        self.browser.get(f"{self.url}{path}")
        body = ""

        def is_there(browser: webdriver.Chrome) -> bool:
            nonlocal body
            with contextlib.suppress(Exception):  # the page redraws meanwhile
                body = browser.find_element(By.TAG_NAME, "body").text
            return all(text in body for text in texts)

        try:
            WebDriverWait(self.browser, 60).until(is_there)
            time.sleep(2)  # pictures and graphs settle
        finally:
            self.browser.save_screenshot(str(self.folder / f"{name}.png"))
        return body


@pytest.fixture(scope="module")
def page(browser: webdriver.Chrome, web_url: str, screenshots: Path) -> Page:
    return Page(browser, web_url, screenshots)


@pytest.mark.usefixtures("night")
def test_lineage_shows_both_systems(page: Page) -> None:
    page.shoot("lineage", "/asset-groups", "simulation", "archive", "l1db")


def test_the_visits_of_the_night_are_partitions(night: DoneNight, page: Page) -> None:
    first = f"{night.day_obs:%Y%m%d}-00001"

    page.shoot("partitions", "/assets/l1db/write_batches?view=partitions", first)


def test_a_launched_run_shows_its_steps(night: DoneNight, page: Page) -> None:
    run = next(r for r in night.graph.runs("ap_prototype") if r["status"] == "SUCCESS")

    page.shoot("run", f"/runs/{run['runId']}", "l1db_write_batches", "Success")


@pytest.mark.usefixtures("night")
def test_numbers_of_visits_are_plotted(page: Page) -> None:
    page.shoot("plots", "/assets/l1db/write_batches?view=events", "seconds/")


@pytest.mark.usefixtures("night")
def test_the_report_shows_pictures(page: Page) -> None:
    page.shoot("report", "/assets/l1db/timing_report?view=events", "median_visit_s")
