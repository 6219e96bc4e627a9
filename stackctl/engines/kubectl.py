"""Brings a stack up on a cluster from its rendered YAML with `kubectl`, without the Pulumi engine."""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from mlflow_sso_client.files import private_directory, write_private

from components.importing import importing_workloads
from platforms.kubernetes.inventory import KubernetesInventory
from platforms.kubernetes.kinds import kind_of
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.objects.every import every_object
from platforms.kubernetes.objects.external_secrets import workload_secrets
from platforms.kubernetes.objects.pods import secret_texts
from platforms.kubernetes.objects.render import SECRETS_FILE as SECRET_OBJECTS
from platforms.kubernetes.objects.render import Rendered, render
from platforms.kubernetes.plan import NAME_KEY, KubernetesPlan, Manifest
from platforms.kubernetes.preflight import check_cluster
from platforms.kubernetes.remove import Place, find, prune, remove
from platforms.kubernetes.stores import KubernetesStores
from platforms.kubernetes.wait import conditions
from platforms.kubernetes.wait.workloads import wait_ready
from platforms.processes import ProcessError
from platforms.processes import run as run_program
from platforms.secrets import Secret, SecretText, Written
from problems import Problem, StackError
from settings import PROJECT
from stackctl.context import Context, stack_directory
from stackctl.engines import forward
from stackctl.engines.rendered import (
    OUTPUTS_FILE,
    REALM_FILE,
    SECRETS_FILE,
    WRITTEN_AGAIN,
    check_keycloak,
    differences,
    kept_realm,
    read_outputs,
    realm_of,
    resolve,
)
from stackctl.progress import Board, say
from stackctl.state import SecretStore, read_kept

PLACE_FILE = "place.json"
MANIFESTS = "manifests"
# A command that takes the names of images and brings them into the cluster, for clusters without a registry.
LOADER = "IMAGE_LOADER"
# Who owns which field, as server-side apply writes it down.
MANAGER = PROJECT
# Marks, in kept outputs, a secret by the Secret and key that hold it.
_IN_CLUSTER = "secretKeyRef"
_SPELLINGS = {spelling.__name__: spelling for spelling in Written.__subclasses__()}


def plan(context: Context, directory: Path | None = None) -> KubernetesPlan:
    """The stack as it is written into a directory, or else its own, with the realm that its Keycloak imported."""
    own, options = home(context.stack), context.settings.kubernetes
    workloads = importing_workloads(
        context.spec,
        kept_realm(directory or own),
        # Where a job changes the realm, Keycloak need not be made anew for what it does not import.
        imported=directory in (None, own) or options.realm_job,
        # Where secrets are fetched, the cluster has those alone that a workload names.
        newer_secrets=bool(options.external_secrets) and not options.realm_job,
    )
    return KubernetesPlan(PROJECT, context.stack, workloads, options)


def _checked(*command: str) -> None:
    try:
        done = run_program(*command, merged=True)
    except ProcessError as error:
        problem = Problem(LOADER, command[0], str(error))
        raise StackError("Images cannot be brought to the cluster.", [problem]) from None
    if done.code != 0:
        exited = f"{command[0]} exited {done.code}"
        raise KubernetesError(f"images were not brought to the cluster: {exited}:\n{done.last(5)}")


def home(stack: str) -> Path:
    return stack_directory(stack) / "kubernetes"


