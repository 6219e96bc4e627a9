"""The matrix of a running stack: its callers with each kind of credentials, its routes, and what it holds."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

from tests.e2e.asking import V2
from tests.e2e.harness import TIMEOUT, Client, Stack
from tests.e2e.keycloak import KeycloakAdmin
from tests.e2e.login import submit_login
from tests.matrix import server
from tests.matrix.asked import Asker, Matrix
from tests.matrix.rows import ACCOUNT, ADMINISTRATOR, DIRECTORY, EDITOR, MANAGER, PLAIN, READER, USER
from tests.matrix.standing import stand
from tests.matrix.world import World

# Each kind of credentials is somebody's. These callers have personal tokens; `user` has a session of a browser.
TOKENS = (READER, EDITOR, MANAGER)
PASSWORD = secrets.token_hex(16)


# The environment of the process that serves.
ENVIRONMENT = """
import os
pairs = open("/proc/1/environ", "rb").read().decode().split(chr(0))
os.environ.update(pair.split("=", 1) for pair in pairs if "=" in pair)
"""


def _printed(stack: Stack, script: str) -> str:
    """What a script prints that imports the application as the process has it that serves."""
    return stack.inside("mlflow", "/opt/mlflow/bin/python", "-c", ENVIRONMENT + script)


def routes(stack: Stack) -> set[str]:
    """Every route of the stack's MLflow, read from its application."""
    return server.routes(_printed(stack, server.ROUTES))


def schemas(stack: Stack) -> dict[str, Any]:
    """What each route takes, read from the application."""
    return server.schemas(_printed(stack, server.SCHEMAS))


def digest(stack: Stack) -> dict[str, str]:
    """What the databases of MLflow and its plugin hold, table by table, and the names of all artifacts."""
    found: dict[str, str] = {}
    for database in ("mlflow", "oidc"):
        psql = f"psql -qAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres -d {database}"
        script = f"PGPASSWORD=$POSTGRES_PASSWORD exec {psql}"
        found |= server.digests(database, stack.inside("postgres", "bash", "-c", script, given=server.DIGESTS))
    files = stack.inside("mlflow", "find", "/mlflow/artifacts", "-type", "f", "-printf", "%p %s %T@\\n")
    found["artifacts"] = hashlib.sha256("\n".join(sorted(files.splitlines())).encode()).hexdigest()
    return found


class Browsers:
    """People of Keycloak's who log in with a browser; they go when the test ends."""

    def __init__(self, client: Client, keycloak: KeycloakAdmin) -> None:
        self._client, self._keycloak, self._made = client, keycloak, list[str]()

    def make(self) -> str:
        """A person's user name."""
        name = f"matrix-{secrets.token_hex(4)}"
        more = {"email": f"{name}@example.com", "emailVerified": True, "firstName": "M", "lastName": "X"}
        credentials = [{"type": "password", "value": PASSWORD, "temporary": False}]
        self._made.append(
            self._keycloak.make(
                f"/{self._keycloak.realm}/users",
                username=name,
                enabled=True,
                groups=["/mlflow-users"],
                credentials=credentials,
                **more,
            )
        )
        return name

    def session(self, name: str) -> dict[str, str]:
        """The header of a browser in which a person logged in."""
        browser = requests.Session()
        answer = submit_login(browser, f"{self._client.outputs['mlflow_url']}/login", {}, name, PASSWORD)
        browser.get(answer.headers["Location"], timeout=TIMEOUT).raise_for_status()
        jar = browser.cookies.get_dict(domain="localhost.local") or browser.cookies.get_dict()
        return {"Cookie": "; ".join(f"{key}={value}" for key, value in jar.items() if "session" in key.lower())}

    def remove(self) -> None:
        for number in self._made:
            self._keycloak.remove(f"/{self._keycloak.realm}/users/{number}")


