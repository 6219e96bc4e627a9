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
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from types import FrameType
from typing import Any

import requests
from requests.auth import AuthBase

from mlflow_sso_client.errors import AccessError, KeycloakDownError
from mlflow_sso_client.files import NAME
from mlflow_sso_client.logins import Login, LoginStore, login_for, server_of
from mlflow_sso_client.notices import (
    netrc,
    once,
    tell,
    tell_of_defect,
    tell_of_file,
    tell_of_no_login,
    tell_of_redirect,
    tell_of_refusal,
)
from mlflow_sso_client.oidc import claims
from mlflow_sso_client.web import canonical, origin, refuse_clear

# What MLflow itself reads credentials from; given by the user, they win.
GIVEN = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_AUTH")
# The same, as MLflow holds them for one server; they replace the header, wherever they come from.
HELD = ("token", "auth", "aws_sigv4", "use_databricks_sdk", "client_secret")
# A user name and password, which win as well; MLflow takes each of the two that is not set from the file.
PAIR, CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), "~/.mlflow/credentials"
# The function of MLflow that sends a request, and the argument that says where to.
SENDER, TARGET = ("mlflow.utils.rest_utils", "http_request"), "host_creds"
BEARER = "Bearer "
GROUP = "mlflow.request_header_provider"
# What stood in the place of this module before the client was a distribution of its own.
OLDER = "stackctl.request_header"
# How many callers above the provider the sender is looked for.
_DEPTH = 12
# How long a Keycloak that does not answer is waited for, once the old token has ended.
PATIENCE_SECONDS = 60
# After that it is asked once for each request, without waiting, for so long: each would wait as long otherwise.
IMPATIENCE_SECONDS = 60


class Bearer:
    """Tokens of kept logins for the threads of one process, each for its own server alone."""

    def __init__(self) -> None:
        self._kept: dict[str, Login] = {}
        # One for each server: nobody waits for the Keycloak of another one.
        self._locks: dict[str, threading.Lock] = {}
        self._patient: dict[str, float] = {}
        # A worker forked while another thread held a lock would wait for it for ever.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._unlock)

    def login(self, address: str, missing: Callable[[], None]) -> Login | None:
        """The login to send to an address, renewed if need be; None where there is none to send, and why is told.

        missing: tells, where no login is kept.
        """
        try:
            login = self._login(address)
            if login is None:
                missing()
            return login
        except AccessError as error:
            tell(error)
        except Exception as error:
            # MLflow makes a line of its log of this, or an end of the program, without a next step.
            tell_of_defect(error, address)
        return None

    def _login(self, address: str) -> Login | None:
        server = server_of(address)
        if server is None:
            # It says why, where there is one that cannot be read.
            store = login_for(address)
            if store is None:
                return None
            server = canonical(store.read().mlflow_url)
        login = self._kept.get(server)
        if login is not None and login.fresh(time.time()):
            return login
        with self._lock(server):
            # Another thread may have renewed it while this one waited.
            login = self._kept.get(server)
            if login is not None and login.fresh(time.time()):
                return login
            store = login_for(address)
            if store is None:
                return None
            refuse_clear(address)
            patience = PATIENCE_SECONDS if time.monotonic() >= self._patient.get(server, 0.0) else 0
            login, waited = _current(store, patience)
            if waited:
                self._patient[server] = time.monotonic() + IMPATIENCE_SECONDS
            self._kept[server] = login
            return login

    def anew(self, refused: Login) -> Login | None:
        """The login after its server refused a token of it that has not ended; None where no other is to be had.

        Whoever runs the program may have logged in again meanwhile. Keycloak is asked once in a process: a server that
        refuses what is new as well would have it asked for each request.
        """
        try:
            with self._lock(canonical(refused.mlflow_url)):
                store = login_for(refused.mlflow_url)
                if store is None:
                    tell_of_refusal(refused, "and it was removed meanwhile")
                    return None
                login = store.read()
                if login.access_token == refused.access_token and once.first(f"anew {login.mlflow_url}"):
                    login = store.instead_of(refused.access_token)
                self._kept[canonical(login.mlflow_url)] = login
            return None if login.access_token == refused.access_token else login
        except AccessError as error:
            tell_of_refusal(refused, error.cause)
        except Exception as error:
            tell_of_defect(error, refused.mlflow_url)
        return None

    def _lock(self, server: str) -> threading.Lock:
        # One step of the interpreter: two threads get the same one.
        return self._locks.setdefault(server, threading.Lock())

    def _unlock(self) -> None:
        self._locks = {}


