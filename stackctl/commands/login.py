"""`login`, `token`, `env` and `logout`: one login for each stack, kept for the user alone."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from stackctl.clients.mlflow_api import MlflowApi
from stackctl.clients.oidc import (
    Tokens,
    claims,
    client_credentials,
    finish_device,
    password_grant,
    revoke,
    start_device,
)
from stackctl.commands.common import CaOption, ConfigOption, IssuerOption, StackOption, UrlOption, reported, span
from stackctl.errors import AccessError, NotAdminError, NotLoggedInError, RefusedError
from stackctl.people.browser_login import browser_login
from stackctl.people.connection import Access, Where, resolve
from stackctl.people.logins import Login, LoginStore
from stackctl.progress import say


def login(
    stack: StackOption = "dev",
    browser: Annotated[bool, typer.Option("--browser", help="Open this machine's browser.")] = False,
    username: Annotated[
        str | None, typer.Option("--username", help="Log in with a password, where direct grants are on.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password or client secret from standard input.")
    ] = False,
    service_account: Annotated[
        bool, typer.Option("--client-credentials", help="Log in as the service account --client-id.")
    ] = False,
    client_secret_file: Annotated[
        Path | None, typer.Option("--client-secret-file", help="File with the service account's secret.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Outlive the browser session: for jobs of many hours.")
    ] = False,
    client_id: Annotated[str | None, typer.Option("--client-id", help="The client to log in through.")] = None,
    url: UrlOption = None,
    issuer: IssuerOption = None,
    ca_bundle: CaOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Log in: by a code confirmed in any browser, unless an option says otherwise."""
    with reported():
        ways = [browser, username is not None, service_account]
        if sum(ways) > 1:
            raise RefusedError("--browser, --username and --client-credentials exclude each other", "give one of them")
        if service_account and offline:
            raise RefusedError("a service account needs no --offline", "leave it out: its login renews itself")
        access = resolve(
            Where(
                stack=stack,
                config_file=config_file,
                url=url,
                issuer=issuer,
                client_id=None if service_account else client_id,
                ca_bundle=ca_bundle,
            )
        )
        secret = ""
        chosen = access.cli_client_id
        if service_account:
            kind, chosen = "client-credentials", _required(client_id, "--client-id")
            secret = _account_secret(access, chosen, client_secret_file, stdin=password_stdin)
            tokens = client_credentials(access.provider(), chosen, secret)
        elif username is not None:
            kind = "password"
            tokens = password_grant(access.provider(), chosen, username, _password(password_stdin), offline=offline)
        elif browser:
            kind = "browser"
            tokens = browser_login(access.provider(), chosen, offline=offline)
        else:
            kind = "device"
            tokens = _device(access, chosen, offline=offline)
        made = _login(access, chosen, kind, tokens, secret, offline=offline)
        _keep(access, made)


def token(stack: StackOption = "dev") -> None:
    """Print an access token that is valid now, renewing it when needed."""
    with reported():
        sys.stdout.write(LoginStore(stack).access_token() + "\n")


def env(stack: StackOption = "dev") -> None:
    """Print the lines that a shell needs: `eval "$(stackctl env)"`. They hold the token."""
    with reported():
        store = LoginStore(stack)
        access_token = store.access_token()
        kept = store.read()
        lines = {"MLFLOW_TRACKING_URI": kept.mlflow_url, "MLFLOW_TRACKING_TOKEN": access_token}
        if kept.ca_bundle:
            lines["REQUESTS_CA_BUNDLE"] = kept.ca_bundle
        for name, value in lines.items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        left = span(kept.access_until - time.time())
        say(f"The token ends in {left}; a Python client without MLFLOW_TRACKING_TOKEN renews it by itself.")


def logout(stack: StackOption = "dev") -> None:
    """Forget the login, and end it at Keycloak too."""
    with reported():
        store = LoginStore(stack)
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
        say(f"{kept.username} is logged out of stack {stack}.")
        if left > 0:
            say(f"MLflow accepts a copy of the last access token for {span(left)} more: it asks Keycloak nothing.")


def _device(access: Access, client_id: str, *, offline: bool) -> Tokens:
    provider = access.provider()
    code = start_device(provider, client_id, offline=offline)
    say(f"Open {code.url}\nand confirm the code {code.user_code} (within {span(code.expires_in)}).")
    return finish_device(provider, client_id, code)


def _login(access: Access, client_id: str, kind: str, tokens: Tokens, secret: str, *, offline: bool) -> Login:
    said = claims(tokens.access_token) or {}
    empty = Login(
        mlflow_url=access.mlflow_url,
        issuer=access.issuer,
        client_id=client_id,
        username=str(said.get("preferred_username") or said.get("sub") or client_id),
        kind=kind,
        offline=offline,
        access_token="",
        access_from=0.0,
        access_until=0.0,
        client_secret=secret,
        # Kept, so that a Python client of this login trusts the same CAs as this command did.
        ca_bundle=str(Path(access.ca_bundle).resolve()) if access.ca_bundle else None,
    )
    return empty.with_tokens(tokens, time.time())


def _keep(access: Access, made: Login) -> None:
    """Keep the login if MLflow accepts it, and say as whom."""
    try:
        who = MlflowApi(made.mlflow_url, made.access_token, http=access.http()).me()
    except NotLoggedInError:
        raise NotAdminError(
            f"Keycloak logged {made.username} in, and MLflow refuses the token (401)",
            "is the user in a group that MLflow allows? `stackctl doctor` checks this, audience and issuer",
        ) from None
    access.logins().write(made)
    role = "an administrator" if who.is_admin else "a user"
    say(f"Logged in to {made.mlflow_url} as {who.username}, {role}.")
    if made.client_secret:
        say("It renews itself with the client's secret, which is kept in a file of yours alone.")
    elif made.refresh_until:
        say(f"It ends if nothing uses it for {span(made.refresh_until - time.time())}.")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return _line("the password")
    if not sys.stdin.isatty():
        raise RefusedError(
            "there is no terminal to ask for the password", "give it on standard input: --password-stdin"
        )
    return str(typer.prompt("Password", hide_input=True, err=True))


def _account_secret(access: Access, client_id: str, file: Path | None, *, stdin: bool) -> str:
    """The service account's secret: from a file, standard input, or the stack's own outputs."""
    if file is not None:
        try:
            return file.read_text().strip()
        except OSError as error:
            raise RefusedError(f"{file} cannot be read ({error.strerror})", "give a file with the secret") from None
    if stdin:
        return _line("the client's secret")
    outputs = access.outputs or {}
    accounts = outputs.get("service_accounts", {})
    if client_id in accounts:
        return str(accounts[client_id]["client_secret"])
    if client_id == outputs.get("client_id"):
        return str(outputs["client_secret"])
    raise RefusedError(f"the secret of client {client_id} is not known here", "give --client-secret-file FILE")


def _line(what: str) -> str:
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise RefusedError(f"standard input holds no line with {what}", "pipe it in")
    return text


def _required(value: str | None, option: str) -> str:
    if value is None:
        raise RefusedError(f"--client-credentials needs {option}", "name the service account's client")
    return value
