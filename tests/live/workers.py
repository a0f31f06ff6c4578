"""The processes of runs, found and killed where it hurts."""

import contextlib
from collections.abc import Callable

import psutil
import psycopg
from live.graph import Graph
from live.instance import Instance, wait_for


def n_stored_visits(instance: Instance) -> int:
    """Return how many visits the L1 database holds, 0 without tables."""
    with (
        psycopg.connect(instance.server.dsn("l1db")) as connection,
        contextlib.suppress(psycopg.errors.UndefinedTable),
    ):
        query = 'SELECT count(*) FROM "L1DbProtoVisits"'
        return int(connection.execute(query).fetchone()[0])  # type: ignore[index]
    return 0


def running_worker(graph: Graph, job: str) -> tuple[str, int] | None:
    """Return a started run of a job and its process."""
    for run in graph.runs(job):
        if run["status"] == "STARTED" and (pid := graph.worker(run["runId"])):
            return str(run["runId"]), pid
    return None


def kill_worker(graph: Graph, job: str, is_time: Callable[[], bool]) -> str:
    """Kill a run's process and its children when it is time; return the run."""
    run_id, pid = wait_for(f"worker of {job}", lambda: running_worker(graph, job))
    wait_for(f"time to kill {job}", is_time)
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for child in process.children(recursive=True):
            child.kill()
        process.kill()
    return run_id
