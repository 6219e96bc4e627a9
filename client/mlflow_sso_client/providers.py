"""Authenticates MLflow's Python client with a kept login, in the two ways that MLflow has for it.

A client with nothing but MLFLOW_TRACKING_URI set works by the entry point `mlflow.request_header_provider`. With
MLFLOW_TRACKING_AUTH=mlflow-sso it works by `mlflow.request_auth_provider`, MLflow's stable interface for this, and the
other one keeps out of it. Every request asks for a token that is good now; worker processes read the same file, and one
of them renews it. A login that cannot be used is told once on standard error, with the next step.

MLflow hands a header provider no address, and one process may speak to several servers. The header must never go to
another one, so the address is read from the caller's own arguments; where that is not possible, no header is made.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from types import FrameType
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from mlflow_sso_client.errors import AccessError, KeycloakDownError
from mlflow_sso_client.logins import Login, LoginStore, damaged_logins, kept_logins, login_for
from mlflow_sso_client.web import is_loopback
from mlflow_sso_client.words import Once

NAME = "mlflow-sso"
# What MLflow itself reads credentials from; given by the user, they win.
GIVEN = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_AUTH")
# The function of MLflow that sends a request, and the argument that says where to.
SENDER, TARGET = ("mlflow.utils.rest_utils", "http_request"), "host_creds"
# How many callers above the provider the sender is looked for.
_DEPTH = 12
# How long a Keycloak that does not answer is waited for, once the old token has ended.
PATIENCE_SECONDS = 60
_once = Once()


class Bearer:
    """Tokens of kept logins for the threads of one process, each for its own server alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Login] = {}
        # A worker forked while another thread held the lock would wait for it for ever.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._unlock)

    def token(self, address: str) -> str | None:
        """A token for the server of an address; None where no login is kept for it."""
        with self._lock:
            login = next((one for one in self._kept.values() if one.serves(address)), None)
            if login is not None and login.fresh(time.time()):
                return login.access_token
            store = login_for(address)
            if store is None:
                return None
            login = _current(store)
            self._kept[login.mlflow_url] = login
            return login.access_token

    def _unlock(self) -> None:
        self._lock = threading.Lock()


class SsoHeaders:
    """Adds `Authorization` to the requests of a server that there is a login for.

    MLflow asks for the two methods and no base class; without it, this module needs no MLflow to be imported.
    """

    def __init__(self) -> None:
        self._bearer = Bearer()

    def in_context(self) -> bool:
        return not any(os.environ.get(name) for name in GIVEN)

    def request_headers(self) -> dict[str, str]:
        host = _host(sys._getframe(1))
        if host is None:
            return {}
        token = self._bearer.token(host)
        if token is None:
            _tell_of_near_misses(host)
            return {}
        return {"Authorization": f"Bearer {token}"}


class SsoAuth(AuthBase):
    """Authenticates a request that is about to be sent, for the server it is sent to.

    requests takes the header away from a request that is redirected to another server, and does not ask again.
    """

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        address = request.url or ""
        token = self._bearer.token(address.partition("?")[0])
        if token is None:
            origin = _origin(address)
            _tell_of_damage()
            _once.say(origin, f"{NAME}: there is no login for {origin}; run `mlflow-sso login --url {origin}`")
        else:
            request.headers["Authorization"] = f"Bearer {token}"
        return request


class SsoAuthProvider:
    """What MLflow asks for an authentication by name (mlflow.tracking.request_auth.RequestAuthProvider)."""

    def __init__(self) -> None:
        self._auth = SsoAuth(Bearer())

    def get_name(self) -> str:
        return NAME

    def get_auth(self) -> SsoAuth:
        return self._auth


def _current(store: LoginStore) -> Login:
    """The login with a token that is good now. Waits a little for a Keycloak that restarts.

    Where there is no new token the old one is sent all the same: MLflow's refusal then stops the client, and
    the cause stands on standard error.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            store.access_token()
            break
        except KeycloakDownError as error:
            if store.read().usable(time.time()):
                break
            if time.monotonic() >= deadline:
                _once.say(str(error), f"{NAME}: {error}")
                break
            time.sleep(1)
        except AccessError as error:
            _once.say(str(error), f"{NAME}: {error}")
            break
    return store.read()


def _tell_of_near_misses(host: str) -> None:
    """Say why no login is used for a server, where somebody would expect one to be.

    Nothing is said of servers that look like none of the kept logins': they may ask for no login at all.
    """
    _tell_of_damage()
    asked = urlsplit(host)
    for login in kept_logins().values():
        known = urlsplit(login.mlflow_url)
        local = is_loopback(asked.hostname or "") and is_loopback(known.hostname or "") and asked.port == known.port
        if local or (asked.hostname == known.hostname and asked.hostname):
            text = f"the login kept here is for {login.mlflow_url}, and not for {_origin(host)}"
            _once.say(host, f"{NAME}: {text}; set MLFLOW_TRACKING_URI={login.mlflow_url}, or log in to the other one")


def _tell_of_damage() -> None:
    for path in damaged_logins():
        _once.say(str(path), f"{NAME}: the login kept in {path} cannot be read; run `mlflow-sso login`")


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _host(frame: FrameType | None) -> str | None:
    """The server that the request being made goes to."""
    for _ in range(_DEPTH):
        if frame is None:
            return None
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) == SENDER:
            host = getattr(frame.f_locals.get(TARGET), "host", None)
            return host if isinstance(host, str) else None
        frame = frame.f_back
    return None
