"""Secrets that an operator fetches from a store outside the cluster (External Secrets Operator, API v1).

The stack says what each Secret is made of and never sees a value. What a Secret is asked to hold is in its name,
as with every object that pods depend on; a value that changes in the store comes under the same name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from platforms.kubernetes.objects.pods import secret_type
from platforms.kubernetes.objects.runners import runner
from platforms.kubernetes.plan import KubernetesPlan, Manifest, content_name
from platforms.secrets import (
    ConfigQuoted,
    ExpressionQuoted,
    ImportQuoted,
    Secret,
    SecretText,
    UrlQuoted,
    Written,
)
from platforms.workload import Workload
from settings.kubernetes import ExternalSecrets

API = "external-secrets.io/v1"
# What spells a value as its reader does, by the functions of Go's templates and of Sprig.
_SPELLING: Mapping[type[Written], str] = {
    # Form encoding becomes the percent-encoding of URLs: a space is their only difference.
    UrlQuoted: ' | urlquery | replace "+" "%20"',
    ExpressionQuoted: r' | replace "$" `\$`',
    ImportQuoted: r' | toJson | trimPrefix `"` | trimSuffix `"` | replace "${" `\u0024{`',
    ConfigQuoted: r' | replace `\` `\\` | replace `"` `\"` | printf `"%s"`',
}


def external(plan: KubernetesPlan) -> ExternalSecrets:
    found = plan.options.external_secrets
    assert found is not None
    return found


def remote_key(options: ExternalSecrets, secret: Secret) -> str:
    """Where the store has a secret of the stack."""
    return f"{options.prefix}{secret.name}"


def workload_secrets(plan: KubernetesPlan, workload: Workload) -> dict[str, Manifest]:
    """The ExternalSecrets of a workload, by the first part of their names."""
    found = {}
    for first, texts in runner(plan, workload).secret_texts(plan, workload).items():
        asked = json.dumps(_asked(plan, texts), sort_keys=True)
        found[first] = external_secret(plan, content_name(first, {"spec": asked}), texts, workload.name)
    return found


def external_secret(plan: KubernetesPlan, name: str, texts: dict[str, SecretText], component: str = "") -> Manifest:
    """An ExternalSecret that makes a Secret of its own name, and takes it along when it goes."""
    metadata = plan.metadata(name, component)
    asked = _asked(plan, texts)
    asked["target"] |= {"name": name}
    # The last one lets an operator of Postgres follow a password that has changed under the same name.
    asked["target"]["template"] |= {"metadata": {"labels": {**metadata["labels"], "cnpg.io/reload": "true"}}}
    return {"apiVersion": API, "kind": "ExternalSecret", "metadata": metadata, "spec": asked}


def _asked(plan: KubernetesPlan, texts: dict[str, SecretText]) -> Manifest:
    options = external(plan)
    secrets = {secret.variable: secret for text in texts.values() for secret in text.secrets}
    more = {"property": options.property} if options.property else {}
    return {
        "refreshInterval": options.refresh,
        "secretStoreRef": {"name": options.store, "kind": options.kind},
        "target": {
            "creationPolicy": "Owner",
            "deletionPolicy": "Retain",
            "template": {
                "type": secret_type(texts),
                "engineVersion": "v2",
                "data": {name: _template(text) for name, text in sorted(texts.items())},
            },
        },
        "data": [
            {"secretKey": variable, "remoteRef": {"key": remote_key(options, secret), **more}}
            for variable, secret in sorted(secrets.items())
        ],
    }


def _template(text: SecretText) -> str:
    """A text in the language of Go's templates."""
    return "".join(
        text.fold(
            lambda plain: plain.replace("{{", '{{ "{{" }}'),
            lambda secret: f"{{{{ .{secret.variable} }}}}",
            lambda written: f"{{{{ .{written.secret.variable}{_SPELLING[type(written)]} }}}}",
        )
    )
