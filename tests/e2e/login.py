"""Logs in on Keycloak's page as a browser would, but without one: for tests that only need what a login leaves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape

import requests

from tests.e2e.harness import TIMEOUT, Client


def _unmark(browser: requests.Session) -> None:
    """Keycloak marks its cookies Secure on loopback too, as browsers allow; `requests` would hold them back."""
    for cookie in browser.cookies:
        cookie.secure = False


def followed(browser: requests.Session, answer: requests.Response) -> requests.Response:
    """Where an answer leads in the end."""
    _unmark(browser)
    while answer.is_redirect:
        answer = browser.get(answer.headers["Location"], timeout=TIMEOUT, allow_redirects=False)
        _unmark(browser)
    return answer


def submit_login(
    browser: requests.Session, url: str, query: Mapping[str, str], username: str, password: str
) -> requests.Response:
    """Open `url`, which leads to Keycloak's login page, and send its form; returns the redirect that answers."""
    page = browser.get(url, params=dict(query), timeout=TIMEOUT)
    action = re.search(r'action="([^"]+)"', page.text)
    assert action, f"{page.url} {page.status_code}: {page.text[:500]}"
    _unmark(browser)
    form = {"username": username, "password": password}
    return browser.post(unescape(action[1]), data=form, timeout=TIMEOUT, allow_redirects=False)


def ui_session(client: Client, username: str) -> requests.Session:
    """A session of MLflow's UI; its cookie stands for a browser's."""
    browser = requests.Session()
    password = client.outputs["users"][username]["password"]
    answer = submit_login(browser, f"{client.outputs['mlflow_url']}/login", {}, username, password)
    browser.get(answer.headers["Location"], timeout=TIMEOUT).raise_for_status()
    return browser
