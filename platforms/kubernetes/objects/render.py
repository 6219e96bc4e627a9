"""The stack as plain YAML in the order in which it is applied, with every secret value in one file apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from platforms.kubernetes.objects.every import namespace, secret_object, shared_objects
from platforms.kubernetes.objects.external_secrets import external_secret, workload_secrets
from platforms.kubernetes.objects.runners import runner
from platforms.kubernetes.plan import NAME_KEY, KubernetesPlan, Manifest, content_name
from platforms.secrets import SecretText

# The order in which `kubectl apply -f DIRECTORY` takes them.
NAMESPACE_FILE = "00-namespace.yaml"
SECRETS_FILE = "10-secrets.yaml"
STACK_FILE = "20-stack.yaml"


@dataclass(frozen=True)
class Rendered:
    """A stack as objects. `secrets` holds values; the others hold none."""

    namespace: tuple[Manifest, ...]
    secrets: tuple[Manifest, ...]
    objects: tuple[Manifest, ...]

    def files(self) -> dict[str, str]:
        parts = {NAMESPACE_FILE: self.namespace, SECRETS_FILE: self.secrets, STACK_FILE: self.objects}
        return {name: text(manifests) for name, manifests in parts.items() if manifests}


def render(plan: KubernetesPlan, values: Mapping[str, str], shared: Mapping[str, SecretText]) -> Rendered:
    """Every object of the stack.

    values: each secret by name, NAME_KEY among them; none where an operator fetches them from a store.
    shared: what other programs read from the Secret with the stable name.
    """
    own = namespace(plan)
    if plan.options.external_secrets:
        return Rendered((own,) if own else (), (), tuple(_fetched(plan, shared)))
    secrets, objects = [], shared_objects(plan)
    for workload in plan.workloads:
        names = {}
        way = runner(plan, workload)
        for first, texts in way.secret_texts(plan, workload).items():
            data = {key: fill(text, values) for key, text in texts.items()}
            names[first] = content_name(first, data, values[NAME_KEY.name])
            secrets.append(secret_object(plan, names[first], data, workload.name))
        objects += way.objects(plan, workload, names)
    secrets.append(
        secret_object(plan, plan.options.oauth_secret, {key: fill(text, values) for key, text in shared.items()})
    )
    return Rendered((own,) if own else (), tuple(secrets), tuple(objects))


def _fetched(plan: KubernetesPlan, shared: Mapping[str, SecretText]) -> list[Manifest]:
    """Every object of a stack whose secrets an operator fetches: there is no value, and so no private file."""
    objects = [*shared_objects(plan), external_secret(plan, plan.options.oauth_secret, dict(shared))]
    for workload in plan.workloads:
        fetched = workload_secrets(plan, workload)
        names = {first: manifest["metadata"]["name"] for first, manifest in fetched.items()}
        objects += [*fetched.values(), *runner(plan, workload).objects(plan, workload, names)]
    return objects


def fill(text: SecretText, values: Mapping[str, str]) -> str:
    """The text with its secrets in place."""
    return "".join(
        text.fold(str, lambda secret: values[secret.name], lambda written: written.spelt(values[written.secret.name]))
    )


def text(manifests: tuple[Manifest, ...]) -> str:
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, width=120, explicit_start=True)


class _Dumper(yaml.SafeDumper):
    """Writes every value in full: aliases are legal YAML that people and tools stumble over."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _string)
