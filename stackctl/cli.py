"""The operator's command line.

Data goes to standard output, everything else to standard error. Exit codes:

- 0 done
- 1 failed
- 2 refused because of what was asked or configured; nothing was changed
- 3 not logged in, or the login has expired or was revoked
- 4 wrong password, client secret or personal access token
- 5 no user, client, token or session of that name or id
- 6 not allowed: the login is no administrator, or in no group that MLflow lets in
- 7 Keycloak does not answer
- 8 MLflow does not answer
- 9 a server's certificate is not trusted here
- 130 interrupted
"""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from components.importing import comes_later
from components.stack import redacted
from platforms.threads import side_by_side
from problems import Problem, StackError, printable
from settings import PROJECT, ROOT
from settings.notices import notices
from settings.versions import selection
from stackctl.commands import cleanup, destroy, doctor, gc, login, realm, sessions, tokens
from stackctl.commands.common import (
    TABLE,
    ConfigOption,
    OutputOption,
    StackOption,
    TargetOption,
    interruptible,
    reported,
    show,
)
from stackctl.context import Context, load, stack_directory
from stackctl.engines import kept_data, pulumi_cli
from stackctl.engines.targets import TARGETS, Target, owner
from stackctl.images.build import build
from stackctl.people import connection, offline
from stackctl.progress import say
from stackctl.realm.reconcile import differing, foresee, reconcile, remember


class Commands(TyperGroup):
    """Every command, each of which an interrupt ends in the same way."""

    def invoke(self, ctx: Any) -> Any:
        with interruptible():
            return super().invoke(ctx)


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)

