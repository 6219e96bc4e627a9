"""Brings a stack up from its rendered Compose file, for machines without the Pulumi engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mlflow_sso_client.files import private_directory, write_private

from components.importing import importing_workloads
from platforms.docker import compose, daemon, jobs
from platforms.docker.inventory import DockerInventory
from platforms.docker.plan import DockerPlan
from platforms.docker.stores import DockerStores
from platforms.processes import ProcessError
from platforms.processes import run as run_program
from platforms.threads import side_by_side
from platforms.workload import Service, Workload
from problems import Problem, StackError
from settings import PROJECT
from stackctl.context import Context, stack_directory
from stackctl.engines.rendered import (
    OUTPUTS_FILE,
    REALM_FILE,
    SECRETS_FILE,
    check_keycloak,
    differences,
    kept_realm,
    read_outputs,
    realm_of,
    resolve,
)
from stackctl.progress import Board
from stackctl.state import SecretStore, env_file

COMPOSE_FILE = "compose.yaml"


def plan(context: Context, directory: Path) -> DockerPlan:
    """The stack as it is written into a directory; into its own with the realm that its Keycloak imported."""
    own = directory == context.directory
    return DockerPlan(PROJECT, context.stack, importing_workloads(context.spec, kept_realm(directory), imported=own))


def _rendered(context: Context, directory: Path) -> compose.Rendered:
    """The files of the stack. Compose offers to make a volume anew whose labels differ, and its data are lost then:
    a volume that is there has the labels that it was made with, and none is marked in files for another place.
    """
    marks: Mapping[str, bool] = {}
    own = directory == context.directory
    if own:
        with suppress(daemon.DockerError):
            marks = daemon.protected(PROJECT, context.stack)
    stack = plan(context, directory).as_marked(lambda name, wanted: own and marks.get(name, wanted))
    return compose.render(stack, context.settings.docker.bind_address)


def check(context: Context) -> list[Problem]:
    """What Compose cannot do for this stack."""
    return compose.check_secrets(context.spec.secrets) + check_keycloak(context)


class ComposeTarget:
    """Docker: the stack runs from its rendered Compose file."""

    tool = "Compose"
    plugin = "docker"
    engines = frozenset({"compose", "render"})

    def preflight(self, context: Context) -> list[Problem]:
        """What is in the way of this stack on this machine, before its images are built."""
        stack = DockerPlan(PROJECT, context.stack, context.spec.workloads)
        return stack.check() + daemon.examine(stack, context.settings.docker.bind_address, images=False).problems

    def stores(self, context: Context) -> DockerStores:
        """The volumes of this stack."""
        return DockerStores(DockerPlan(PROJECT, context.stack, context.spec.workloads))

    def deliver(self, context: Context, images: Collection[str]) -> None:
        """The engine that builds the images is the one that runs them."""

    def open_routes(self, context: Context) -> None:
        """The engine itself publishes the ports."""

    def settle_routes(self, context: Context) -> None:
        """They lead to the containers of now."""

    def close_routes(self, stack: str) -> None:
        """They are closed with the containers."""

    def keep_routes(self, context: Context) -> None:
        """Raises StackError: there is nothing to forward."""
        expected = "expected kubernetes: Docker publishes the stack's ports itself"
        problem = Problem(f"{PROJECT}:platform", context.settings.platform, expected)
        raise StackError(f"Nothing of stack {context.stack} has to be forwarded.", [problem])

    def written(self, directory: Path) -> str:
        """What `write` leaves in a directory, for people."""
        return f"{directory}: {COMPOSE_FILE}, {REALM_FILE} and, for you alone, secrets.env"

    def write(self, context: Context, directory: Path) -> dict[str, str]:
        """Write the Compose file, the realm and the secrets into `directory`; returns every secret by name."""
        stack = plan(context, directory)
        problems = check(context) + stack.check()
        if problems:
            raise StackError("Compose cannot run this stack; nothing was written.", problems)
        rendered = _rendered(context, directory)
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
            **compose.env_values(context.spec.secrets, values, stack.workloads),
        }
        write_private(directory / "secrets.env", env_file(variables))
        write_private(directory / REALM_FILE, realm_of(stack.workloads))
        write_private(directory / COMPOSE_FILE, rendered.compose)
        return values

    def changes(self, context: Context) -> list[str]:
        """What `up` would make, change and remove of a stack that is there, a line each. Nothing is written."""
        kept = context.directory / COMPOSE_FILE
        before = yaml.safe_load(kept.read_text()) if kept.exists() else {}
        after = yaml.safe_load(_rendered(context, context.directory).compose)
        volumes = (before.get("volumes") or {}).items()
        staying = {f"volume {name}": f"docker volume rm {part['name']}" for name, part in volumes}
        return differences(_parts(before), _parts(after), staying)

    def owns(self, stack: str) -> bool:
        """Whether this stack was brought up by Compose on this machine."""
        return (stack_directory(stack) / OUTPUTS_FILE).exists()

    def disown(self, stack: str) -> None:
        """Forget that the stack is up, and keep its secrets: volumes that were left know them."""
        (stack_directory(stack) / OUTPUTS_FILE).unlink(missing_ok=True)

    def up(self, context: Context) -> None:
        """Bring the stack up. Raises StackError before anything changes, or daemon.DockerError."""
        directory, stack = context.directory, plan(context, context.directory)
        _refuse_another_owner(context)
        values = self.write(context, directory)
        outputs = context.spec.outputs(data=context.spec.moves.lines(self.stores(context)))
        write_private(directory / OUTPUTS_FILE, json.dumps(resolve(outputs, values), indent=2) + "\n")
        run(directory, "up", "-d", "--remove-orphans")
        asked = [w.name for w in stack.workloads if not jobs.starts(w)]
        if asked:
            # They are there for whoever starts them.
            run(directory, "up", "--no-start", *asked)
        _remove_unused_networks(stack)
        with Board(tuple(w.name for w in stack.workloads)).shown() as board, side_by_side() as pool:

            def wait(workload: Workload) -> None:
                if isinstance(workload.runs, Service):
                    daemon.wait_ready(
                        workload,
                        stack.physical(workload.name),
                        lambda message: board.update(workload.name, message),
                        address=context.settings.docker.bind_address,
                    )
                board.update(workload.name, "ready", done=True)

            list(pool.map(wait, stack.workloads))

    def inventory(self, stack: str) -> DockerInventory:
        """What finds the objects of a stack that was brought up here."""
        return DockerInventory()

    def destroy(self, stack: str) -> None:
        """Remove every container, network and volume of the stack, and its secrets with them."""
        directory = stack_directory(stack)
        inventory = DockerInventory()
        run(directory, "down", "--volumes", "--remove-orphans", profile=compose.ON_DEMAND)
        # Compose leaves scratch that it handed on, and what only the settings of before have named. What somebody else
        # uses ends this here: its data know the secrets.
        for item in inventory.find(PROJECT, stack):
            inventory.remove(item)
        shutil.rmtree(directory)

    def kept(self, stack: str) -> dict[str, str]:
        """The stack's secrets by name, as far as this machine has them."""
        return SecretStore(stack_directory(stack) / SECRETS_FILE).kept()

    def home(self, stack: str) -> Path:
        """Where the files of a stack are kept on this machine."""
        return stack_directory(stack)

    def outputs(self, stack: str) -> dict[str, Any]:
        """The outputs with their secrets in clear, as `up` wrote them. Raises StackError for a damaged file."""
        return read_outputs(stack_directory(stack) / OUTPUTS_FILE)


