"""`tokens create|list|delete`: personal access tokens, which scripts use as the password of a user."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from mlflow_sso_client.errors import RefusedError, UnknownNameError

from components.plugin.profile import Ability
from stackctl.clients.mlflow_api import MlflowApi, PersonalToken
from stackctl.commands.common import (
    TABLE,
    OutputOption,
    YesOption,
    confirm,
    reported,
    show,
    show_rows,
)
from stackctl.commands.options import about_a_stack
from stackctl.people.connection import Where, resolve
from stackctl.progress import say

app = typer.Typer(
    help="Personal access tokens, your own or, as an administrator, those of a user.", no_args_is_help=True
)

UserOption = Annotated[str | None, typer.Option("--user", help="Whose; administrators only. Default: your own.")]
# The plugin refuses a token that lives longer.
LONGEST_DAYS = 365


@app.command()
@about_a_stack
def create(
    where: Where,
    name: Annotated[str, typer.Option("--name", help="What it is for; unique among the user's tokens.")],
    expires: Annotated[
        str, typer.Option("--expires", help="When it ends: 90d, 12h, or a date such as 2027-01-31.")
    ] = "90d",
    user: UserOption = None,
    output: OutputOption = TABLE,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Everything about it, not the token alone.")] = False,
) -> None:
    """Make a token and print it: it is shown this once."""
    with reported():
        ends = parse_expiry(expires, datetime.now(UTC))
        access = resolve(where, Ability.PERSONAL_TOKENS)
        api = access.mlflow()
        owner = user or api.me().username
        made = api.create_token(name, ends.isoformat(timespec="seconds"), user)
        if output is TABLE and not verbose:
            sys.stdout.write(made.secret + "\n")
        else:
            shown = {"user": owner, **_row(made), "token": made.secret}
            show(shown, output)
        say(f"Token {made.name} (id {made.id}) of {owner} ends {made.expires_at}. It is not shown again.")
        say(f"Use it as the password: MLFLOW_TRACKING_USERNAME={owner} and MLFLOW_TRACKING_PASSWORD.")


@app.command("list")
@about_a_stack
def list_tokens(
    where: Where,
    user: UserOption = None,
    every: Annotated[bool, typer.Option("--all", help="Of every user; administrators only.")] = False,
    output: OutputOption = TABLE,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Prefix and maker as well.")] = False,
) -> None:
    """The tokens with their dates; never their secrets."""
    with reported():
        if every and user:
            raise RefusedError("--all and --user exclude each other", "give one of them")
        api = resolve(where, Ability.PERSONAL_TOKENS).mlflow()
        owners: list[str | None] = [row.username for row in api.users()] if every else [user]
        own = api.me().username
        rows = [{"user": owner or own, **_row(token)} for owner in owners for token in api.tokens(owner)]
        columns = ["id", "user", "name", "created_at", "expires_at", "last_used_at", "active"]
        show_rows(rows, [*columns, "prefix", "created_by"] if verbose else columns, output)


@app.command()
@about_a_stack
def delete(
    where: Where,
    token_id: Annotated[int | None, typer.Option("--token-id", help="The id that `list` shows.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The token's name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every token of the user.")] = False,
    user: UserOption = None,
    yes: YesOption = False,
    force: Annotated[bool, typer.Option("--force", help="Do not ask, and no error where there is nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Name each token that goes.")] = False,
) -> None:
    """Delete tokens; each stops working at once. Sessions and logins stay (see `stackctl revoke`)."""
    with reported():
        if sum((token_id is not None, name is not None, every)) != 1:
            raise RefusedError("it is not said which token to delete", "give one of --token-id, --name and --all")
        api = resolve(where, Ability.PERSONAL_TOKENS).mlflow()
        owner = user or api.me().username
        try:
            gone = _chosen(api.tokens(user), owner, token_id, name)
        except UnknownNameError as error:
            if not force:
                raise
            say(f"{error.cause}: nothing to delete.")
            return
        if not gone:
            say(f"{owner} has no tokens.")
            return
        confirm(f"Delete {len(gone)} token(s) of {owner} ({', '.join(t.name for t in gone)})", yes=yes or force)
        for one in gone:
            _delete(api, one, user, force=force)
            if verbose:
                say(f"  {one.id} {one.name} (ended {one.expires_at}, last used {one.last_used_at or 'never'})")
        say(f"Deleted {len(gone)} token(s) of {owner}.")


def parse_expiry(text: str, now: datetime) -> datetime:
    """The end of a token: a number of days or hours from now, or a date in ISO 8601 (UTC without an offset)."""
    expected = "give a number of days or hours (90d, 12h) or a date in the future such as 2027-01-31"
    if found := re.fullmatch(r"(\d{1,5})([dh])", text):
        number = int(found[1])
        ends = now + (timedelta(days=number) if found[2] == "d" else timedelta(hours=number))
    else:
        try:
            ends = datetime.fromisoformat(text)
        except ValueError:
            raise RefusedError(f"--expires {text} is not a time", expected) from None
        ends = ends if ends.tzinfo else ends.replace(tzinfo=UTC)
    if ends <= now:
        raise RefusedError(f"--expires {text} is not in the future", expected)
    if ends > now + timedelta(days=LONGEST_DAYS):
        raise RefusedError(f"--expires {text} is more than a year away", f"MLflow allows at most {LONGEST_DAYS}d")
    return ends


def _chosen(tokens: list[PersonalToken], owner: str, token_id: int | None, name: str | None) -> list[PersonalToken]:
    if token_id is None and name is None:
        return tokens
    found = [one for one in tokens if one.id == token_id or one.name == name]
    if not found:
        wanted = f"id {token_id}" if token_id is not None else f"the name {name}"
        raise UnknownNameError(f"{owner} has no token with {wanted}", "`stackctl tokens list` shows them")
    return found


def _delete(api: MlflowApi, one: PersonalToken, user: str | None, *, force: bool) -> None:
    try:
        api.delete_token(one.id, user)
    except UnknownNameError:
        # Somebody else deleted it in the meantime.
        if not force:
            raise


def _row(token: PersonalToken) -> dict[str, Any]:
    row = asdict(token)
    del row["secret"]
    return row
