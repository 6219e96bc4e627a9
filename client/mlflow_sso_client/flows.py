"""What a login is from the first question to the kept file, and its end."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlflow_sso_client.addresses import Address
from mlflow_sso_client.errors import AccessError, MlflowDownError, NotAdminError, NotLoggedInError, RefusedError
from mlflow_sso_client.files import NAME
from mlflow_sso_client.logins import Login, LoginStore, beside, login_for
from mlflow_sso_client.oidc import Provider, Tokens, claims, finish_device, revoke, start_device
from mlflow_sso_client.web import CURRENT_USER, MLFLOW, Web, refuse_clear
from mlflow_sso_client.words import line, say, span

# Characters of a password or a secret that is read: what has no end would fill the memory.
LONGEST_SECRET = 1 << 16
# What PowerShell takes for a single quote (`CharExtensions.IsSingleQuote`).
_QUOTES = re.compile("['\u2018\u2019\u201a\u201b]")
# How each shell is told of a variable.
SHELLS: dict[str, Callable[[str, str], str]] = {
    "sh": lambda name, value: f"export {name}={shlex.quote(value)}\n",
    # In single quotes a quote is written twice, and nothing else means anything (about_Quoting_Rules).
    "powershell": lambda name, value: f"$env:{name} = '{_QUOTES.sub(lambda found: found[0] * 2, value)}'\n",
}


def device(provider: Provider, client_id: str, *, offline: bool) -> Tokens:
    """Show a code, and wait until somebody confirms it in any browser (RFC 8628)."""
    code = start_device(provider, client_id, offline=offline)
    say(f"Open {code.url}\nand confirm the code {code.user_code} (within {span(code.expires_in)}).")
    return finish_device(provider, client_id, code)


def login_of(
    address: Address, client_id: str, kind: str, tokens: Tokens, secret: str = "", *, offline: bool = False
) -> Login:
    """The login that these tokens are. secret: the client's own, of a service account alone."""
    said = claims(tokens.access_token) or {}
    empty = Login(
        mlflow_url=address.mlflow_url,
        issuer=address.issuer,
        client_id=client_id,
        username=line(said.get("preferred_username") or said.get("sub") or client_id),
        kind=kind,
        offline=offline,
        access_token="",
        access_from=0.0,
        access_until=0.0,
        client_secret=secret,
        token_url=address.token_url if secret else "",
        # Kept, so that a Python client of this login trusts the same CAs as this command did.
        ca_bundle=str(Path(address.ca_bundle).resolve()) if address.ca_bundle else None,
        made=time.time(),
    )
    return empty.with_tokens(tokens, time.time())


def keep(store: LoginStore, login: Login, address: Address) -> None:
    """Keep the login if MLflow accepts it, and say as whom. Raises NotAdminError where it does not."""
    refuse_clear(login.mlflow_url)
    web = Web(MLFLOW, login.mlflow_url, address.http())
    answer = web.ask("GET", CURRENT_USER, headers={"Authorization": f"Bearer {login.access_token}"})
    if answer.status_code in (401, 403):
        raise NotAdminError(
            f"Keycloak logged {login.username} in, and MLflow refuses the token ({answer.status_code})",
            "is the user in a group that MLflow allows? `stackctl doctor` checks this, audience and issuer",
        )
    if answer.status_code != 200:
        raise MlflowDownError(
            f"MLflow at {login.mlflow_url} answered {answer.status_code} to who is logged in",
            "is that the address of an MLflow with mlflow-oidc-auth?",
        )
    who = web.object(answer)
    before = None
    with suppress(NotLoggedInError):
        before = store.find()
    store.write(login)
    role = "an administrator" if who.get("is_admin") else "a user"
    say(f"Logged in to {login.mlflow_url} as {line(who.get('username', login.username))}, {role}.")
    if login.client_secret:
        say("It renews itself with the client's secret, which is kept in a file of yours alone.")
    elif login.refresh_until:
        say(f"It ends if nothing uses it for {span(login.refresh_until - time.time())}.")
    if before is not None and _whose(before) != _whose(login):
        place = "" if before.mlflow_url == login.mlflow_url else f" to {before.mlflow_url}"
        say(f"It replaces the login {store.stack} of {before.username}{place}, which was kept here.")
    _say_which(store, login)