def _parts(document: Mapping[str, Any]) -> dict[str, Any]:
    """The services, networks and volumes of a Compose file, by what they are and their names."""
    kinds = {"services": "service", "networks": "network", "volumes": "volume"}
    return {
        f"{word} {name}": part or {} for key, word in kinds.items() for name, part in (document.get(key) or {}).items()
    }


def run(directory: Path, *args: str, profile: str = "") -> None:
    """Run Compose on the files in `directory`. Raises DockerError with its last lines.

    profile: whose services it is about too.
    """
    files = ("--env-file", str(directory / "secrets.env"), "-f", str(directory / COMPOSE_FILE))
    try:
        done = run_program(
            *command(), *files, *args, directory=directory, variables={"COMPOSE_PROFILES": profile}, merged=True
        )
    except ProcessError as error:
        raise daemon.DockerError(str(error)) from None
    if done.code != 0:
        raise daemon.DockerError(f"Compose {args[0]} failed:\n{done.last(12)}")


def _remove_unused_networks(stack: DockerPlan) -> None:
    """Remove the networks of settings of before, which Compose leaves, as far as nobody uses them."""
    named = {stack.physical(name) for name in stack.networks()}
    found = daemon.docker("network", "ls", *daemon.of_stack(PROJECT, stack.stack), "--format", "{{.Name}}").split()
    for name in sorted(set(found) - named):
        with suppress(daemon.DockerError):
            daemon.docker("network", "rm", name)


@cache
def command() -> tuple[str, ...]:
    """`docker compose`, or docker-compose where the plugin is not installed."""
    try:
        daemon.docker("compose", "version")
    except daemon.DockerError:
        if shutil.which("docker-compose") is None:
            expected = "expected `docker compose` or docker-compose; run `make engine`"
            raise StackError("Compose is not installed.", [Problem("compose", "", expected)]) from None
        return ("docker-compose",)
    return ("docker", "compose")


def _refuse_another_owner(context: Context) -> None:
    if (context.directory / SECRETS_FILE).exists():
        # It is ours, or its data are: a cleanup that kept the volumes has kept their secrets too.
        return
    words = daemon.of_stack(PROJECT, context.stack)
    found = daemon.docker("ps", "-a", *words, "--format", "{{.Names}}").split()
    found += daemon.docker("volume", "ls", *words, "--format", "{{.Name}}").split()
    if found:
        expected = "expected none: another engine or checkout made them; use ENGINE=pulumi, or destroy the stack first"
        problem = Problem(f"stack {context.stack}", ", ".join(sorted(found)), expected)
        raise StackError("This stack is there already, and not made by Compose; nothing was changed.", [problem])
