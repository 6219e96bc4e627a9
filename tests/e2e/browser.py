"""A headless Chromium that sees a stack as a person does."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    StaleElementReferenceException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

# Seconds until a page must show what is looked for, on a machine that is busy with several stacks.
PATIENCE = 90
# Seconds after which a click that led nowhere is made again.
CLICK_SECONDS = 10
# Names a directory that keeps the pictures: `make screenshots` sets it to docs/images.
KEEP = "E2E_SCREENSHOTS"
# Chromium gives up every request when an interface of this machine comes or goes, as with each container of another
# stack; a page that lacks a script for it stays broken until somebody loads it anew.
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
WIDTH, HEIGHT = 1280, 800
Found = TypeVar("Found")


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with a new profile: no cookie, no history, no password store."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-US",
        f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver") or "chromedriver"))
    try:
        # The window's own frame would take a part of the height.
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False},
        )
        yield Browser(driver, profile.parent)
    finally:
        driver.quit()


class Browser:
    """What a person does with a browser, in their words."""

    def __init__(self, driver: Chrome, pictures: Path) -> None:
        self.driver = driver
        self._pictures = Path(os.environ.get(KEEP) or pictures).resolve()
        self._said: list[str] = []
        self._last_click = ""

    @property
    def url(self) -> str:
        return str(self.driver.current_url)

    @property
    def text(self) -> str:
        return str(self.driver.execute_script("return document.body ? document.body.innerText : ''"))

    def open(self, url: str) -> None:
        for _ in range(5):
            try:
                return self.driver.get(url)
            except WebDriverException as error:
                if NETWORK_CHANGED not in str(error):
                    raise
        raise AssertionError(f"{url} could not be opened: {NETWORK_CHANGED} each time")

    def _until(self, done: Callable[[Chrome], Found], complaint: str) -> Found:
        """Wait for it. A page that draws itself anew takes elements away between finding and using them."""
        again = (StaleElementReferenceException, ElementClickInterceptedException)

        def look(driver: Chrome) -> Found:
            found = done(driver)
            if not found and any(NETWORK_CHANGED in line for line in self._new_lines()):
                driver.refresh()
            return found

        try:
            return WebDriverWait(self.driver, PATIENCE, ignored_exceptions=again).until(look, complaint)
        except TimeoutException:
            raise AssertionError(f"{complaint}, but this, at {self.url}:\n{self.text}\n{self._failures()}") from None

    def _log(self, kind: str) -> list[dict[str, Any]]:
        return list(self.driver.get_log(kind))  # type: ignore[no-untyped-call]

    def _new_lines(self) -> list[str]:
        """What the page has written to its console since this was asked before."""
        lines = [f"{entry['level']}: {entry['message']}" for entry in self._log("browser")]
        self._said += lines
        return lines

    def _failures(self) -> str:
        """What the page wrote to its console, and its requests that were refused, failed or have not ended yet."""
        self._new_lines()
        said = list(self._said)
        asked: dict[str, str] = {}
        for entry in self._log("performance"):
            event = json.loads(entry["message"])["message"]
            about = event["params"]
            match event["method"]:
                case "Network.requestWillBeSent":
                    asked[about["requestId"]] = f"{about['request']['method']} {about['request']['url']}"
                case "Network.responseReceived" if about["response"]["status"] >= 400:
                    said.append(f"{about['response']['status']}: {about['response']['url']}")
                case "Network.loadingFinished" | "Network.requestServedFromCache":
                    asked.pop(about["requestId"], None)
                case "Network.loadingFailed":
                    said.append(f"{about['errorText']}: {asked.pop(about['requestId'], '?')}")
        return "\n".join([*said, *(f"not ended: {request}" for request in asked.values())])

    def requests(self) -> list[str]:
        """The addresses that its pages have asked for since this was asked before."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def find(self, selector: str) -> WebElement:
        """The element that a CSS selector names, as soon as it shows."""
        found = self._until(lambda _: self._shown(By.CSS_SELECTOR, selector), f"nothing matches {selector}")
        assert found is not None
        return found

    def click(self, selector: str) -> None:
        self._until(lambda _: self._clicked(By.CSS_SELECTOR, selector), f"nothing to click matches {selector}")

    def click_xpath(self, path: str) -> None:
        self._until(lambda _: self._clicked(By.XPATH, path), f"nothing to click is at {path}")

    def click_text(self, text: str) -> None:
        """Click the link or button with this text."""
        path = f"//*[self::a or self::button][contains(normalize-space(.), '{text}')]"
        self.click_xpath(path)
        self._last_click = path

    def _shown(self, by: str, what: str) -> WebElement | None:
        return next((e for e in self.driver.find_elements(by, what) if e.is_displayed()), None)

    def _clicked(self, by: str, what: str) -> bool:
        element = self._shown(by, what)
        if element is not None:
            element.click()
        return element is not None

    def wait_text(self, text: str) -> None:
        self._until(lambda _: text in self.text, f"the page does not say {text}")

    def wait_url(self, prefix: str) -> None:
        """Wait for an address. A click that came before the page's script was ready is made again, as people do."""
        again = time.monotonic() + CLICK_SECONDS

        def there(_: Chrome) -> bool:
            nonlocal again
            if self.url.startswith(prefix):
                return True
            if self._last_click and time.monotonic() > again:
                self._clicked(By.XPATH, self._last_click)
                again = time.monotonic() + CLICK_SECONDS
            return False

        self._until(there, f"not at {prefix}")
        self._last_click = ""

    def log_in(self, username: str, password: str) -> None:
        """Fill in Keycloak's login page."""
        self.find("#username").send_keys(username)
        self.find("#password").send_keys(password)
        self.click("[type=submit]")

    def cookies(self) -> dict[str, str]:
        """The cookies of the page that is shown, by name."""
        return {str(c["name"]): str(c["value"]) for c in self.driver.get_cookies()}

    def picture(self, name: str) -> Path:
        """Keep what is shown now: 1280 x 800, small enough for a repository."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "jpeg", "quality": 85})
        path = self._pictures / f"{name}.jpg"
        path.write_bytes(base64.b64decode(shot["data"]))
        return path
