"""Requests to a stack from here, and from inside its MLflow container, with failures kept as facts."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from mlflow_sso_client import bounds

from components.plugin.profile import BACKEND_STORE, MlflowView
from platforms.running import Instance, Running

SECONDS = (5.0, 20.0)
# What is said of a connection that was taken and then closed without an answer.
CUT_OFF = requests.exceptions.ConnectionError.__name__
AGAIN_SECONDS = 3
HTTPS_REQUIRED = "HTTPS required"
# Where the plugin's login starts; it answers with the redirect that a browser would follow.
LOGIN_PATH = "/login"


@dataclass(frozen=True)
class Reply:
    """What a URL answered. status 0: nothing did, and `error` says why; `untrusted`: because of its certificate.

    skew: seconds by which the server's clock, as its Date header has it, is ahead of this one's; None without one.
    """

    url: str
    status: int = 0
    text: str = field(default="", repr=False)
    location: str = ""
    error: str = ""
    untrusted: bool = False
    skew: float | None = None

    @property
    def document(self) -> dict[str, Any]:
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def wants_https(self) -> bool:
        return self.status in (400, 403) and HTTPS_REQUIRED in self.text


def ask(http: requests.Session, url: str, form: dict[str, str] | None = None) -> Reply:
    """GET `url`, or POST a form to it, following no redirect. A connection that was cut off is tried once more."""
    reply = _ask(http, url, form)
    if reply.error == CUT_OFF:
        # A forward to a pod that was replaced ends with the first connection, and is made again.
        time.sleep(AGAIN_SECONDS)
        return _ask(http, url, form)
    return reply


def _ask(http: requests.Session, url: str, form: dict[str, str] | None) -> Reply:
    start = time.time()
    try:
        answer = bounds.ask(
            http, "POST" if form else "GET", url, data=form, timeout=SECONDS, allow_redirects=False,
            # Given here it wins over REQUESTS_CA_BUNDLE; the session's own would not.
            headers={"Accept": "application/json, text/html"}, verify=http.verify,
        )  # fmt: skip
    except requests.exceptions.SSLError as error:
        return Reply(url, error=_short(error), untrusted="CERTIFICATE_VERIFY_FAILED" in str(error))
    except requests.exceptions.RequestException as error:
        return Reply(url, error=_short(error))
    end = time.time()
    return Reply(
        url, answer.status_code, answer.text, answer.headers.get("Location", ""), skew=_skew(answer, start, end)
    )


def _skew(answer: requests.Response, start: float, end: float) -> float | None:
    try:
        there = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return None
    # The header has whole seconds and was written between the two: only what lies outside of that is skew.
    if there > end:
        return there - end
    return there + 1 - start if there + 1 < start else 0.0


def _short(error: Exception) -> str:
    text = str(error)
    if isinstance(error, bounds.UnfitError):
        return text
    for known in ("Connection refused", "Name or service not known", "No route to host", "timed out"):
        if known in text:
            return known.lower()
    _, found, reason = text.rpartition("certificate verify failed: ")
    return reason.partition(" (_ssl")[0] if found else type(error).__name__


@dataclass(frozen=True)
class LoginPath:
    """The way of a browser from MLflow's login to Keycloak's page: each reply in turn."""

    replies: tuple[Reply, ...]

    @property
    def authorize(self) -> str:
        """The authorization request that MLflow makes a browser send; empty when it sends none."""
        return self.replies[0].location if self.replies[0].status in (302, 303, 307) else ""

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.authorize).query))

    @property
    def refusal(self) -> tuple[str, str]:
        """The error and its description with which Keycloak sends the browser back (RFC 6749, 4.1.2.1)."""
        sent_back = dict(parse_qsl(urlsplit(self.replies[-1].location).query))
        return sent_back.get("error", ""), sent_back.get("error_description", "")

    @property
    def page(self) -> Reply | None:
        """What Keycloak itself answered; None when the browser never got there."""
        return self.replies[1] if len(self.replies) > 1 else None


def login_path(http: requests.Session, mlflow_url: str) -> LoginPath:
    """Start a login as a browser does, up to the page where a person would type."""
    replies = [ask(http, mlflow_url + LOGIN_PATH)]
    if replies[0].status in (302, 303, 307) and "://" in replies[0].location:
        replies.append(ask(http, replies[0].location))
    return LoginPath(tuple(replies))


# Runs with the container's own environment, so it sees what MLflow sees; it prints no value of it.
_INSIDE = """
import json, os, sys
names = json.loads(sys.argv[1])
found = {}
try:
    import requests
    answer = requests.get(os.environ[names["discovery"]], timeout=10, allow_redirects=False)
    found["discovery"] = {"status": answer.status_code, "text": answer.text[:20000]}
except Exception as error:
    found["discovery"] = {"status": 0, "error": type(error).__name__ + ": " + str(error)[:600]}
try:
    if names["redis"]:
        import redis
        redis.Redis.from_url(os.environ[names["redis"]], socket_connect_timeout=5, socket_timeout=5).ping()
        found["redis"] = ""
except Exception as error:
    found["redis"] = type(error).__name__ + ": " + str(error)[:300]
import psycopg2
for name in names["databases"]:
    try:
        url = os.environ[name].replace("postgresql+psycopg2://", "postgresql://", 1)
        psycopg2.connect(url, connect_timeout=5).close()
        found[name] = ""
    except Exception as error:
        found[name] = type(error).__name__ + ": " + str(error)[:300]
found["grants"] = {}
try:
    url = os.environ[names["users"]].replace("postgresql+psycopg2://", "postgresql://", 1)
    asked = psycopg2.connect(url, connect_timeout=5).cursor()
    asked.execute(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = ANY (current_schemas(false))"
        " AND column_name = 'group_id' AND table_name <> 'user_groups'"
    )
    for (table,) in asked.fetchall():
        asked.execute(
            f'SELECT g.group_name, count(*) FROM "{table}" t JOIN groups g ON g.id = t.group_id GROUP BY g.group_name'
        )
        for group, count in asked.fetchall():
            found["grants"][group] = found["grants"].get(group, 0) + count
except Exception:
    found["grants"] = {}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Inside:
    """What MLflow's container reaches with its own settings. A store's text is empty when it was reached.

    redis: None where it was not asked, since no one variable says where it is.
    databases: by the variable that says where each is.
    grants: how many each group has in MLflow, by its name; none where the users' database does not tell.
    """

    discovery: Reply
    redis: str | None
    databases: dict[str, str]
    grants: Mapping[str, int] = field(default_factory=dict)


def look_inside(running: Running, mlflow: Instance, told: MlflowView) -> Inside | None:
    """Ask from inside the MLflow container; None when nothing can be run there."""
    if not mlflow.running:
        return None
    stores = [BACKEND_STORE, told.names.users_database]
    names = {"discovery": told.names.discovery_url, "redis": told.names.cache, "databases": stores, "users": stores[1]}
    answer = running.execute(mlflow, ("python", "-c", _INSIDE, json.dumps(names)))
    try:
        found = json.loads(answer.out)
    except ValueError:
        return None
    reply = found["discovery"]
    error = " ".join(str(reply.get("error", "")).split())
    discovery = Reply(
        told.discovery_url, reply["status"], reply.get("text", ""), error=error, untrusted="certificate verify" in error
    )
    databases = {name: " ".join(found[name].split()) for name in stores}
    return Inside(discovery, found.get("redis"), databases, found["grants"])
