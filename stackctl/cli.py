"""The operator's command line.

Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 refused
because of what was asked or configured (nothing was changed).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from platforms.docker_engine import DockerError
from platforms.kubectl import KubernetesError
from platforms.workload import Problem, StackError
from settings import ROOT, Platform
from settings.catalogue import VersionsError
from settings.versions import selection
from stackctl import forward, kubernetes_engine, pulumi_engine
from stackctl.context import Context, load, stack_directory
from stackctl.images import ImageError, build
from stackctl.progress import say
from stackctl.targets import TARGETS, Target, owner

app = typer.Typer(help="Operate an MLflow single sign-on stack.", no_args_is_help=True, pretty_exceptions_enable=False)

FAILED, REFUSED = 1, 2
# Values under these names are secret wherever they stand in the outputs.
SECRET_KEYS = frozenset({"password", "client_secret"})


class Engine(StrEnum):
    """What brings a stack up."""

    AUTO = "auto"
    PULUMI = "pulumi"
    COMPOSE = "compose"
    RENDER = "render"


class Output(StrEnum):
    """How data is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


StackOption = Annotated[str, typer.Option("--stack", "-s", help="The stack's name.", envvar="STACK")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config-file", help="Settings; default Pulumi.<stack>.yaml.", dir_okay=False)
]
EngineOption = Annotated[Engine, typer.Option("--engine", help="What brings the stack up.", envvar="ENGINE")]


@contextmanager
def reported() -> Iterator[None]:
    """Turn what can go wrong into one message and an exit code; a traceback is for defects alone."""
    try:
        yield
    except (StackError, VersionsError) as error:
        say(f"error: {error}")
        raise typer.Exit(REFUSED) from None
    except (DockerError, ImageError, KubernetesError, pulumi_engine.PulumiError) as error:
        say(f"error: {error}")
        raise typer.Exit(FAILED) from None


@app.command()
def up(stack: StackOption = "dev", engine: EngineOption = Engine.AUTO, config_file: ConfigOption = None) -> None:
    """Bring the stack up, and build the images it lacks."""
    with reported():
        target = TARGETS[load(stack, config_file, encrypted=True).settings.platform]
        with_pulumi = _choose(stack, engine, target)
        context = load(stack, config_file, encrypted=with_pulumi)
        _preflight(context, target)
        target.deliver(context, _build(context).values())
        target.open_routes(context)
        say(f"Bringing up stack {stack} with {'Pulumi' if with_pulumi else target.TOOL} ...")
        if with_pulumi:
            pulumi_engine.up(context)
        else:
            target.up(context)
        _welcome(context)


@app.command()
def preview(stack: StackOption = "dev", config_file: ConfigOption = None) -> None:
    """Show what `up` would change (needs the Pulumi engine)."""
    with reported():
        context = load(stack, config_file, encrypted=True)
        reason = pulumi_engine.unavailable(TARGETS[context.settings.platform].PLUGIN)
        if reason:
            raise pulumi_engine.PulumiError(f"{reason}; `stackctl render` writes what runs without it.")
        pulumi_engine.preview(context)


@app.command()
def destroy(stack: StackOption = "dev", config_file: ConfigOption = None) -> None:
    """Remove the stack with its data: containers, volumes, networks and secrets."""
    with reported():
        target = owner(stack)
        if target is not None:
            target.destroy(stack)
        elif pulumi_engine.find() and pulumi_engine.exists(stack):
            context = load(stack, config_file, encrypted=True)
            TARGETS[context.settings.platform].open_routes(context)
            pulumi_engine.destroy(context)
            forward.stop(stack)
        else:
            say(f"There is no stack {stack} here; nothing to remove.")
            return
        say(f"Stack {stack} is gone.")