class Bearer(Mapping[str, str]):
    """The header of somebody's token, which is another one before it expires. grant: what gives one (RFC 6749, 5.1)."""

    def __init__(self, grant: Callable[[], Mapping[str, Any]]) -> None:
        self._grant, self._lock = grant, threading.Lock()
        self._value, self._until = "", 0.0

    def __getitem__(self, name: str) -> str:
        if name != "Authorization":
            raise KeyError(name)
        with self._lock:
            if time.monotonic() > self._until:
                answer = self._grant()
                self._value = f"Bearer {answer['access_token']}"
                self._until = time.monotonic() + answer["expires_in"] / 2
            return self._value

    def __iter__(self) -> Iterator[str]:
        return iter(("Authorization",))

    def __len__(self) -> int:
        return 1


def _token(world: World, name: str) -> dict[str, str]:
    """The header of a personal token, which an administrator makes for somebody."""
    body = {"name": "matrix", "expiration": world.values["soon"]}
    made = world.must("POST", f"{V2}/users/{name}/tokens", body)
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{made['token']}".encode()).decode()}


def _account(client: Client) -> dict[str, Any]:
    """A grant of the service account that the stack declares."""
    ((number, about),) = client.outputs["service_accounts"].items()
    answer = client.grant(grant_type="client_credentials", client_id=number, client_secret=about["client_secret"])
    return dict(answer.json())


@contextmanager
def matrix(stack: Stack, client: Client, keycloak: KeycloakAdmin) -> Iterator[Matrix]:
    """The matrix with a world of its own; its people go when the test ends."""
    mark = secrets.token_hex(4)
    browsers = Browsers(client, keycloak)
    names = {caller: f"{caller}-{mark}" for caller in TOKENS}
    guest, group = f"guest-{mark}", f"group-{mark}"
    headers: dict[str, Mapping[str, str]] = {
        ADMINISTRATOR: Bearer(lambda: client.password_token("alice")),
        PLAIN: Bearer(lambda: client.password_token("bob")),
        ACCOUNT: Bearer(lambda: _account(client)),
    }
    ask = Asker(client.outputs["mlflow_url"], headers)
    names |= {ADMINISTRATOR: "alice", PLAIN: "bob", ACCOUNT: "service-account-trainer", USER: browsers.make()}
    headers[USER] = browsers.session(names[USER])
    visitor = browsers.make()

    def sign_in() -> str:
        browsers.session(visitor)
        return visitor

    world = World(ask, names, guest, group, sign_in)
    world.must("POST", f"{V2}/permissions/groups", {"group_name": group})
    for name in (*(names[caller] for caller in TOKENS), guest):
        world.must("POST", f"{V2}/users", {"username": name, "display_name": name, "is_admin": False})
    # Whoever comes with a token for the first time gets an account by it.
    for caller in (PLAIN, ACCOUNT):
        world.must("GET", f"{V2}/users/current", caller=caller)
    headers |= {caller: _token(world, names[caller]) for caller in TOKENS}
    secret = world.must("POST", f"{V2}/scim/tokens", {"name": f"matrix-{mark}"})["token"]
    headers[DIRECTORY] = {"Authorization": f"Bearer {secret}"}
    provider = client.mlflow("/providers").json()["providers"][0]["id"]
    page = ask(ADMINISTRATOR, "GET", "/").text
    world.values |= {
        "provider": provider, "job": "00000000-0000-4000-8000-000000000000", "scim_type": "User",
        "scim_schema": "urn:ietf:params:scim:schemas:core:2.0:User", "page_file": _file_of(page),
    }  # fmt: skip
    try:
        yield Matrix(ask, stand(world), lambda: digest(stack))
    finally:
        browsers.remove()
        for name in (*(names[caller] for caller in TOKENS), guest, names[USER], visitor):
            ask(ADMINISTRATOR, "DELETE", f"{V2}/users", {"username": name})


def _file_of(page: str) -> str:
    """A file that MLflow's page loads."""
    start = page.index("static-files/") + len("static-files/")
    return page[start : page.index('"', start)]
