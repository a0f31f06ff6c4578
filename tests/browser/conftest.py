"""A whole instance of its own, and a headless Chromium on its web server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.page import Page, chromium
from live.graph import Graph
from live.instance import ROOT, Instance, live_instance


@pytest.fixture(scope="session")
def page_maker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Pages of a real Chromium without a window; asked for before all that costs."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    folder = Path(os.environ.get("SCREENSHOTS_DIR", ROOT / "build" / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    browser = chromium(program, driver, tmp_path_factory.mktemp("chromium"))
    yield Page(browser, "", folder)
    browser.quit()


@pytest.fixture(scope="session")
def instance(page_maker: Page) -> Iterator[Instance]:  # noqa: ARG001 - or skip
    """An empty instance."""
    with live_instance() as made, made.code_servers():
        yield made


@pytest.fixture(scope="session")
def graph(instance: Instance) -> Iterator[Graph]:
    """The real web server."""
    with instance.web_server() as graph:
        yield graph


@pytest.fixture(scope="session")
def daemon(instance: Instance) -> Iterator[subprocess.Popen[bytes]]:
    """The real daemon."""
    with instance.daemon() as process:
        yield process


@pytest.fixture(scope="session")
def page(page_maker: Page, graph: Graph) -> Page:
    """Pages of the real web server."""
    return Page(page_maker.browser, graph.url, page_maker.folder)