class SsoHeaders:
    """Adds `Authorization` to the requests of a server that there is a login for.

    MLflow asks for the two methods and no base class; without it, this module needs no MLflow to be imported.
    """

    def __init__(self) -> None:
        self._bearer = Bearer()
        self._doubled = any(point.value.startswith(OLDER) for point in entry_points(group=GROUP))

    def in_context(self) -> bool:
        if any(os.environ.get(name) for name in GIVEN):
            return False
        if self._doubled:
            # MLflow would put both headers into one, which no server accepts.
            text = "an older mlflow-sso in this environment logs MLflow in as well, so this one keeps out of it"
            once.say(OLDER, f"{NAME}: {text}; upgrade it, or run `pip uninstall mlflow-sso`")
        return not self._doubled

    def request_headers(self) -> dict[str, str]:
        target = _target(sys._getframe(1))
        host = getattr(target, "host", None)
        user, password = getattr(target, "username", None), getattr(target, "password", None)
        if not isinstance(host, str) or any(getattr(target, name, None) for name in HELD):
            return {}
        if user and password:
            if not all(os.environ.get(name) for name in PAIR):
                tell_of_file(host, CREDENTIALS, "remove the user name and password from it")
            return {}
        file = netrc(host)
        if file is not None:
            tell_of_file(host, file, f"set MLFLOW_TRACKING_AUTH={NAME} to use the login")
            return {}
        verify = getattr(target, "verify", True)
        login = self._bearer.login(host, lambda: tell_of_no_login(host, chosen=False, verify=verify))
        if login is not None and user:
            # MLflow sends nothing of the two then, and whoever is named is somebody else, maybe.
            text = f"MLFLOW_TRACKING_USERNAME is set and no password, so no login is used for {origin(host)}"
            once.say(text, f"{NAME}: {text}; unset it, or set MLFLOW_TRACKING_PASSWORD as well")
            return {}
        return {} if login is None else {"Authorization": f"{BEARER}{login.access_token}"}


class SsoAuth(AuthBase):
    """Authenticates a request that is about to be sent, for the server it is sent to.

    requests takes the header away from a request that is redirected to another server, and does not ask again.
    """

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        address, given = (request.url or "").partition("?")[0], request.headers.get("Authorization")
        if given is not None and not given.startswith(BEARER):
            # A user name and password: nobody sets these by the way.
            return request
        # A token that is given may be good where there is no login.
        login = self._bearer.login(address, lambda: None if given else tell_of_no_login(address, chosen=True))
        if login is not None and (given is None or _renews(login, given.removeprefix(BEARER))):
            request.headers["Authorization"] = f"{BEARER}{login.access_token}"
            request.register_hook("response", partial(self._look, login))  # type: ignore[no-untyped-call]
        return request

    def _look(self, login: Login, answer: requests.Response, **sending: Any) -> requests.Response:
        """Look at an answer. One more request is made with a new token, where this one was refused and can be repeated.

        sending: how requests sent it. The hook stays with a request that is redirected, its header maybe not.
        """
        request, sent = answer.request, f"{BEARER}{login.access_token}"
        # Of a token that has ended, its user was told when no new one was to be had.
        ours = request.headers.get("Authorization") == sent and login.usable(time.time())
        if answer.status_code != 401 or not ours:
            if answer.status_code == 401 and "Authorization" not in request.headers:
                tell_of_redirect(login, request.url or "")
            return answer
        new = self._bearer.anew(login)
        if new is not None and (request.body is None or isinstance(request.body, bytes | str)):
            # The connection is used again once its answer is read (`requests.auth.HTTPDigestAuth` does the same).
            answer.content  # noqa: B018
            answer.close()
            again = request.copy()
            again.headers["Authorization"] = f"{BEARER}{new.access_token}"
            second: requests.Response = answer.connection.send(again, **sending)
            second.history.append(answer)
            second.request = again
            answer = second
        if answer.status_code == 401:
            tell_of_refusal(new or login, "it answered 401")
        return answer


class SsoAuthProvider:
    """What MLflow asks for an authentication by name (mlflow.tracking.request_auth.RequestAuthProvider)."""

    def __init__(self) -> None:
        self._auth = SsoAuth(Bearer())

    def get_name(self) -> str:
        return NAME

    def get_auth(self) -> SsoAuth:
        return self._auth


def _renews(login: Login, token: str) -> bool:
    """Whether a login has a token that is good now, for whom a given one was issued: `env` prints one of that kind."""
    mine, given = claims(login.access_token) or {}, claims(token) or {}
    same = "sub" in mine and all(mine.get(name) == given.get(name) for name in ("iss", "sub"))
    return same and login.usable(time.time())


def _current(store: LoginStore, patience: float) -> tuple[Login, bool]:
    """The login with a token that is good now, and whether all patience was for nothing.

    patience: seconds for a Keycloak that restarts. Where there is no new token the old one is sent all the same:
    MLflow's refusal then stops the client, and the cause stands on standard error.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return store.current(), False
        except KeycloakDownError as error:
            if store.read().usable(time.time()):
                return store.read(), False
            if time.monotonic() >= deadline:
                tell(error)
                return store.read(), True
            time.sleep(1)
        except AccessError as error:
            tell(error, store.read())
            return store.read(), False


def _target(frame: FrameType | None) -> Any:
    """What MLflow holds of the server that the request being made goes to; None where nobody sends one."""
    for _ in range(_DEPTH):
        if frame is None:
            return None
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) == SENDER:
            return frame.f_locals.get(TARGET)
        frame = frame.f_back
    return None
