"""`users [list]`, `groups` and `service-accounts`: what is declared against what there is; and `users enable`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from mlflow_sso_client.errors import AccessError, RefusedError

from components.realm.spec import RealmSpec
from stackctl.clients.mlflow_api import PluginUser
from stackctl.commands.common import (
    TABLE,
    ConfigOption,
    OutputOption,
    StackOption,
    reported,
    show_rows,
)
from stackctl.commands.options import about_a_stack
from stackctl.context import Context, load
from stackctl.people import drift, revocation
from stackctl.people.connection import Access, Where, resolve
from stackctl.progress import say

ACCOUNT_COLUMNS = ("name", "declared", "keycloak", "groups", "mlflow", "drift")
GROUP_COLUMNS = ("name", "declared", "keycloak", "members", "drift")

Compare = Callable[[RealmSpec, Mapping[str, drift.Actual], Mapping[str, PluginUser] | None], list[drift.Row]]


users_app = typer.Typer(help="People: as declared, in Keycloak, and in MLflow; and to let them in again.")


@users_app.callback(invoke_without_command=True)
def users(
    context: typer.Context,
    stack: StackOption = "dev",
    output: OutputOption = TABLE,
    config_file: ConfigOption = None,
) -> None:
    """People: `list`, which is what is done without a command, and `enable USER`."""
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
        show_rows(rows, ACCOUNT_COLUMNS, output)
    _exit(rows)


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


def service_accounts(
    stack: StackOption = "dev", output: OutputOption = TABLE, config_file: ConfigOption = None
) -> None:
    """Machine identities: as declared, in Keycloak, and in MLflow when logged in. Exit code 1 when they differ."""
    with reported():
        access, context = _where(stack, config_file)
        actual = drift.keycloak_service_accounts(access.keycloak_admin())
        rows = _accounts(access, context, actual, drift.service_account_rows)
        show_rows(rows, ACCOUNT_COLUMNS, output)
    _exit(rows)


def groups(stack: StackOption = "dev", output: OutputOption = TABLE, config_file: ConfigOption = None) -> None:
    """Groups: as declared and in Keycloak, with their members. Exit code 1 when one is missing."""
    with reported():
        access, context = _where(stack, config_file)
        rows = drift.group_rows(context.spec.realm, drift.keycloak_members(access.keycloak_admin()))
        show_rows(rows, GROUP_COLUMNS, output)
    _exit(rows)


def _where(stack: str, config_file: Path | None) -> tuple[Access, Context]:
    """The declaration is in the settings, so these are read first: without them there is nothing to compare."""
    context = load(stack, config_file, encrypted=True)
    return resolve(Where(stack=stack, config_file=config_file)), context


def _accounts(
    access: Access, context: Context, actual: Mapping[str, drift.Actual], compare: Compare
) -> list[dict[str, Any]]:
    try:
        known = drift.plugin_users(access.mlflow())
    except AccessError as error:
        say(f"What MLflow has is left out: {error}")
        known = None
    return [row.data() for row in compare(context.spec.realm, actual, known)]


def _exit(rows: Sequence[Mapping[str, Any]]) -> None:
    differing = [row["name"] for row in rows if row["drift"]]
    if differing:
        say(f"Different from what is declared: {', '.join(differing)}.")
        raise typer.Exit(1)
