"""What a login is from the first question to the kept file, and its end."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from mlflow_sso_client.addresses import Address
from mlflow_sso_client.errors import AccessError, MlflowDownError, NotAdminError, RefusedError
from mlflow_sso_client.logins import Login, LoginStore
from mlflow_sso_client.oidc import Provider, Tokens, claims, finish_device, revoke, start_device
from mlflow_sso_client.web import MLFLOW, Web
from mlflow_sso_client.words import say, span

CURRENT_USER = "/api/2.0/mlflow/users/current"


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
        username=str(said.get("preferred_username") or said.get("sub") or client_id),
        kind=kind,
        offline=offline,
        access_token="",
        access_from=0.0,
        access_until=0.0,
        client_secret=secret,
        # Kept, so that a Python client of this login trusts the same CAs as this command did.
        ca_bundle=str(Path(address.ca_bundle).resolve()) if address.ca_bundle else None,
    )
    return empty.with_tokens(tokens, time.time())


def keep(store: LoginStore, login: Login, address: Address) -> None:
    """Keep the login if MLflow accepts it, and say as whom. Raises NotAdminError where it does not."""
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
    who = web.json(answer)
    store.write(login)
    role = "an administrator" if who.get("is_admin") else "a user"
    say(f"Logged in to {login.mlflow_url} as {who.get('username', login.username)}, {role}.")
    if login.client_secret:
        say("It renews itself with the client's secret, which is kept in a file of yours alone.")
    elif login.refresh_until:
        say(f"It ends if nothing uses it for {span(login.refresh_until - time.time())}.")


def exports(store: LoginStore) -> str:
    """The lines that a shell needs. They hold a token that is good now, and the name of what renews it."""
    token = store.access_token()
    kept = store.read()
    variables = {"MLFLOW_TRACKING_URI": kept.mlflow_url, "MLFLOW_TRACKING_TOKEN": token}
    if kept.ca_bundle:
        variables["REQUESTS_CA_BUNDLE"] = kept.ca_bundle
    left = span(kept.access_until - time.time())
    say(
        f"The token ends in {left}; a Python client without MLFLOW_TRACKING_TOKEN renews it by itself, also with "
        "MLFLOW_TRACKING_AUTH=mlflow-sso in its place."
    )
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def end(store: LoginStore) -> None:
    """Forget a login, and end it at Keycloak too. Raises AccessError where that could not be done; it is forgotten."""
    kept = store.read()
    try:
        if kept.refresh_token:
            revoke(kept.provider(), kept.client_id, kept.refresh_token)
    except AccessError as error:
        store.remove()
        cause = f"the login is forgotten here, but not ended at Keycloak: {error.cause}"
        raise type(error)(cause, error.next_step) from None
    store.remove()
    left = kept.access_until - time.time()
    say(f"{kept.username} is logged out of {store.stack}.")
    if left > 0:
        say(f"MLflow accepts a copy of the last access token for {span(left)} more: it asks Keycloak nothing.")


def refuse_several(ways: list[bool], *, service_account: bool, offline: bool) -> None:
    """Raises RefusedError where the options of a login contradict each other."""
    if sum(ways) > 1:
        raise RefusedError("--browser, --username and --client-credentials exclude each other", "give one of them")
    if service_account and offline:
        raise RefusedError("a service account needs no --offline", "leave it out: its login renews itself")


def secret_in(file: Path) -> str:
    """The secret that a file holds. Raises RefusedError where it cannot be read or holds none."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise RefusedError(f"{file} cannot be read ({reason})", "give a file with the secret") from None
    if not text:
        raise RefusedError(f"{file} is empty", "give a file with the secret")
    return text
