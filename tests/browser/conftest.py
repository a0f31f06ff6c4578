"""A whole instance of its own, its daemon and web server, and a headless Chromium."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from l1db_pipeline.embedded_postgres import EmbeddedPostgres
from l1db_pipeline.services import environment, start_services

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1600,1000",
)
START_TIMEOUT_S = 240


@dataclass(frozen=True)
class Instance:
    """A project home of its own: its server is running, its environment is known."""

    home: Path
    server: EmbeddedPostgres
    environ: dict[str, str]

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run a Python module in this instance; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{arguments}: {done.stdout[-3000:]}{done.stderr}")
        return done.stdout

    @contextlib.contextmanager
    def process(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a Python module in the background, with all its children."""
        log = (self.home / f"{arguments[0]}.log").open("ab")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=self.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


SITE = Path(__file__).parent / "site"
N_VISITS = 12


def _quick_night(home: Path) -> dict[str, str]:
    """Return settings that make a night of minutes: two variants, a quick simulator."""
    program = f"{sys.executable} {SITE / 'simulate_night.py'}"
    today = datetime.now(UTC).date()
    return {
        "PRENIGHT_VARIANTS": str(SITE / "variants.yaml"),
        "SIMULATION_COMMAND": f"{program} {{day_obs}} {{delay_minutes}} {N_VISITS} "
        "{opsim}",
        "NIGHTS_START": (today - timedelta(days=10)).isoformat(),
        "NIGHTLY_CRON": "* * * * *",
        "NIGHTLY_TIMEZONE": "UTC",
        "SENSOR_INTERVAL_S": "5",
        "HOME": str(home),
    }


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    """An instance with everything of its own, empty."""
    home = Path(tempfile.mkdtemp(prefix="l1db-ui-"))  # root's server may enter it
    kept = {"PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV"}
    base = {name: value for name, value in os.environ.items() if name in kept}
    base["L1DB_HOME"] = str(home)
    base |= _quick_night(home)
    server = start_services(base)
    yield Instance(home, server, base | environment(base))
    server.stop()
    shutil.rmtree(home, ignore_errors=True)


def free_port() -> int:
    """Return a port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def web_url(instance: Instance) -> Iterator[str]:
    """URL of the real Dagster web server on the instance."""
    port = str(free_port())
    arguments = ("-h", "127.0.0.1", "-p", port, "-w", "workspace.yaml")
    with instance.process("dagster_webserver", *arguments) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{url}/server_info", timeout=5).ok:
                    break
            assert process.poll() is None, "the web server ended"
            assert time.monotonic() < deadline, "the web server did not come up"
            time.sleep(0.5)
        yield url


@pytest.fixture(scope="session")
def daemon(instance: Instance) -> Iterator[subprocess.Popen[bytes]]:
    """The real Dagster daemon on the instance."""
    with instance.process("dagster._daemon", "run", "-w", "workspace.yaml") as process:
        yield process


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Folder of the screenshots, kept as artefacts of CI."""
    folder = Path(os.environ.get("SCREENSHOTS_DIR", ROOT / "build" / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A real Chromium without a window."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed")
    options = Options()
    options.binary_location = chromium
    for flag in CHROMIUM_FLAGS:
        options.add_argument(flag)
    profile = tmp_path_factory.mktemp("chromium")
    options.add_argument(f"--user-data-dir={profile}")
    chrome = webdriver.Chrome(options, Service(driver))
    yield chrome
    chrome.quit()
