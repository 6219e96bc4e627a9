"""A person who logs in with more than a password: codes as an app shows them, and a browser with a passkey in it."""

from __future__ import annotations

import hmac
import re
import time
from html import unescape
from typing import Any
from urllib.parse import urljoin

import requests
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions

from tests.e2e.browser import Browser
from tests.e2e.harness import TIMEOUT, Client
from tests.e2e.login import followed

# Seconds that a code is shown for, and how many before and after it Keycloak takes (its default policy).
PERIOD, AROUND = 30, 1
# Seconds that a code is good for at least when it is read: a busy machine takes some of them to send it.
GOOD = 20


class App:
    """An app that shows codes (RFC 6238 with the parameters that Keycloak has by itself). Each is good once."""

    def __init__(self, secret: str) -> None:
        self._secret, self._last = secret.encode(), 0

    def code(self) -> str:
        """One that was not shown before; waits for it where there is none."""
        self._last = max(self._last + 1, int(time.time() + GOOD) // PERIOD - AROUND)
        while self._last > int(time.time()) // PERIOD + AROUND:
            time.sleep(0.5)
        digest = hmac.new(self._secret, self._last.to_bytes(8, "big"), "sha1").digest()
        at = digest[-1] & 15
        return f"{(int.from_bytes(digest[at : at + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


class Pages:
    """Keycloak's pages for somebody who logs in to MLflow, one form after the other."""

    def __init__(self, client: Client, **more: str) -> None:
        """more: what is asked for beside a login."""
        self._client = client
        self.http = requests.Session()
        self.start(**more)

    def start(self, **more: str) -> None:
        login = self.http.get(f"{self._client.outputs['mlflow_url']}/login", timeout=TIMEOUT, allow_redirects=False)
        self._follow(self.http.get(login.headers["Location"], params=more, timeout=TIMEOUT, allow_redirects=False))

    def log_in(self, username: str, password: str) -> Pages:
        self.send(username=username, password=password)
        return self

    def open(self, url: str) -> None:
        self._follow(self.http.get(url, timeout=TIMEOUT, allow_redirects=False))

    def forget_password(self, username: str) -> None:
        """By way of the link on the login page."""
        found = re.search(r'href="([^"]*reset-credentials[^"]*)"', self.text)
        assert found, "no link for a forgotten password"
        self.open(urljoin(self._answer.url, unescape(found[1])))
        self.send(username=username)

    @property
    def text(self) -> str:
        return self._answer.text

    @property
    def asks(self) -> str:
        """What is asked for: another factor, or nothing more."""
        if self._answer.url.startswith(self._client.outputs["mlflow_url"]):
            return "nothing"
        found = {
            "set up a code": 'id="totpSecret"',
            "set up a passkey": "registerByWebAuthn",
            "a code": 'name="otp"',
            "another password": 'name="password-new"',
            # A passkey may stand in its place.
            "a password": 'name="password"',
            "a passkey": 'id="webauth"',
        }
        return next((what for what, sign in found.items() if sign in self.text), self.text)

    def send(self, **form: str) -> None:
        """Fill in the form that is shown, with what is hidden in it, and follow where that leads."""
        # One for a passkey may stand beside it.
        forms = re.findall(r"<form.*?</form>", self.text, re.DOTALL)
        page = next((one for one in forms if all(f'name="{name}"' in one for name in form)), "")
        action = re.search(r'<form[^>]*action="([^"]+)"', page)
        assert action, f"no such form, but {self.asks}"
        data = {**_hidden(page), **form}
        self._follow(self.http.post(unescape(action[1]), data=data, timeout=TIMEOUT, allow_redirects=False))

    def _follow(self, answer: requests.Response) -> None:
        self._answer = followed(self.http, answer)

    def set_up_code(self) -> App:
        app = App(_hidden(self.text)["totpSecret"])
        self.send(totp=app.code(), userLabel="phone")
        return app


def _hidden(form: str) -> dict[str, str]:
    """What a form says beside what somebody fills in."""
    found = {}
    for field in re.findall(r"<input[^>]*>", form):
        parts: dict[str, Any] = dict(re.findall(r'(\w+)="([^"]*)"', field))
        if parts.get("type") == "hidden" and "name" in parts:
            found[parts["name"]] = unescape(parts.get("value", ""))
    return found


def add_passkeys(browser: Browser) -> None:
    """Gives a browser what keeps passkeys, and asks nobody to touch it."""
    options = VirtualAuthenticatorOptions()
    options.protocol, options.transport = "ctap2", "internal"
    options.has_resident_key = options.has_user_verification = True
    options.is_user_verified = options.is_user_consenting = True
    browser.driver.add_virtual_authenticator(options)
