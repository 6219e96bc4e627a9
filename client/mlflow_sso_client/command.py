"""`mlflow-sso`: log in to an MLflow behind Keycloak, show a token, and log out."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_sso_client import __version__, addresses, flows
from mlflow_sso_client.addresses import Address
from mlflow_sso_client.browser import browser_login
from mlflow_sso_client.errors import AccessError, RefusedError
from mlflow_sso_client.logins import LoginStore
from mlflow_sso_client.oidc import Tokens, client_credentials, password_grant
from mlflow_sso_client.streams import failure
from mlflow_sso_client.words import say

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_CODES = """exit codes: 0 done, 1 failed, 2 refused, 3 not logged in, 4 wrong credentials, 6 not allowed,
7 Keycloak does not answer, 8 MLflow does not answer, 9 a certificate is not trusted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Errors are one line on standard error; the exit code says which kind."""
    try:
        options = _parser().parse_args(arguments)
        options.run(options)
        return 0
    except AccessError as error:
        text, code = f"error: {error}", error.exit_code
    except OSError as error:
        return failure(error)
    except UnicodeEncodeError as error:
        text, code = f"error: the output cannot be written in {error.encoding}; set PYTHONIOENCODING=utf-8", 1
    except KeyboardInterrupt:
        text, code = "interrupted", 130
    with suppress(OSError):
        say(text)
    return code


class _Parser(argparse.ArgumentParser):
    """One that tells when it cannot write its help, in place of ending as if it had."""

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        if message:
            (file or sys.stderr).write(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mlflow-sso", description=__doc__, epilog=_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = _Parser(add_help=False)
    shared.add_argument("--stack", "-s", help="name of the login, where there are several; default: the variable STACK")

    login = commands.add_parser(
        "login", parents=[shared], help="log in; by a code confirmed in any browser, if not told otherwise"
    )
    login.add_argument(
        "--url", help="MLflow's URL; default: MLFLOW_SSO_URL or MLFLOW_TRACKING_URI, or the last login's"
    )
    login.add_argument("--issuer", help="the issuer; default: the one that MLflow's own login names")
    login.add_argument("--client-id", help="the client to log in through")
    login.add_argument("--ca-bundle", help="PEM file of CAs to trust")
    login.add_argument("--browser", action="store_true", help="open this machine's browser")
    login.add_argument("--username", help="log in with a password, where direct grants are on")
    login.add_argument("--password-stdin", action="store_true", help="read the password or secret from standard input")
    login.add_argument("--client-credentials", action="store_true", help="log in as the service account --client-id")
    login.add_argument(
        "--client-secret-file", type=Path, help="file with the service account's secret; - is standard input"
    )
    login.add_argument("--offline", action="store_true", help="outlive the browser session: for jobs of many hours")
    login.set_defaults(run=_login)

    token = commands.add_parser("token", parents=[shared], help="print an access token that is valid now")
    token.set_defaults(run=lambda options: sys.stdout.write(addresses.chosen(options.stack).access_token() + "\n"))
    env = commands.add_parser("env", parents=[shared], help='print what a shell needs: eval "$(mlflow-sso env)"')
    env.add_argument("--shell", choices=flows.SHELLS, default=flows.usual_shell(), help="whose words to print")
    env.set_defaults(
        run=lambda options: sys.stdout.write(flows.exports(addresses.chosen(options.stack), options.shell))
    )
    logout = commands.add_parser("logout", parents=[shared], help="forget the login, and end it at Keycloak too")
    logout.set_defaults(run=lambda options: flows.end(addresses.chosen(options.stack)))
    return parser


def _login(options: argparse.Namespace) -> None:
    service_account = options.client_credentials
    flows.Ways(
        browser=options.browser,
        username=options.username,
        service_account=service_account,
        password_stdin=options.password_stdin,
        secret_file=options.client_secret_file,
        offline=options.offline,
    ).check()
    address, name = _where(options)
    secret, chosen = "", address.client_id
    if service_account:
        file = Path("-") if options.password_stdin else options.client_secret_file
        if not options.client_id or file is None:
            raise RefusedError("--client-credentials needs --client-id and --client-secret-file", "give both")
        kind, chosen, secret = "client-credentials", options.client_id, _secret(file)
        tokens = client_credentials(address.accounts(), chosen, secret)
    elif options.username is not None:
        kind, tokens = "password", _by_password(address, options)
    elif options.browser:
        kind, tokens = "browser", browser_login(address.provider(), chosen, offline=options.offline)
    else:
        kind, tokens = "device", flows.device(address.provider(), chosen, offline=options.offline)
    login = flows.login_of(address, chosen, kind, tokens, secret, offline=options.offline)
    flows.keep(LoginStore(name), login, address)


def _where(options: argparse.Namespace) -> tuple[Address, str]:
    """The address that is meant, and the name that its login is kept under."""
    url = addresses.given(options.url, addresses.URL) or addresses.tracking_uri()
    client = None if options.client_credentials else addresses.given(options.client_id, addresses.CLIENT)
    if url:
        address = addresses.from_url(url, options.issuer, client, options.ca_bundle)
        return address, addresses.name_for(address, options.stack)
    store = addresses.chosen(options.stack)
    kept = store.find()
    if kept is None:
        raise RefusedError("which MLflow is not known here", "give its address with --url https://mlflow.example.com")
    ca = addresses.given_bundle(options.ca_bundle) or kept.ca_bundle
    # The client of a service account has no login for people.
    usual = addresses.CLI_CLIENT if kept.client_secret else kept.client_id
    issuer = addresses.given(options.issuer, addresses.ISSUER) or kept.issuer
    token_url = addresses.given(None, addresses.TOKENS) or kept.token_url
    return Address(kept.mlflow_url, issuer, client or usual, ca, token_url), store.stack


def _by_password(address: Address, options: argparse.Namespace) -> Tokens:
    if options.password_stdin:
        password = _line("the password")
    elif sys.stdin.isatty():
        password = getpass.getpass("Password: ")
    else:
        raise RefusedError("there is no terminal to ask for the password", "give it by --password-stdin")
    return password_grant(address.provider(), address.client_id, options.username, password, offline=options.offline)


def _secret(file: Path) -> str:
    return _line("the client's secret") if str(file) == "-" else flows.secret_in(file)


def _line(what: str) -> str:
    text = sys.stdin.readline(flows.LONGEST_SECRET).rstrip("\r\n")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Bytes that are none in the encoding of standard input.
        raise RefusedError(
            f"standard input holds no text with {what}", "pipe it in, in the encoding of this shell"
        ) from None
    if not text:
        raise RefusedError(f"standard input holds no line with {what}", "pipe it in")
    return text