app.command()(login.login)
app.command()(login.token)
app.command()(login.env)
app.command()(login.logout)
app.command("revoke")(sessions.revoke_user)
app.command()(realm.groups)
app.command()(realm.service_accounts)
app.command()(doctor.doctor)
app.command()(gc.gc)
app.command()(destroy.destroy)
app.command()(cleanup.cleanup)
app.command()(cleanup.verify_clean)
app.add_typer(tokens.app, name="tokens")
app.add_typer(sessions.app, name="sessions")
app.add_typer(realm.users_app, name="users")
for _group in (app, realm.users_app):
    # Whatever is written behind it, it says the same.
    _group.command("restore", hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(
        sessions.restore
    )


def _version(asked: bool) -> None:
    if asked:
        typer.echo(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
        raise typer.Exit


@app.callback()
def about(
    asked: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Operate an MLflow single sign-on stack."""


class Engine(StrEnum):
    """What brings a stack up."""

    AUTO = "auto"
    PULUMI = "pulumi"
    COMPOSE = "compose"
    RENDER = "render"


EngineOption = Annotated[Engine, typer.Option("--engine", help="What brings the stack up.", envvar="ENGINE")]


@app.command()
def up(stack: StackOption = "dev", engine: EngineOption = Engine.AUTO, config_file: ConfigOption = None) -> None:
    """Bring the stack up, and build the images it lacks."""
    goes_on = f"the same `stackctl up` goes on, `stackctl destroy --stack {stack}` removes it"
    with reported(goes_on), side_by_side() as pool:
        readable = engine in (Engine.AUTO, Engine.PULUMI)
        context = load(stack, config_file, encrypted=readable)
        target = TARGETS[context.settings.platform]
        _refuse_another_platform(context, target)
        with_pulumi = _choose(stack, engine, target)
        if with_pulumi:
            # Asked while the target is being looked at: the CLI takes longer to start than either to answer.
            there = pool.submit(pulumi_cli.exists, stack)
        elif readable:
            context = load(stack, config_file)
        _notify(context)
        _preflight(context, target, with_pulumi=with_pulumi)
        target.deliver(context, _build(context).values())
        target.open_routes(context)
        say(f"Bringing up stack {stack} with {'Pulumi' if with_pulumi else target.tool} ...")
        new = with_pulumi and not there.result()
        if with_pulumi:
            pulumi_cli.up(context, new=new)
        else:
            foresee(context, target)
            remember(context, target)
            target.up(context)
            kept_data.remember(context, target)
        target.settle_routes(context)
        if not with_pulumi:
            reconcile(context, target)
        offline.end_left(context, new=new)
        _welcome(context)


@app.command()
def preview(stack: StackOption = "dev", config_file: ConfigOption = None) -> None:
    """Show what `up` would change, whichever engine brought the stack up (a new one needs the Pulumi engine)."""
    with reported():
        other = owner(stack)
        context = load(stack, config_file, encrypted=other is None)
        if other is not None:
            _notify(context)
            _foresee(context, other)
            return
        reason = pulumi_cli.unavailable(TARGETS[context.settings.platform].plugin)
        if reason:
            raise pulumi_cli.PulumiError(f"{reason}; `stackctl render` writes what runs without it.")
        _notify(context)
        pulumi_cli.preview(context)


@app.command()
def outputs(
    stack: StackOption = "dev",
    output: OutputOption = TABLE,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Secrets in clear.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """The stack's URLs, client and users; the same whatever brought it up."""
    with reported():
        found = connection.outputs(stack, config_file)
        if found is None:
            problem = Problem("stack", stack, f"expected one that is up; `make up STACK={stack}` makes it")
            raise StackError(f"There is no stack {stack} here.", [problem])
        show(found if show_secrets else redacted(found), output)


@app.command()
def render(
    stack: StackOption = "dev",
    out: Annotated[Path, typer.Option("--out", help="Directory to write to.", file_okay=False)] = Path("rendered"),
    target: TargetOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Write the stack as a Compose file or as Kubernetes YAML, with a realm import and a private file of secrets."""
    with reported():
        context = load(stack, config_file, platform=target)
        chosen = TARGETS[context.settings.platform]
        chosen.write(context, out / stack)
        say(f"Wrote {chosen.written(out / stack)}.")
        apart = [key for key, found in comes_later(context.spec.realm).items() if found]
        if apart and not context.settings.kubernetes.realm_job:
            say(f"Not in these files: {', '.join(apart)}. `stackctl up` brings it into the realm.")


@app.command("forward")
def forward_(stack: StackOption = "dev", config_file: ConfigOption = None) -> None:
    """Keep the stack's URLs on this machine forwarded to the cluster, until interrupted."""
    with reported():
        context = load(stack, config_file, encrypted=True)
        TARGETS[context.settings.platform].keep_routes(context)


@app.command()
def images(stack: StackOption = "dev", config_file: ConfigOption = None) -> None:
    """Build the images that the stack needs and the Docker engine lacks."""
    with reported():
        made = _build(load(stack, config_file, encrypted=True))
        show(dict(made), TABLE)


def _foresee(context: Context, target: Target) -> None:
    """Shows what `up` would change of a stack that rendered files brought up. Raises StackError as `up` would."""
    if TARGETS[context.settings.platform] is not target:
        raise _owned(context.stack, target)
    problems = kept_data.problems(context, target, [])
    if problems:
        raise StackError(f"`up` would refuse these settings of stack {context.stack}.", problems)
    lines = target.changes(context) + [f"realm, {s.where}: {'; '.join(s.changes)}" for s in differing(context, target)]
    for line in lines:
        typer.echo(printable(line))
    say("Nothing would change." if not lines else f"{len(lines)} change(s). Nothing was done.")


def _choose(stack: str, engine: Engine, target: Target) -> bool:
    """Whether Pulumi brings the stack up; otherwise the target's own tool does, from rendered files."""
    rendered = engine in target.engines
    if not rendered and engine not in (Engine.AUTO, Engine.PULUMI):
        expected = f"expected one of {', '.join(['auto', 'pulumi', *sorted(target.engines)])}"
        raise StackError("That engine does not run this stack.", [Problem("engine", engine, expected)])
    if rendered or (engine is Engine.AUTO and target.owns(stack)):
        return False
    if target.owns(stack):
        raise _owned(stack, target)
    reason = pulumi_cli.unavailable(target.plugin)
    if reason is None:
        return True
    if engine is Engine.PULUMI:
        raise pulumi_cli.PulumiError(f"{reason}; ENGINE=render needs no Pulumi.")
    say(f"{reason[0].upper()}{reason[1:]}. Using {target.tool} with the same definitions.")
    return False


def _refuse_another_platform(context: Context, target: Target) -> None:
    """What rendered files brought up on another platform would be left there with its data."""
    other = owner(context.stack)
    if other is None or other is target:
        return
    there = next(platform.value for platform, one in TARGETS.items() if one is other)
    problem = Problem(f"{PROJECT}:platform", context.settings.platform.value, f"expected {there}: the stack is there")
    raise StackError(f"Stack {context.stack} is on another platform; nothing was created or changed.", [problem])


def _owned(stack: str, target: Target) -> StackError:
    """What is said to whoever wants to do with Pulumi what rendered files were used for."""
    ways = " or ".join(sorted(target.engines))
    expected = f"expected {ways}, which brought it up ({stack_directory(stack)}); or `make destroy` first"
    return StackError(f"Stack {stack} is another engine's.", [Problem("engine", Engine.PULUMI.value, expected)])


def _notify(context: Context) -> None:
    for notice in notices(context.settings):
        say(notice)


def _preflight(context: Context, target: Target, *, with_pulumi: bool) -> None:
    problems = target.preflight(context)
    if not with_pulumi:
        # The engine's program asks for itself: it alone knows what the last update put out.
        problems += kept_data.problems(context, target, problems)
    if problems:
        raise StackError(f"Stack {context.stack} cannot be brought up here; nothing was created or changed.", problems)


def _build(context: Context) -> dict[str, str]:
    ca_bundle = context.settings.file(context.settings.ca_bundle) if context.settings.ca_bundle else None
    used = {workload.image for workload in context.spec.workloads}
    return build(selection(context.settings), context.settings.images.source, ca_bundle, say, used=used)


def _welcome(context: Context) -> None:
    people = [f"{u.username} ({', '.join(u.groups)})" for u in context.spec.realm.users if u.groups]
    say(f"\nMLflow    {context.spec.mlflow_url}")
    say(f"Keycloak  {context.spec.keycloak.public_url}/realms/{context.spec.realm.name}/account")
    if people:
        say(f"Log in as {' or '.join(people)}.")
    say(f"Passwords and client secrets: .venv/bin/stackctl outputs --stack {context.stack} --show-secrets")
