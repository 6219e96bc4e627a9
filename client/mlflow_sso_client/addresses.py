"""Where MLflow and its Keycloak are, for a machine that knows nothing but a URL or a kept login.

MLflow's own login names the issuer, and the issuer describes itself (OpenID Connect Discovery 1.0).
"""

from __future__ import annotations

import os
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from mlflow_sso_client.errors import AccessError, NotLoggedInError, RefusedError
from mlflow_sso_client.logins import USUAL, Login, LoginStore, damaged_logins, kept_logins, login_for
from mlflow_sso_client.oidc import Provider, discover, told
from mlflow_sso_client.web import MLFLOW, Web, canonical, refuse_clear, session

CLI_CLIENT = "mlflow-cli"
AUTHORIZE = "/protocol/openid-connect/auth"
# The variables that say what an option does, in the order in which they count.
URL = ("MLFLOW_SSO_URL", "STACKCTL_URL")
ISSUER = ("MLFLOW_SSO_ISSUER", "STACKCTL_ISSUER")
CLIENT = ("MLFLOW_SSO_CLIENT_ID", "STACKCTL_CLIENT_ID")
TOKENS = ("MLFLOW_SSO_TOKEN_URL",)
STACK = ("STACK",)
CA = ("MLFLOW_SSO_CA_BUNDLE", "STACKCTL_CA_BUNDLE")
# The name of a login is that of its file, and of the stack where an operator logs in.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def given(value: str | None, variables: tuple[str, ...]) -> str | None:
    """An option's value, or else that of the first variable that is set."""
    return value or next((os.environ[name] for name in variables if os.environ.get(name)), None)


def given_bundle(value: str | None) -> str | None:
    """The CAs that an option or a variable names: a file in PEM, or a directory of them as OpenSSL reads it.

    Raises RefusedError for one that cannot be used. A login keeps it, and over plain http nothing would ever read it.
    """
    bundle = given(value, CA)
    if bundle is None:
        return None
    try:
        if not Path(bundle).is_dir():
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=bundle)
        return bundle
    except ssl.SSLError:
        reason = "it holds no certificate in PEM"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no name of a file"
    raise RefusedError(f"the CA bundle {bundle} cannot be used ({reason})", f"give a file by --ca-bundle or {CA[0]}")


def tracking_uri() -> str:
    """The server that MLFLOW_TRACKING_URI names; empty where it names none, but a file or a database."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    return address if address.lower().startswith(("http://", "https://")) else ""


@dataclass(frozen=True)
class Address:
    """An MLflow, the issuer of its tokens, and the client to log in through.

    token_url: where a service account gets tokens, where the issuer is not reached from here; empty: the issuer knows.
    """

    mlflow_url: str
    issuer: str
    client_id: str
    ca_bundle: str | None = None
    token_url: str = ""

    def http(self) -> requests.Session:
        return session(self.ca_bundle)

    def provider(self) -> Provider:
        """The issuer's own description of itself, asked for anew."""
        return discover(self.issuer, self.http())

    def accounts(self) -> Provider:
        """What gives a service account its tokens: the URL that is told, or else the issuer."""
        return told(self.issuer, self.token_url, self.http()) if self.token_url else self.provider()


def from_url(url: str, issuer: str | None = None, client_id: str | None = None, ca: str | None = None) -> Address:
    """The address of an MLflow whose URL is known; MLflow is asked for what is not given.

    Raises RefusedError for what is no URL, or one that would carry tokens in clear, and AccessError where MLflow names
    no issuer.
    """
    checked, bundle = _origin(url), given_bundle(ca)
    issuer = given(issuer, ISSUER) or issuer_of(checked, session(bundle))
    token_url = given(None, TOKENS) or ""
    return Address(checked, issuer.rstrip("/"), given(client_id, CLIENT) or CLI_CLIENT, bundle, token_url)


def issuer_of(mlflow_url: str, http: requests.Session) -> str:
    """The issuer that MLflow sends a browser to for its login."""
    answer = Web(MLFLOW, mlflow_url, http).ask("GET", "/login")
    target = answer.headers.get("Location", "")
    if answer.status_code not in (302, 303, 307) or AUTHORIZE not in target:
        raise AccessError(
            f"{mlflow_url} does not send a login to Keycloak (it answered {answer.status_code})",
            "give the issuer with --issuer https://keycloak.example.com/realms/NAME",
        )
    return target.partition(AUTHORIZE)[0]


