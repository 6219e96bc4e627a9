"""Brings a stack up from its rendered Compose file, for machines without the Pulumi engine."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from components.realm_import import IMPORT_PATH, importing_workloads, realm_import
from platforms import compose, docker_engine
from platforms.docker_plan import LABEL_PROJECT, LABEL_STACK, DockerPlan
from platforms.workload import Problem, Secret, StackError
from settings import PROJECT
from stackctl.context import Context, stack_directory
from stackctl.progress import Board, say
from stackctl.state import SecretStore, env_file, private_directory, write_private

COMPOSE_FILE = "compose.yaml"
REALM_FILE = "realm.json"
OUTPUTS_FILE = "outputs.json"
SECRETS_FILE = "secrets.json"


def plan(context: Context) -> DockerPlan:
    return DockerPlan(PROJECT, context.stack, importing_workloads(context.spec))


def check(context: Context) -> list[Problem]:
    """What Compose cannot do for this stack."""
    problems = compose.check_secrets(context.spec.secrets)
    problems += _substituted(realm_import(context.spec.realm, lambda _: ""), "realm")
    if not context.spec.keycloak_is_ours:
        where = f"{PROJECT}:keycloak.existing"
        problems.append(Problem(where, "", "expected ENGINE=pulumi: only the engine changes a Keycloak that is there"))
    return problems


def _substituted(tree: object, path: str) -> list[Problem]:
    """The texts in which Keycloak's import would put variables of its environment, and so the stack's secrets."""
    if isinstance(tree, Mapping):
        return [found for key, value in tree.items() for found in _substituted(value, f"{path}.{key}")]
    if isinstance(tree, list):
        return [found for i, value in enumerate(tree) for found in _substituted(value, f"{path}[{i}]")]
    if isinstance(tree, str) and "${" in tree:
        return [Problem(path, tree, "expected no ${ in it: Keycloak's import puts a variable of its own there")]
    return []


def write(context: Context, directory: Path) -> dict[str, str]:
    """Write the Compose file, the realm and the secrets into `directory`; returns every secret by name."""
    stack = plan(context)
    problems = check(context) + stack.check()
    if problems:
        raise StackError("Compose cannot run this stack; nothing was written.", problems)
    rendered = compose.render(stack, context.settings.docker.bind_address)
    # The directory is private; a file in it has to be readable by a container's user, whoever that is.
    private_directory(directory)
    for name, text in rendered.files.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o644)
    values = SecretStore(directory / SECRETS_FILE).values(context.spec.secrets)
    variables = {
        "COMPOSE_PROJECT_NAME": compose.project_name(stack),
        **compose.env_values(context.spec.secrets, values),
    }
    write_private(directory / "secrets.env", env_file(variables))
    write_private(directory / REALM_FILE, _realm(stack))
    write_private(directory / COMPOSE_FILE, rendered.compose)
    return values


def _realm(stack: DockerPlan) -> str:
    return next(f.content for w in stack.workloads for f in w.files if f.path == IMPORT_PATH)


def owns(stack: str) -> bool:
    """Whether this stack was brought up by Compose on this machine."""
    return (stack_directory(stack) / OUTPUTS_FILE).exists()


def disown(stack: str) -> None:
    """Forget that the stack is up, and keep its secrets: volumes that were left know them."""
    (stack_directory(stack) / OUTPUTS_FILE).unlink(missing_ok=True)


def up(context: Context) -> None:
    """Bring the stack up. Raises StackError before anything changes, or docker_engine.DockerError."""
    directory = context.directory
    _refuse_another_owner(context)
    _refuse_changed_realm(context, directory / REALM_FILE)
    values = write(context, directory)
    write_private(directory / OUTPUTS_FILE, json.dumps(_resolve(context.spec.outputs(), values), indent=2) + "\n")
    run(directory, "up", "-d", "--remove-orphans")
    stack = plan(context)
    with Board(tuple(w.name for w in stack.workloads)).shown() as board, ThreadPoolExecutor() as pool:

        def wait(index: int) -> None:
            workload = stack.workloads[index]
            docker_engine.wait_ready(workload, stack.physical(workload.name), lambda m: board.update(workload.name, m))
            board.update(workload.name, "ready", done=True)

        list(pool.map(wait, range(len(stack.workloads))))


def destroy(stack: str) -> None:
    """Remove every container, network and volume of the stack, and its secrets with them."""
    directory = stack_directory(stack)
    run(directory, "down", "--volumes", "--remove-orphans")
    shutil.rmtree(directory)


def outputs(stack: str) -> dict[str, Any]:
    return dict(json.loads((stack_directory(stack) / OUTPUTS_FILE).read_text()))


def run(directory: Path, *args: str) -> None:
    """Run Compose on the files in `directory`. Raises DockerError with its last lines."""
    files = ("--env-file", str(directory / "secrets.env"), "-f", str(directory / COMPOSE_FILE))
    done = subprocess.run(
        (*command(), *files, *args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, cwd=directory,
    )  # fmt: skip
    if done.returncode != 0:
        last = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise docker_engine.DockerError(f"Compose {args[0]} failed:\n{last}")


@cache
def command() -> tuple[str, ...]:
    """`docker compose`, or docker-compose where the plugin is not installed."""
    try:
        docker_engine.docker("compose", "version")
    except docker_engine.DockerError:
        if shutil.which("docker-compose") is None:
            expected = "expected `docker compose` or docker-compose; run `make engine`"
            raise StackError("Compose is not installed.", [Problem("compose", "", expected)]) from None
        return ("docker-compose",)
    return ("docker", "compose")


def _refuse_another_owner(context: Context) -> None:
    if (context.directory / SECRETS_FILE).exists():
        # It is ours, or its data are: a cleanup that kept the volumes has kept their secrets too.
        return
    filters = (f"label={LABEL_PROJECT}={PROJECT}", f"label={LABEL_STACK}={context.stack}")
    words = [word for one in filters for word in ("--filter", one)]
    found = docker_engine.docker("ps", "-a", *words, "--format", "{{.Names}}").split()
    found += docker_engine.docker("volume", "ls", *words, "--format", "{{.Name}}").split()
    if found:
        expected = "expected none: another engine or checkout made them; use ENGINE=pulumi, or destroy the stack first"
        problem = Problem(f"stack {context.stack}", ", ".join(sorted(found)), expected)
        raise StackError("This stack is there already, and not made by Compose; nothing was changed.", [problem])


def _refuse_changed_realm(context: Context, kept: Path) -> None:
    """Keycloak imports a realm once; a later change would be ignored without a word."""
    if not kept.exists():
        return
    before, after = json.loads(kept.read_text()), json.loads(_realm(plan(context)))
    changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    if changed:
        say(f"The realm differs from the one that was imported, in: {', '.join(changed)}.")
        expected = "expected no change: Compose imports a realm once; use ENGINE=pulumi, or `make destroy` first"
        raise StackError(
            "The realm has changed; nothing was changed.", [Problem("realm", ", ".join(changed), expected)]
        )


def _resolve(value: object, values: Mapping[str, str]) -> object:
    if isinstance(value, Secret):
        return values[value.name]
    if isinstance(value, Mapping):
        return {key: _resolve(inner, values) for key, inner in value.items()}
    return value
