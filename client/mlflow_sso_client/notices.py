"""What a program that uses a login is told: each thing once, on standard error, with the next step."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import requests
from requests.utils import get_netrc_auth

from mlflow_sso_client import bounds
from mlflow_sso_client.addresses import no_login
from mlflow_sso_client.errors import AccessError, NotLoggedInError
from mlflow_sso_client.files import NAME
from mlflow_sso_client.logins import Login, damaged_logins, kept_logins, login_for
from mlflow_sso_client.web import CURRENT_USER, is_loopback, origin, untouched
from mlflow_sso_client.words import Once

# Seconds for which a server is asked whether it wants a login at all.
_TIMEOUT = 5.0
once = Once()


def tell(error: AccessError, login: Login | None = None) -> None:
    """Say why a login cannot be used. login: the one that is meant, so that the next step names its server."""
    step = error.next_step
    if login is not None and isinstance(error, NotLoggedInError):
        step = f"run `mlflow-sso login --url {login.mlflow_url}`"
    once.say(error.cause, f"{NAME}: {error.cause}; {step}")


def tell_of_refusal(login: Login, reason: str) -> None:
    """Say that a server refuses the token of its login, which looks good from here."""
    cause = f"{origin(login.mlflow_url)} refuses the login of {login.username} that is kept here ({reason})"
    once.say(f"refusal by {login.mlflow_url}", f"{NAME}: {cause}; run `mlflow-sso login --url {login.mlflow_url}`")


def tell_of_redirect(login: Login, url: str) -> None:
    """Say that a server sends its clients to another one, where no token of its login goes."""
    here, there = origin(login.mlflow_url), origin(url)
    if here != there:
        text = f"{here} redirects to {there}, where the login that is kept for it does not go"
        once.say(text, f"{NAME}: {text}; set MLFLOW_TRACKING_URI to its own address, and log in to that")


def tell_of_defect(error: Exception, address: str) -> None:
    """Say that no login is used because of something that nobody foresaw. Its own words may hold a secret."""
    reason = getattr(error, "strerror", None) or "a defect of mlflow-sso-client"
    where = getattr(error, "filename", None)
    text = f"no login is used for {origin(address)}: {type(error).__name__}{f' at {where}' if where else ''} ({reason})"
    once.say(text, f"{NAME}: {text}; run `mlflow-sso token`, which shows more")


def tell_of_no_login(address: str, *, chosen: bool, verify: bool | str = True) -> None:
    """Say why no login is used for a server, where somebody would expect one to be.

    chosen: whether the user chose this client by name. Otherwise the server may be one that wants no login, so it is
    asked once, without a token. verify: whose certificates MLflow trusts for it.
    """
    if urlsplit(address).username is not None:
        # Whoever is named in the address is who is meant.
        return
    for error in damaged_logins():
        tell(error)
    if _tell_of_another_name(address):
        return
    if chosen or (once.first(f"asked {origin(address)}") and _wants_login(address, verify)):
        tell(no_login(address))


def netrc(address: str) -> str | None:
    """The file with what requests sends to a server in place of any header, unless it is given an authentication.

    None where no line of it is for the server (`requests.utils.get_netrc_auth`).
    """
    return None if get_netrc_auth(address) is None else os.environ.get("NETRC") or "~/.netrc"


def tell_of_file(address: str, file: str, step: str) -> None:
    """Say that what a file holds for a server is sent in place of the login that is kept for it, if one is.

    step: what else than a logout makes it clear who is meant.
    """
    try:
        store = login_for(address)
    except (AccessError, OSError):
        # What is wrong with the kept logins is of no matter where none of them is used.
        return
    if store is not None:
        text = f"{file} wins over the login kept here for {origin(address)}"
        once.say(text, f"{NAME}: {text}; {step}, or run `mlflow-sso logout --stack {store.stack}`")


def _tell_of_another_name(address: str) -> bool:
    """Whether a login is kept for what is almost the same server; it is told."""
    asked = urlsplit(address)
    for login in kept_logins().values():
        known = urlsplit(login.mlflow_url)
        local = is_loopback(asked.hostname or "") and is_loopback(known.hostname or "") and asked.port == known.port
        if local or (asked.hostname == known.hostname and asked.hostname):
            text = f"the login kept here is for {login.mlflow_url}, and not for {origin(address)}"
            step = f"set MLFLOW_TRACKING_URI={login.mlflow_url}, or run `mlflow-sso login --url {origin(address)}`"
            once.say(text, f"{NAME}: {text}; {step}")
            return True
    return False


def _wants_login(address: str, verify: bool | str) -> bool:
    url = address.partition("/api/")[0].rstrip("/") + CURRENT_USER
    try:
        answer = bounds.ask(
            requests.Session(), "GET", url, seconds=_TIMEOUT,
            auth=untouched, timeout=_TIMEOUT, allow_redirects=False, verify=verify,
        )  # fmt: skip
    except (OSError, ValueError):
        # MLflow's own request says what is wrong with it.
        return False
    return answer.status_code == 401
