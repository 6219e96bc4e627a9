"""`users [list]`, `groups` and `service-accounts`: what is declared and what is; `users mend | enable | ask-terms`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from mlflow_sso_client.errors import AccessError, RefusedError

from components.realm.spec import RealmSpec
from stackctl.clients.mlflow_api import PluginUser
from stackctl.commands.common import (
    TABLE,
    ConfigOption,
    OutputOption,
    StackOption,
    YesOption,
    confirm,
    reported,
    show_rows,
)
from stackctl.commands.options import about_a_stack
from stackctl.context import Context, load
from stackctl.people import drift, mending, revocation, terms
from stackctl.people.connection import Access, Where, resolve
from stackctl.progress import say

ACCOUNT_COLUMNS = ("name", "declared", "keycloak", "groups", "mlflow", "drift")
GROUP_COLUMNS = ("name", "declared", "keycloak", "members", "drift")

Compare = Callable[[RealmSpec, Mapping[str, drift.Actual], Mapping[str, PluginUser] | None], list[drift.Row]]


users_app = typer.Typer(
    help="People: as declared, in Keycloak, and in MLflow; to mend, to let in again, and to ask them."
)


@users_app.callback(invoke_without_command=True)
def users(
    context: typer.Context,
    stack: StackOption = "dev",
    output: OutputOption = TABLE,
    config_file: ConfigOption = None,
) -> None:
    """People: `list`, which is what is done without a command, `mend [USER]...`, `enable USER` and `ask-terms`."""
    command = context.invoked_subcommand
    if command is None:
        list_users(stack, output, config_file)
        return
    with reported():
        for option in context.command.params:
            source = context.get_parameter_source(str(option.name))
            if source is not None and source.name == "COMMANDLINE":
                # It would be passed over: the command behind it has options of its own.
                raise RefusedError(f"{option.opts[0]} stands before {command}", "write it after")


@users_app.command("list")
def list_users(stack: StackOption = "dev", output: OutputOption = TABLE, config_file: ConfigOption = None) -> None:
    """People: as declared, in Keycloak, and in MLflow when logged in. Exit code 1 when they differ."""
    with reported():
        access, context = _where(stack, config_file)
        rows = _accounts(access, context, drift.keycloak_users(access.keycloak_admin()), drift.user_rows)
        show_rows([row.data() for row in rows], ACCOUNT_COLUMNS, output)
    _exit(rows)


@users_app.command()
def mend(
    names: Annotated[list[str] | None, typer.Argument(metavar="[USER]...", help="These alone.")] = None,
    undeclared: Annotated[
        bool, typer.Option("--undeclared", help="Take people who are not declared out of the groups, too.")
    ] = False,
    gone: Annotated[
        bool, typer.Option("--gone", help="End MLflow's accounts of people who are gone; their tokens are deleted.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: YesOption = False,
    stack: StackOption = "dev",
    config_file: ConfigOption = None,
) -> None:
    """Bring people to their declaration: groups, and MLflow's accounts of people who are gone.

    Exit code 1 when something is left that a person has to decide, and when MLflow could not be asked.
    """
    with reported():
        access, context = _where(stack, config_file)
        keycloak, realm = access.keycloak_admin(), context.spec.realm
        actual = drift.keycloak_users(keycloak)
        rows = _accounts(access, context, actual, drift.user_rows)
        _known(names or (), rows)
        rows = [row for row in rows if not names or row.name in names]
        asked = {option for option, given in ((drift.UNDECLARED, undeclared), (drift.GONE, gone)) if given}
        found = mending.mends(rows, actual, keycloak, access.mlflow(), asked)
        taken = [one for one in found if one.action]
        mending.refuse_none_left(realm, actual, taken)
        for one in found:
            say(f"{one.name}: {'' if one.action else 'left: '}{one.words}")
        if taken and not dry_run:
            confirm(f"Change {len(taken)} thing(s) of {', '.join(sorted({one.name for one in taken}))}", yes=yes)
            _take(taken)
        unasked = any(row.mlflow is None for row in rows)
        if not found:
            say("Nothing differs in Keycloak." if unasked else "Nothing differs.")
        if len(taken) < len(found) or (taken and dry_run) or unasked:
            raise typer.Exit(1)


def _take(changes: Sequence[mending.Mend]) -> None:
    done = 0
    try:
        for one in changes:
            one.take()
            done += 1
    finally:
        say(f"{done} of {len(changes)} thing(s) changed. Groups count at the next token.")


def _known(names: Sequence[str], rows: Sequence[drift.Row]) -> None:
    unknown = sorted({*names} - {row.name for row in rows})
    if unknown:
        raise RefusedError(f"there is no user {', '.join(unknown)}", "`stackctl users` lists them; nothing was changed")


@users_app.command()
@about_a_stack
def enable(
    where: Where,
    username: Annotated[str, typer.Argument(metavar="USER", help="Whom to let in again.")],
) -> None:
    """Undo `revoke --disable`: let the user in again. Revoked sessions and tokens stay dead."""
    with reported():
        sides = resolve(where).sides()
        revocation.enable(sides, revocation.find(sides, username))
        say(f"{username} may log in again.")


@users_app.command("ask-terms")
@about_a_stack
def ask_terms(
    where: Where,
    again: Annotated[bool, typer.Option("--again", help="Those too who accepted: the terms are others now.")] = False,
    yes: YesOption = False,
) -> None:
    """Ask people who are there to accept the terms of use at their next login. `realm.terms` asks newcomers."""
    with reported():
        keycloak = resolve(where).keycloak_admin()
        found = terms.find(keycloak, again=again)
        if found.cannot:
            say(f"{len(found.cannot)} person(s) of directories that Keycloak only reads cannot accept: not asked.")
        if not found.to_ask:
            say("There is nobody to ask.")
            return
        question = "until they accept in a browser, no password alone is taken from them"
        confirm(f"Ask {len(found.to_ask)} person(s) to accept the terms; {question}", yes=yes)
        refused = []
        for person, name in found.to_ask.items():
            try:
                terms.ask(keycloak, person)
            except AccessError as error:
                refused.append(f"{name}: {error}")
        asked = len(found.to_ask) - len(refused)
        say(f"{asked} person(s) are asked at their next login. Sessions and tokens that are there stay.")
        for one in refused:
            say(f"Not asked: {one}")
        if refused:
            raise typer.Exit(1)


def service_accounts(
    stack: StackOption = "dev", output: OutputOption = TABLE, config_file: ConfigOption = None
) -> None:
    """Machine identities: as declared, in Keycloak, and in MLflow when logged in. Exit code 1 when they differ."""
    with reported():
        access, context = _where(stack, config_file)
        actual = drift.keycloak_service_accounts(access.keycloak_admin())
        rows = _accounts(access, context, actual, drift.service_account_rows)
        show_rows([row.data() for row in rows], ACCOUNT_COLUMNS, output)
    _exit(rows)


def groups(stack: StackOption = "dev", output: OutputOption = TABLE, config_file: ConfigOption = None) -> None:
    """Groups: as declared and in Keycloak, with their members. Exit code 1 when one is missing."""
    with reported():
        access, context = _where(stack, config_file)
        rows = drift.group_rows(context.spec.realm, drift.keycloak_members(access.keycloak_admin()))
        show_rows(rows, GROUP_COLUMNS, output)
    _tell([row["name"] for row in rows if row["drift"]])


def _where(stack: str, config_file: Path | None) -> tuple[Access, Context]:
    """The declaration is in the settings, so these are read first: without them there is nothing to compare."""
    context = load(stack, config_file, encrypted=True)
    return resolve(Where(stack=stack, config_file=config_file)), context


def _accounts(
    access: Access,
    context: Context,
    actual: Mapping[str, drift.Actual],
    compare: Compare,
) -> list[drift.Row]:
    claim = context.settings.mlflow.username_claim
    try:
        known = drift.plugin_users(access.mlflow(), access.keycloak_admin(), claim)
        if known is None:
            say(f"What MLflow has is left out: it names people by the claim {claim}, which Keycloak's list has not")
    except AccessError as error:
        say(f"What MLflow has is left out: {error}")
        known = None
    return compare(context.spec.realm, actual, known)


def _exit(rows: Sequence[drift.Row]) -> None:
    _tell([row.name for row in rows if row.drift])


def _tell(differing: Sequence[str]) -> None:
    if differing:
        say(f"Different from what is declared: {', '.join(differing)}.")
        raise typer.Exit(1)