def checked_name(name: str) -> str:
    """The name of a login. Raises RefusedError for one that is no name of a file."""
    if not _NAME.fullmatch(name):
        raise RefusedError(f"{name!r} cannot be the name of a login", "use letters, digits, hyphens, _ and dots")
    return name


def new_name(url: str) -> str:
    """A name for the login to an MLflow that has none yet, from its address; no login that is kept here has it.

    That of a file that is damaged is free: its name says that it was a login to this server.
    """
    parts = urlsplit(url)
    place = re.sub(r"[^A-Za-z0-9_.-]+", "-", parts.netloc + parts.path).strip("-_.")[:90] or "mlflow"
    number, name = 1, place
    while _taken(LoginStore(name)):
        number += 1
        name = f"{place}-{number}"
    return name


def name_for(address: Address, name: str | None) -> str:
    """The name that a login is kept under: the one that is given, that of the variable STACK, or one for its server.

    Raises RefusedError where the variable names a login to another server, which would be lost.
    """
    if name:
        return checked_name(name)
    variable = given(None, STACK)
    if not variable:
        # In the place of the login that its server has already, which would be found before a new one.
        before = login_for(address.mlflow_url)
        return before.stack if before else new_name(address.mlflow_url)
    with suppress(NotLoggedInError):
        kept = LoginStore(checked_name(variable)).find()
        if kept is not None and canonical(kept.mlflow_url) != canonical(address.mlflow_url):
            text = f"the variable STACK names the login {variable}, which is for {kept.mlflow_url}"
            raise RefusedError(text, f"unset it, or give `--stack {variable}` to replace that login")
    return variable


def _taken(store: LoginStore) -> bool:
    try:
        return store.find() is not None
    except NotLoggedInError:
        return not store.path.is_file()


def chosen(name: str | None) -> LoginStore:
    """The kept login that is meant: by its name, by the variable STACK, by MLFLOW_TRACKING_URI, or the only one.

    Raises RefusedError where several could be meant, also by the two variables, and NotLoggedInError where the server
    of MLFLOW_TRACKING_URI has none: a token of another server must not go there.
    """
    if name:
        return LoginStore(checked_name(name))
    address, usual = tracking_uri(), given(None, STACK)
    if usual:
        return _of_variable(usual, address)
    if address:
        store = login_for(address)
        if store is None:
            missing, damaged = no_login(address), damaged_logins()
            if damaged:
                cause = f"{missing.cause}, and {damaged[0].cause}"
                raise NotLoggedInError(cause, f"remove the file, and {missing.next_step}")
            raise missing
        return store
    kept: dict[str, Login] = kept_logins()
    if len(kept) > 1:
        known = ", ".join(f"{stack} ({login.mlflow_url})" for stack, login in kept.items())
        raise RefusedError(
            f"several logins are kept here: {known}", "name one with --stack, or set MLFLOW_TRACKING_URI"
        )
    damaged = damaged_logins()
    if damaged and not kept:
        raise damaged[0]
    return LoginStore(next(iter(kept), USUAL))


def _of_variable(name: str, address: str) -> LoginStore:
    store = LoginStore(checked_name(name))
    kept = store.find()
    if address and kept is not None and not kept.serves(address):
        text = f"the variable STACK names the login {name}, which is for {kept.mlflow_url}, and"
        raise RefusedError(f"{text} MLFLOW_TRACKING_URI is another server", "unset one of them, or give --stack")
    return store


def no_login(address: str) -> NotLoggedInError:
    """What to say where no login is kept for a server."""
    start = address.partition("/api/")[0].rstrip("/")
    # Without a user name and a password in it: this is read in logs.
    server = start.replace(f"{urlsplit(start).netloc.rpartition('@')[0]}@", "", 1)
    return NotLoggedInError(f"there is no login for {server}", f"run `mlflow-sso login --url {server}`")


def _origin(url: str) -> str:
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise RefusedError("the URL holds a user name or password, and is not a URL of MLflow", "leave these out")
    found = "" if "?" in url or "#" in url else canonical(url)
    if not found:
        raise RefusedError(f"{url.partition('?')[0]} is not a URL", "give one such as https://mlflow.example.com")
    refuse_clear(found)
    return found
