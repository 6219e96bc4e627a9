"""People at a command line and in a browser that only follows redirects and fills in forms."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from settings import ROOT
from stackctl.clients.keycloak_admin import KeycloakAdmin, Provisioner
from tests.e2e.harness import TIMEOUT, Stack

URL = re.compile(r"https?://\S+")


def keycloak_of(outputs: Mapping[str, Any]) -> KeycloakAdmin:
    """A stack's Keycloak, with the account of its own that may manage the realm."""
    account = outputs["provisioner"]
    provisioner = Provisioner(account["client_id"], account["client_secret"], account["realm"])
    return KeycloakAdmin(outputs["keycloak_url"], outputs["realm"], provisioner)


class _Forms(HTMLParser):
    """The first form of a page: its address, and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        if tag == "form" and not self.action:
            self.action = found.get("action", "")
        elif tag == "input" and "name" in found and found.get("type") != "submit":
            self.fields[found["name"]] = found.get("value", "")


class Browser:
    """Cookies, redirects and forms, nothing more.

    A browser takes http://localhost for secure and sends it secure cookies, whatever the port; the cookie jars
    of HTTP libraries do not, so this keeps its own.
    """

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    def open(self, url: str, method: str = "GET", **more: Any) -> requests.Response:
        """The page at the end of all redirects."""
        for _ in range(15):
            answer = self.ask(url, method, **more)
            if not answer.is_redirect:
                return answer
            url, method, more = urljoin(url, answer.headers["Location"]), "GET", {}
        raise AssertionError(f"no end to the redirects at {url}")

    def ask(self, url: str, method: str = "GET", **more: Any) -> requests.Response:
        """One request, without following."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = requests.request(
            method,
            url,
            headers={"Cookie": cookie, "Accept": "text/html"},
            timeout=TIMEOUT,
            allow_redirects=False,
            **more,
        )
        for line in answer.raw.headers.getlist("Set-Cookie"):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return answer

    def log_in(self, url: str, username: str, password: str) -> Browser:
        """Opens MLflow's pages; returns itself."""
        page = self.submit(self.open(f"{url}/login"), username=username, password=password)
        assert page.url.startswith(url), page.text[-2000:]
        return self

    def submit(self, page: requests.Response, **fields: str) -> requests.Response:
        forms = _Forms()
        forms.feed(page.text)
        assert forms.action, f"no form on {page.url}:\n{page.text[-2000:]}"
        return self.open(urljoin(page.url, forms.action), "POST", data={**forms.fields, **fields})

    def approve(self, url: str, username: str, password: str) -> requests.Response:
        """Log in at the address that a command shows, and grant access to the device, if it asks for that."""
        page = self.submit(self.open(url), username=username, password=password)
        if 'name="accept"' in page.text:
            page = self.submit(page, accept="Yes")
        assert page.status_code == 200, page.text[-2000:]
        return page


@dataclass(frozen=True)
class Person:
    """Someone with a config directory of their own, on the machine of the stack or (`laptop`) elsewhere."""

    stack: Stack
    name: str
    home: Path
    laptop: bool = False

    @property
    def url(self) -> str:
        """MLflow's, without a command that a token may not outlive."""
        return str(self.stack.config["mlflow"]["url"])

    @property
    def password(self) -> str:
        return str(self.stack.outputs()["users"][self.name]["password"])

    @property
    def environment(self) -> dict[str, str]:
        state = self.home / "state" if self.laptop else self.stack.home / "state"
        unwanted = ("MLFLOW_", "STACKCTL_", "PULUMI_")
        return {
            **{key: value for key, value in self.stack.environment.items() if not key.startswith(unwanted)},
            "PULUMI_BACKEND_URL": self.stack.environment["PULUMI_BACKEND_URL"],
            "PULUMI_CONFIG_PASSPHRASE": self.stack.environment["PULUMI_CONFIG_PASSPHRASE"],
            "XDG_STATE_HOME": str(state),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "STACK": self.stack.name,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def command(self, *args: str) -> tuple[str, ...]:
        # What needs the login alone asks for no settings.
        alone = self.laptop or args[0] in ("token", "env", "logout")
        known = () if alone else ("--config-file", str(self.stack.config_file))
        return (sys.executable, "-m", "stackctl", *args, *known)

    def run(self, *args: str, given: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run stackctl; `given` is what it reads on standard input. Expects exit code `code` and no traceback."""
        done = subprocess.run(
            self.command(*args), input=given, capture_output=True, text=True, check=False, cwd=ROOT,
            env=self.environment,
        )  # fmt: skip
        told = f"stackctl {' '.join(args)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, told
        assert "Traceback" not in done.stderr, told
        return done

    def log_in(self, *more: str) -> subprocess.CompletedProcess[str]:
        args = ("--username", self.name, "--password-stdin", *more)
        return self.run("login", *args, given=self.password + "\n")

    def log_in_by_device(self, *more: str) -> str:
        """Log in by the device grant, approved in a browser; returns what was said."""
        return approve(self.command("login", *more), self.environment, self.name, self.password)

    def token(self) -> str:
        return self.run("token").stdout.strip()

    def refresh_is_refused(self) -> bool:
        """Whether Keycloak refuses to renew the kept login; its access token is taken for ended."""
        kept = self.home / "config" / "mlflow-sso" / "logins" / f"{self.stack.name}.json"
        document = json.loads(kept.read_text())
        kept.write_text(json.dumps({**document, "access_until": 0}))
        return "expired or was revoked" in self.run("token", code=3).stderr

    def mlflow(self, token: str | None = None, **more: Any) -> int:
        """The status of a request for one's own account."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(
            f"{self.url}/api/2.0/mlflow/users/current", headers=headers, timeout=TIMEOUT, **more
        ).status_code


def approve(command: tuple[str, ...], env: dict[str, str], username: str, password: str) -> str:
    """Start a command that shows a device's address, log in there, and wait for the command to end well."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=env,
        cwd=ROOT,
    ) as running:  # fmt: skip
        assert running.stderr is not None
        said = ""
        try:
            while not (found := URL.search(said)):
                line = running.stderr.readline()
                assert line, f"no address was shown:\n{said}"
                said += line
            Browser().approve(found[0], username, password)
            said += running.stderr.read()
            assert running.wait(30) == 0, said
        finally:
            running.kill()
    return said
