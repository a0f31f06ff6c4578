"""A whole Dagster instance of its own, of real processes that can be killed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import requests
import yaml
from live.graph import Graph

from pipeline_runtime.postgres import EmbeddedPostgres
from pipeline_runtime.services import environment, start_services

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(__file__).parent / "site"
LOCATIONS = ("archive_assets", "l1db_pipeline")
N_VISITS = 20
START_TIMEOUT_S = 600
_STOP_TIMEOUT_S = 30
_POLL_S = 0.2
_KEPT = {"PATH", "LANG", "PYTHONPATH", "VIRTUAL_ENV"}

Found = TypeVar("Found")


def wait_for(
    what: str, ask: Callable[[], Found | None], timeout_s: float = 600
) -> Found:
    """Return the first true answer to a question that is asked again and again."""
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"no {what} after {timeout_s:.0f} s"
        time.sleep(_POLL_S)
    return answer


@dataclass(frozen=True)
class Instance:
    """A project home of its own: its PostgreSQL runs, its environment is known.

    The code servers are processes of their own, as at a site: web server and daemons
    come and go without them.
    """

    home: Path
    server: EmbeddedPostgres
    environ: dict[str, str]

    @property
    def workspace(self) -> Path:
        """File that names the code servers' sockets."""
        return self.home / "workspace.yaml"

    def socket(self, location: str) -> str:
        """Return the path of a code server's socket."""
        return str(self.home / f"{location}.sock")

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a Python module in a process group of its own, logging to a file."""
        with (self.home / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=self.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self, name: str) -> str:
        """Return what a process of that name has logged."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def start_code_server(self, location: str) -> subprocess.Popen[bytes]:
        """Start the code server of a location."""
        return self.start(
            location, "dagster", "api", "grpc", "-m", f"{location}.definitions",
            "--location-name", location, "--socket", self.socket(location),
        )  # fmt: skip

    def start_daemon(self, name: str = "daemon") -> subprocess.Popen[bytes]:
        """Start a daemon."""
        return self.start(name, "dagster._daemon", "run", "-w", str(self.workspace))

    @contextlib.contextmanager
    def code_servers(self) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
        """Run the code servers of both locations; they may be replaced by others."""
        servers = {location: self.start_code_server(location) for location in LOCATIONS}
        try:
            yield servers
        finally:
            for process in servers.values():
                kill(process)  # asked to end, it takes more than half a minute

    @contextlib.contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run a daemon."""
        process = self.start_daemon()
        try:
            yield process
        finally:
            end(process)

    @contextlib.contextmanager
    def web_server(self) -> Iterator[Graph]:
        """Run the web server until both locations are loaded."""
        port = _free_port()
        process = self.start(
            "webserver", "dagster_webserver",
            "-h", "127.0.0.1", "-p", str(port), "-w", str(self.workspace),
        )  # fmt: skip
        graph = Graph(f"http://127.0.0.1:{port}")

        def is_up() -> bool:
            assert process.poll() is None, self.log("webserver")[-3000:]
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{graph.url}/server_info", timeout=10).ok:
                    return set(graph.locations()) == set(LOCATIONS)
            return False

        try:
            wait_for("web server", is_up, START_TIMEOUT_S)
            yield graph
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_STOP_TIMEOUT_S)
    kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all its children: none of them can clean up."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _quick_site(home: Path) -> dict[str, str]:
    """Return settings that make a night of a minute: two variants, a quick program."""
    program = f"{sys.executable} {SITE / 'simulate_night.py'}"
    today = datetime.now(UTC).date()
    return {
        "HOME": str(home),
        "L1DB_HOME": str(home),
        "PRENIGHT_VARIANTS": str(SITE / "variants.yaml"),
        "SIMULATION_COMMAND": f"{program} {{day_obs}} {{delay_minutes}} {N_VISITS} "
        "{opsim}",
        "NIGHTS_START": (today - timedelta(days=10)).isoformat(),
        "NIGHTLY_CRON": "* * * * *",
        "NIGHTLY_TIMEZONE": "UTC",
        "SENSOR_INTERVAL_S": "1",
        "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1",
    }


def _hurry(instance_file: Path) -> None:
    """Let the daemon look every second; all else stays as it is shipped."""
    settings: dict[str, Any] = yaml.safe_load(instance_file.read_text())
    settings["run_monitoring"]["poll_interval_seconds"] = 1
    settings["run_monitoring"]["free_slots_after_run_end_seconds"] = 1
    settings["run_launcher"]["config"] = {"patience_seconds": 3.0}
    settings["run_queue"] |= {
        "dequeue_interval_seconds": 1,
        "user_code_failure_retry_delay": 1,
    }
    instance_file.write_text(yaml.safe_dump(settings))


@contextlib.contextmanager
def live_instance(**environ: str) -> Iterator[Instance]:
    """Make an empty instance with everything of its own, and remove it."""
    home = Path(tempfile.mkdtemp(prefix="l1db-live-"))  # root's server may enter it
    base = {name: value for name, value in os.environ.items() if name in _KEPT}
    base |= _quick_site(home) | environ
    server = start_services(base)
    try:
        instance = Instance(home, server, base | environment(base))
        _hurry(Path(instance.environ["DAGSTER_HOME"]) / "dagster.yaml")
        servers = [
            {
                "grpc_server": {
                    "socket": instance.socket(location),
                    "location_name": location,
                }
            }
            for location in LOCATIONS
        ]
        instance.workspace.write_text(yaml.safe_dump({"load_from": servers}))
        yield instance
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