@app.command()
def outputs(
    stack: StackOption = "dev",
    output: Annotated[Output, typer.Option("--output", "-o", help="How to write them.")] = Output.TABLE,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Secrets in clear.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """The stack's URLs, client and users; the same for both engines."""
    with reported():
        target = owner(stack)
        if target is not None:
            found = target.outputs(stack)
        elif pulumi_engine.find() and pulumi_engine.exists(stack):
            context = load(stack, config_file, encrypted=True)
            found = pulumi_engine.outputs(stack, context.settings.environment)
        else:
            raise StackError(f"There is no stack {stack} here; `make up STACK={stack}` makes it.", [])
        _print(found if show_secrets else redacted(found), output)


@app.command()
def render(
    stack: StackOption = "dev",
    out: Annotated[Path, typer.Option("--out", help="Directory to write to.", file_okay=False)] = Path("rendered"),
    target: Annotated[Platform | None, typer.Option("--target", help="Default: the stack's own platform.")] = None,
    config_file: ConfigOption = None,
) -> None:
    """Write the stack as a Compose file or as Kubernetes YAML, with a realm import and a private file of secrets."""
    with reported():
        context = load(stack, config_file, platform=target)
        say(f"Wrote {TARGETS[context.settings.platform].write(context, out / stack)}.")


@app.command("forward")
def forward_(stack: StackOption = "k8s", config_file: ConfigOption = None) -> None:
    """Keep the stack's URLs on this machine forwarded to the cluster, until interrupted."""
    with reported():
        plan = kubernetes_engine.plan(load(stack, config_file, encrypted=True))
        for route in forward.routes(plan):
            say(f"http://localhost:{route.local} -> {route.service} in namespace {plan.namespace}")
        forward.run(plan)


@app.command()
def images(stack: StackOption = "dev", config_file: ConfigOption = None) -> None:
    """Build the images that the stack needs and the Docker engine lacks."""
    with reported():
        made = _build(load(stack, config_file, encrypted=True))
        _print(dict(made), Output.TABLE)


def redacted(value: Any) -> Any:
    """The same outputs with every secret's value hidden."""
    if isinstance(value, dict):
        return {k: "[secret]" if k in SECRET_KEYS else redacted(inner) for k, inner in value.items()}
    return value


def _choose(stack: str, engine: Engine, target: Target) -> bool:
    """Whether Pulumi brings the stack up; otherwise the target's own tool does, from rendered files."""
    rendered = engine in target.ENGINES
    if not rendered and engine not in (Engine.AUTO, Engine.PULUMI):
        expected = f"expected one of {', '.join(['auto', 'pulumi', *sorted(target.ENGINES)])}"
        raise StackError("That engine does not run this stack.", [Problem("engine", engine, expected)])
    if rendered or (engine is Engine.AUTO and target.owns(stack)):
        return False
    if target.owns(stack):
        raise pulumi_engine.PulumiError(
            f"stack {stack} was brought up by {target.TOOL} ({stack_directory(stack)}); use ENGINE=render or destroy it"
        )
    reason = pulumi_engine.unavailable(target.PLUGIN)
    if reason is None:
        return True
    if engine is Engine.PULUMI:
        raise pulumi_engine.PulumiError(f"{reason}; ENGINE=render needs no Pulumi.")
    say(f"{reason[0].upper()}{reason[1:]}. Using {target.TOOL} with the same definitions.")
    return False


def _preflight(context: Context, target: Target) -> None:
    problems = target.preflight(context)
    if problems:
        raise StackError(f"Stack {context.stack} cannot be brought up here; nothing was created.", problems)


def _build(context: Context) -> dict[str, str]:
    ca_bundle = ROOT / context.settings.ca_bundle if context.settings.ca_bundle else None
    return build(selection(context.settings), context.settings.images.source, ca_bundle, say)


def _welcome(context: Context) -> None:
    people = [f"{u.username} ({', '.join(u.groups)})" for u in context.spec.realm.users]
    say(f"\nMLflow    {context.spec.mlflow_url}")
    say(f"Keycloak  {context.spec.keycloak.public_url}/realms/{context.spec.realm.name}/account")
    if people:
        say(f"Log in as {' or '.join(people)}.")
    say(f"Passwords and client secrets: .venv/bin/stackctl outputs --stack {context.stack} --show-secrets")


def _print(data: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        json.dump(data, sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif output is Output.YAML:
        yaml.safe_dump(data, sys.stdout, sort_keys=False)
    else:
        for name, value in data.items():
            shown = json.dumps(value) if isinstance(value, dict) else value
            sys.stdout.write(f"{name:18} {shown}\n")


def main() -> None:
    app()