def _whose(login: Login) -> tuple[str, str]:
    return login.username, login.mlflow_url


def _say_which(store: LoginStore, login: Login) -> None:
    """Say which login programs use for a server that has others than that of a store, and what ends each of these."""
    others, used = beside(store, login.mlflow_url), login_for(login.mlflow_url)
    for name, other in others.items():
        say(f"A login of {other.username} to this server is kept as {name}; `{NAME} logout --stack {name}` ends it.")
    if others and used is not None:
        say(f"Programs use the login {used.stack} for {login.mlflow_url}.")


def usual_shell() -> str:
    """The shell that this is likely called from: on Windows PowerShell, but for a terminal that has a SHELL."""
    return "powershell" if sys.platform == "win32" and not os.environ.get("SHELL") else "sh"


def exports(store: LoginStore, shell: str = "sh") -> str:
    """The lines that a shell needs, one of SHELLS: the address, a token that is good now, and what renews it.

    MLflow takes its login from MLFLOW_TRACKING_AUTH before the token. Where the client is not installed beside it, it
    warns and uses the token.
    """
    token = store.access_token()
    kept = store.read()
    variables = {
        "MLFLOW_TRACKING_URI": kept.mlflow_url, "MLFLOW_TRACKING_TOKEN": token, "MLFLOW_TRACKING_AUTH": NAME,
    }  # fmt: skip
    if kept.ca_bundle:
        variables["REQUESTS_CA_BUNDLE"] = kept.ca_bundle
    left = span(kept.access_until - time.time())
    say(
        f"The token ends in {left}; Python clients with mlflow-sso-client beside them take a new one by themselves, by "
        f"MLFLOW_TRACKING_AUTH={NAME}."
    )
    return "".join(SHELLS[shell](name, value) for name, value in variables.items())


def end(store: LoginStore) -> None:
    """Forget a login, and end it at Keycloak too. Raises AccessError where that could not be done; it is forgotten."""
    kept = store.read()
    try:
        if kept.refresh_token:
            revoke(kept.provider(), kept.client_id, kept.refresh_token)
    except AccessError as error:
        store.remove()
        _say_which(store, kept)
        cause = f"the login is forgotten here, but not ended at Keycloak: {error.cause}"
        raise type(error)(cause, error.next_step) from None
    store.remove()
    left = kept.access_until - time.time()
    say(f"{kept.username} is logged out of {store.stack}.")
    if left > 0:
        say(f"A copy of the last access token may open MLflow for {span(left)} more: Keycloak is not asked about it.")
    _say_which(store, kept)


@dataclass(frozen=True, kw_only=True)
class Ways:
    """What the options of a login said of how to log in."""

    browser: bool
    username: str | None
    service_account: bool
    password_stdin: bool
    secret_file: Path | None
    offline: bool

    def check(self) -> None:
        """Raises RefusedError where options contradict each other, or one of them would be ignored."""
        if sum((self.browser, self.username is not None, self.service_account)) > 1:
            raise RefusedError("--browser, --username and --client-credentials exclude each other", "give one of them")
        if self.service_account and self.offline:
            raise RefusedError("a service account needs no --offline", "leave it out: its login renews itself")
        if self.username == "":
            raise RefusedError("--username is empty", "name the user, or leave it out to log in by a code")
        # Without one of them a code would be shown, which nobody of a job confirms.
        if self.password_stdin and not (self.service_account or self.username):
            raise RefusedError("--password-stdin needs --username or --client-credentials", "say whose it is")
        if self.secret_file is not None and not self.service_account:
            raise RefusedError("--client-secret-file needs --client-credentials", "give both, or neither")
        if self.secret_file is not None and self.password_stdin:
            raise RefusedError("--client-secret-file and --password-stdin exclude each other", "give one of them")


def secret_in(file: Path) -> str:
    """The secret that a file holds. Raises RefusedError where it cannot be read or holds none."""
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(LONGEST_SECRET).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise RefusedError(f"{file} cannot be read ({reason})", "give a file with the secret") from None
    if not text:
        raise RefusedError(f"{file} is empty", "give a file with the secret")
    return text
