"""`login`, `token`, `env` and `logout`: one login for each stack, kept for the user alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from mlflow_sso_client import flows
from mlflow_sso_client.addresses import checked_name
from mlflow_sso_client.browser import browser_login
from mlflow_sso_client.errors import RefusedError
from mlflow_sso_client.logins import LoginStore
from mlflow_sso_client.oidc import Tokens, client_credentials, password_grant

from stackctl.commands.common import CaOption, ConfigOption, IssuerOption, StackOption, UrlOption, reported
from stackctl.people.connection import Access, Where, resolve


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
        Path | None,
        typer.Option("--client-secret-file", help="File with the service account's secret; - is standard input."),
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
        ways = flows.Ways(
            browser=browser,
            username=username,
            service_account=service_account,
            password_stdin=password_stdin,
            secret_file=client_secret_file,
            offline=offline,
        )
        ways.check()
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
            tokens = client_credentials(access.address.accounts(), chosen, secret)
        else:
            kind, tokens = _person(access, ways)
        made = flows.login_of(access.address, chosen, kind, tokens, secret, offline=offline)
        flows.keep(access.logins(), made, access.address)


def token(stack: StackOption = "dev") -> None:
    """Print an access token that is valid now, renewing it when needed."""
    with reported():
        sys.stdout.write(LoginStore(checked_name(stack)).access_token() + "\n")


def env(stack: StackOption = "dev") -> None:
    """Print the lines that a shell needs: `eval "$(stackctl env)"`. They hold the token."""
    with reported():
        sys.stdout.write(flows.exports(LoginStore(checked_name(stack))))


def logout(stack: StackOption = "dev") -> None:
    """Forget the login, and end it at Keycloak too."""
    with reported():
        flows.end(LoginStore(checked_name(stack)))


def _person(access: Access, ways: flows.Ways) -> tuple[str, Tokens]:
    """How a person logs in, and the tokens of it."""
    client, offline = access.cli_client_id, ways.offline
    if ways.username is not None:
        password = _password(ways.password_stdin)
        return "password", password_grant(access.provider(), client, ways.username, password, offline=offline)
    if ways.browser:
        return "browser", browser_login(access.provider(), client, offline=offline)
    return "device", flows.device(access.provider(), client, offline=offline)


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
    if file is not None and str(file) != "-":
        return flows.secret_in(file)
    if file is not None or stdin:
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
