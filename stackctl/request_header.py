"""Authenticates MLflow's Python client with the login kept here (entry point `mlflow.request_header_provider`).

A client with nothing but MLFLOW_TRACKING_URI set then works, for as long as the login lasts: every request
asks for a token that is good now. Worker processes read the same file, and one of them refreshes it.

MLflow hands a provider no address, and one process may speak to several servers. The header must never go
to another one, so the address is read from the caller's own arguments; where that is not possible, no header
is made.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from types import FrameType

from stackctl.errors import AccessError, KeycloakDownError
from stackctl.people.logins import Login, LoginStore, login_for

# What MLflow itself reads credentials from; given by the user, they win.
GIVEN = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_AUTH")
# The function of MLflow that sends a request, and the argument that says where to.
SENDER, TARGET = ("mlflow.utils.rest_utils", "http_request"), "host_creds"
# How many callers above the provider the sender is looked for.
_DEPTH = 12
# How long a Keycloak that does not answer is waited for, once the old token has ended.
PATIENCE_SECONDS = 60


class StackHeaders:
    """Adds `Authorization` to the requests of a server that there is a login for.

    MLflow asks for the two methods and no base class; without it, this module needs no MLflow to be imported.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Login] = {}
        # A worker forked while another thread held the lock would wait for it for ever.
        os.register_at_fork(after_in_child=self._unlock)

    def in_context(self) -> bool:
        return not any(os.environ.get(name) for name in GIVEN)

    def request_headers(self) -> dict[str, str]:
        host = _host(sys._getframe(1))
        if host is None:
            return {}
        with self._lock:
            token = self._token(host)
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def _token(self, host: str) -> str | None:
        login = next((one for one in self._kept.values() if one.serves(host)), None)
        if login is not None and login.fresh(time.time()):
            return login.access_token
        store = login_for(host)
        if store is None:
            return None
        login = _current(store)
        self._kept[login.mlflow_url] = login
        return login.access_token


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
                sys.stderr.write(f"stackctl: {error}\n")
                break
            time.sleep(1)
        except AccessError as error:
            sys.stderr.write(f"stackctl: {error}\n")
            break
    return store.read()


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
