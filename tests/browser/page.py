"""The web UI in a real browser: opened, clicked, read and photographed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

_FLAGS = (
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
_PATIENCE_S = 60
_SETTLE_S = 1.5  # pictures fade in, graphs are laid out


def chromium(program: str, driver: str, profile: Path) -> webdriver.Chrome:
    """Start a Chromium without a window."""
    options = Options()
    options.binary_location = program
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options, Service(driver))


@dataclass(frozen=True)
class Page:
    """Pages of the web UI."""

    browser: webdriver.Chrome
    url: str
    folder: Path

    def open(self, path: str, *texts: str) -> None:
        """Open a page and wait for texts on it."""
        self.browser.get(f"{self.url}{path}")
        self.wait_for(*texts)

    def text(self) -> str:
        """Return all that can be read."""
        return self.browser.find_element(By.TAG_NAME, "body").text

    def wait_for(self, *texts: str) -> None:
        """Wait until the page shows texts; a picture of it is kept if it does not."""

        def is_there(_: webdriver.Chrome) -> bool:
            try:
                shown = self.text()
            except WebDriverException:  # the page redraws meanwhile
                return False
            return all(text in shown for text in texts)

        try:
            WebDriverWait(self.browser, _PATIENCE_S).until(is_there, f"no {texts}")
        except WebDriverException:
            self.shoot("failure")
            raise

    def button(self, text: str) -> WebElement:
        """Return a button by its text, once it can be clicked."""

        def find(browser: webdriver.Chrome) -> WebElement | Literal[False]:
            for element in browser.find_elements(By.TAG_NAME, "button"):
                if element.text.strip() == text and element.is_enabled():
                    return element
            return False

        return WebDriverWait(
            self.browser, _PATIENCE_S, ignored_exceptions=(WebDriverException,)
        ).until(find, f"no button {text}")

    def click(self, text: str) -> None:
        """Click a button."""
        self.button(text).click()

    def press(self, *modifiers_and_key: str) -> None:
        """Press a key with modifiers held down."""
        *modifiers, key = modifiers_and_key
        actions = ActionChains(self.browser)
        for modifier in modifiers:
            actions.key_down(modifier)
        actions.send_keys(key)
        for modifier in modifiers:
            actions.key_up(modifier)
        actions.perform()

    @contextmanager
    def of_size(self, width: int, height: int) -> Iterator[None]:
        """Make the window larger for a while, pixels."""
        before = self.browser.get_window_size()
        self.browser.set_window_size(width, height)
        yield
        self.browser.set_window_size(before["width"], before["height"])

    def shoot(self, name: str) -> None:
        """Save what the page looks like."""
        time.sleep(_SETTLE_S)
        self.browser.save_screenshot(str(self.folder / f"{name}.png"))


ALT = Keys.ALT