class KubectlTarget:
    """Kubernetes: the stack runs from its rendered YAML."""

    tool = "kubectl"
    plugin = "kubernetes"
    engines = frozenset({"render"})

    def preflight(self, context: Context) -> list[Problem]:
        """What is in the way of this stack on this cluster."""
        stack = KubernetesPlan(PROJECT, context.stack, context.spec.workloads, context.settings.kubernetes)
        problems = stack.check() + check_cluster(stack, every_object(stack)) + forward.check(stack)
        if context.settings.kubernetes.realm_job:
            where = f"{PROJECT}:kubernetes.realmJob"
            expected = (
                "expected false: `stackctl up` changes the realm itself; the Job is for whoever applies the files"
            )
            problems.append(Problem(where, "true", f"{expected} of `stackctl render` by another program"))
        return problems

    def stores(self, context: Context) -> KubernetesStores:
        """The claims of this stack, and what CloudNativePG keeps for it."""
        return KubernetesStores(plan(context))

    def deliver(self, context: Context, images: Collection[str]) -> None:
        """Bring images to where the cluster finds them: by IMAGE_LOADER, or a push to the registry of the settings."""
        stack = plan(context)
        wanted = {name: there for name, there in stack.images().items() if name in images}
        loader = shlex.split(os.environ.get(LOADER, ""))
        if loader:
            say(f"Loading {len(wanted)} images with {loader[0]} ...")
            _checked(*loader, *wanted)
        elif stack.options.registry:
            for name, there in wanted.items():
                say(f"Pushing {there} ...")
                _checked("docker", "tag", name, there)
                _checked("docker", "push", "-q", there)

    def open_routes(self, context: Context) -> None:
        """Keep the loopback URLs forwarded, where nothing else serves them."""
        forward.start(context, plan(context))

    def settle_routes(self, context: Context) -> None:
        """Return once the forwards lead to the pods of now."""
        forward.settle(plan(context))

    def close_routes(self, stack: str) -> None:
        """End the forward in the background; none is no error."""
        forward.stop(stack)

    def keep_routes(self, context: Context) -> None:
        """Forward in the foreground until interrupted. Raises StackError where there is nothing to forward."""
        stack = plan(context)
        if not stack.forwarded():
            kind = "gateway" if stack.options.gateway else "ingress"
            served = stack.options.gateway or stack.options.ingress
            where = f"{PROJECT}:kubernetes.{kind}"
            problem = Problem(where, getattr(served, "name", ""), "expected none: it serves the stack's URLs")
            raise StackError(f"Nothing of stack {context.stack} has to be forwarded.", [problem])
        for route in stack.forwarded():
            say(f"http://localhost:{route.local} -> {route.service} in namespace {stack.namespace}")
        forward.run(stack)

    def written(self, directory: Path) -> str:
        """What `write` leaves in a directory, for people."""
        return f"{directory}/{MANIFESTS}: YAML in the order of its application; {SECRET_OBJECTS} is for you alone"

    def write(self, context: Context, directory: Path) -> dict[str, str]:
        """Write the YAML, the realm and the secrets below `directory`; returns every secret by name."""
        return _write(context, directory)[1]

    def changes(self, context: Context) -> list[str]:
        """What `up` would make, change and remove of a stack that is there, a line each. Nothing is written."""
        stack, directory = plan(context), home(context.stack)
        names = {secret.name: "" for secret in (*context.spec.secrets, NAME_KEY)}
        values = {**names, **SecretStore(directory / SECRETS_FILE).kept()}
        after = render(stack, {} if stack.options.external_secrets else values, context.spec.shared(stack.inside))
        before = [
            manifest
            for file in sorted((directory / MANIFESTS).glob("*.yaml"))
            if file.name != SECRET_OBJECTS
            for manifest in yaml.safe_load_all(file.read_text())
        ]
        # `prune` leaves these.
        claims = {
            f"{one['kind']} {one['metadata']['name']}": _removal(one) for one in before if one and kind_of(one).data
        }
        return differences(_named(before), _named((*after.namespace, *after.objects)), claims)

    def owns(self, stack: str) -> bool:
        """Whether this stack was brought up with kubectl from here."""
        return (home(stack) / PLACE_FILE).exists()

    def disown(self, stack: str) -> None:
        """Forget that the stack is up, and keep its secrets: claims that were left know them."""
        (home(stack) / PLACE_FILE).unlink(missing_ok=True)

    def up(self, context: Context) -> None:
        """Bring the stack up. Raises StackError before anything changes, or KubernetesError."""
        directory, stack = home(context.stack), plan(context)
        cluster = Kubectl(stack.options.context)
        if not (directory / (REALM_FILE if stack.options.external_secrets else SECRETS_FILE)).exists():
            # With its files here it is ours, or its data are: a cleanup that kept the claims has kept them too.
            _refuse_another_owner(cluster, stack)
        rendered, values = _write(context, directory)
        place = Place(stack.options.context, cluster.server(), stack.namespace, stack.options.create_namespace)
        write_private(directory / PLACE_FILE, json.dumps(asdict(place), indent=2) + "\n")
        outputs = context.spec.outputs(stack.inside, context.spec.moves.lines(self.stores(context)))
        shown = _references(outputs, stack) if stack.options.external_secrets else outputs
        write_private(directory / OUTPUTS_FILE, json.dumps(resolve(shown, values), indent=2) + "\n")
        cluster.run(
            "apply", "--server-side", "--force-conflicts", "--field-manager", MANAGER, "-f", str(directory / MANIFESTS),
            timeout=180,
        )  # fmt: skip
        conditions.wait(stack, conditions.fetched(stack))
        with Board(tuple(w.name for w in stack.workloads)).shown() as board:
            wait_ready(stack, lambda name, state, done: board.update(name, state, done=done))
        conditions.wait(stack, conditions.waypoint(stack))
        kept = {(m["kind"], m["metadata"]["name"]) for m in (*rendered.secrets, *rendered.objects)}
        for name in prune(cluster, stack.namespace, PROJECT, context.stack, kept, say):
            say(f"removed {name}, which the stack no longer names")

    def inventory(self, stack: str) -> KubernetesInventory:
        """What finds the objects of a stack that was brought up from here, in its own namespace alone."""
        place = _place(stack)
        return KubernetesInventory(Kubectl(place.context), place.namespace)

    def destroy(self, stack: str) -> None:
        """Remove every object of the stack with its data, its own namespace, and its secrets here."""
        place = _place(stack)
        self.close_routes(stack)
        remove(place, PROJECT, stack, say)
        shutil.rmtree(stack_directory(stack))

    def kept(self, stack: str) -> dict[str, str]:
        """The stack's secrets by name, as far as this machine has them."""
        return SecretStore(home(stack) / SECRETS_FILE).kept()

    def home(self, stack: str) -> Path:
        """Where the files of a stack are kept on this machine."""
        return home(stack)

    def outputs(self, stack: str) -> dict[str, Any]:
        """The outputs; secrets that are fetched from a store are read from the cluster, as they are not kept here."""
        found = read_outputs(home(stack) / OUTPUTS_FILE)
        place = _place(stack)
        return dict(_read(found, Kubectl(place.context), place.namespace, {}))


