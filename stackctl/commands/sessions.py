"""`sessions list|revoke` and `revoke USER --everything`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from mlflow_sso_client.errors import RefusedError

from components.plugin.profile import Ability
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
from stackctl.people import revocation, sessions
from stackctl.people.connection import Sides, Where, resolve
from stackctl.people.sessions import AnySession
from stackctl.progress import say

app = typer.Typer(help="Sessions of Keycloak and of MLflow's pages, side by side.", no_args_is_help=True)

UserOption = Annotated[str | None, typer.Option("--user", help="Of this user.")]
ClientOption = Annotated[str | None, typer.Option("--client", help="In this client of Keycloak.")]
COLUMNS = ("kind", "id", "user", "clients", "ip_address", "started", "last_seen")


@app.command("list")
@about_a_stack
def list_sessions(
    where: Where,
    user: UserOption = None,
    client: ClientOption = None,
    session_id: Annotated[str | None, typer.Option("--session-id", help="This one alone.")] = None,
    output: OutputOption = TABLE,
) -> None:
    """Who is logged in, where, and since when. Needs an administrator of both."""
    with reported():
        sides = resolve(where, *_needs(user, client)).sides()
        found = _found(sides, user, client, session_id)
        show_rows([_row(one) for one in found], COLUMNS, output)


@app.command()
@about_a_stack
def revoke(
    where: Where,
    user: UserOption = None,
    client: ClientOption = None,
    session_id: Annotated[str | None, typer.Option("--session-id", help="The id that `list` shows.")] = None,
    yes: YesOption = False,
) -> None:
    """End sessions. Personal access tokens stay: `stackctl revoke USER --everything` takes them too."""
    with reported():
        if user is None and client is None and session_id is None:
            raise RefusedError("it is not said which sessions to end", "give --user, --client or --session-id")
        sides = resolve(where, *_needs(user, client)).sides()
        found = _found(sides, user, client, session_id)
        if not found:
            say("There is no such session.")
            return
        confirm(f"End {len(found)} session(s) of {', '.join(sorted({one.user for one in found}))}", yes=yes)
        ended = sum(sessions.end(sides.keycloak, sides.mlflow, one) for one in found)
        say(f"Ended {ended} of {len(found)} session(s).")
        lifetime = int(sides.keycloak.realm()["accessTokenLifespan"])
        say(f"MLflow accepts access tokens issued before for up to {lifetime} s more.")


@about_a_stack
def revoke_user(
    where: Where,
    username: Annotated[str, typer.Argument(metavar="USER", help="Whose access to cut.")],
    everything: Annotated[
        bool, typer.Option("--everything", help="Keycloak sessions, offline tokens, MLflow sessions, personal tokens.")
    ] = False,
    disable: Annotated[bool, typer.Option("--disable", help="And keep the user out, in Keycloak and MLflow.")] = False,
    prove: Annotated[
        bool, typer.Option("--prove/--no-prove", help="Try credentials of the user before and after.")
    ] = True,
    yes: YesOption = False,
    output: OutputOption = TABLE,
) -> None:
    """Cut a user's access of every kind, and prove that the old credentials are dead."""
    with reported():
        if not everything:
            raise RefusedError(
                f"`stackctl revoke {username}` takes every kind of access, and asks for --everything",
                "or end sessions alone with `stackctl sessions revoke`, tokens with `stackctl tokens delete`",
            )
        sides = resolve(where, *revocation.needs(disable=disable)).sides()
        target = revocation.find(sides, username)
        fate = " and disable the user" if disable else ""
        confirm(f"Revoke every session and token of {target.username}{fate}", yes=yes)
        report = revocation.revoke(sides, target, disable=disable, prove=prove, tell=say)
        if output is TABLE:
            show(report.revoked, output)
            show_rows(report.proofs, ("credential", "before", "after", "dead"), output)
        else:
            show(
                {"user": target.username, "revoked": report.revoked, "proofs": report.proofs, **report.outlook}, output
            )
        say(report.told)
        if not report.complete:
            raise typer.Exit(1)


def restore(context: typer.Context) -> None:
    """Says which command enables a user now: restoring is what is done to data."""
    with reported():
        raise RefusedError("`restore` enables nobody any more", "use `stackctl users enable USER`")


def _needs(user: str | None, client: str | None) -> tuple[Ability, ...]:
    """Sessions of a client are Keycloak's alone; all others are MLflow's as well."""
    return () if user is None and client is not None else (Ability.PAGE_SESSIONS,)


def _found(sides: Sides, user: str | None, client: str | None, session_id: str | None) -> list[AnySession]:
    keycloak, mlflow = sides.keycloak, sides.mlflow
    if user is not None:
        found = sessions.of_user(keycloak, mlflow, user)
        found = [one for one in found if client is None or client in one.clients]
    elif client is not None:
        found = sessions.of_client(keycloak, client)
    else:
        found = sessions.of_everybody(keycloak, mlflow)
    return sessions.by_id(found, session_id) if session_id else found


def _row(one: AnySession) -> dict[str, Any]:
    row = {**asdict(one), "clients": list(one.clients)}
    del row["origin"]
    return row