def _removal(manifest: Manifest) -> str:
    kind, metadata = kind_of(manifest), manifest["metadata"]
    return f"kubectl delete {kind.resource} {metadata['name']} -n {metadata['namespace']}"


def _named(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    return {f"{one['kind']} {one['metadata']['name']}": one for one in manifests if one}


def _write(context: Context, directory: Path) -> tuple[Rendered, dict[str, str]]:
    stack = plan(context, directory)
    problems = check_keycloak(context) + stack.check()
    if problems:
        raise StackError("This stack cannot be rendered; nothing was written.", problems)
    if stack.options.external_secrets:
        values: dict[str, str] = {}
    else:
        values = SecretStore(directory / SECRETS_FILE).values((*context.spec.secrets, NAME_KEY))
    rendered = render(stack, values, context.spec.shared(stack.inside))
    target = private_directory(directory / MANIFESTS)
    for old in target.glob("*.yaml"):
        old.unlink()
    for name, text in rendered.files().items():
        write_private(target / name, text)
        if name != SECRET_OBJECTS:
            (target / name).chmod(0o644)
    write_private(directory / REALM_FILE, realm_of(stack.workloads))
    return rendered, values


def _refuse_another_owner(cluster: Kubectl, stack: KubernetesPlan) -> None:
    """What another engine or machine made has secrets that are not here: new ones would lock it out of its data."""
    items = find(cluster, stack.namespace, PROJECT, stack.stack)
    if items:
        first = f"{items[0]['kind']}/{items[0]['metadata']['name']}"
        expected = "expected none: another engine or checkout made them; use ENGINE=pulumi, or destroy the stack first"
        shown = f"{len(items)} objects such as {first} in {stack.namespace}"
        problem = Problem(f"stack {stack.stack}", shown, expected)
        raise StackError("This stack is there already, and not made from here; nothing was changed.", [problem])


def _place(stack: str) -> Place:
    return Place(**read_kept(home(stack) / PLACE_FILE, "place", WRITTEN_AGAIN))


def _references(value: object, stack: KubernetesPlan) -> object:
    """Outputs with the place in the cluster where each secret is, and how it is spelt there."""
    if isinstance(value, Mapping):
        return {key: _references(inner, stack) for key, inner in value.items()}
    if not isinstance(value, Secret):
        return value
    return next(
        {_IN_CLUSTER: [workload_secrets(stack, workload)[first]["metadata"]["name"], variable, *spelling]}
        for workload in stack.workloads
        for first, texts in secret_texts(stack, workload).items()
        for variable, text in texts.items()
        for spelling in _spelling(text, value)
    )


def _spelling(text: SecretText, secret: Secret) -> list[list[str]]:
    """How a text that is this secret spells it, by the name of the spelling; nothing for any other text."""
    if text.alone is not None:
        return [[]] if text.alone == secret else []
    return [[type(part).__name__] for part in text.written if text.only == part and part.secret == secret]


def _read(value: Any, cluster: Kubectl, namespace: str, seen: dict[str, dict[str, str]]) -> Any:
    if not isinstance(value, dict):
        return value
    if set(value) != {_IN_CLUSTER}:
        return {key: _read(inner, cluster, namespace, seen) for key, inner in value.items()}
    name, key, *spelling = value[_IN_CLUSTER]
    if name not in seen:
        seen[name] = (cluster.get("secret", name, namespace) or {}).get("data", {})
    if key not in seen[name]:
        raise KubernetesError(f"Secret {name} in namespace {namespace} has no {key}: was it fetched from its store?")
    found = base64.b64decode(seen[name][key]).decode()
    return _SPELLINGS[spelling[0]].read(found) if spelling else found
