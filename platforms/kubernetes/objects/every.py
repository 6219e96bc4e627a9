"""Every object of a stack as plain values: the one definition behind pulumi-kubernetes and the rendered YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from platforms.kubernetes.objects import mesh
from platforms.kubernetes.objects.external_secrets import external_secret
from platforms.kubernetes.objects.network import default_deny
from platforms.kubernetes.objects.pods import secret_type
from platforms.kubernetes.objects.runners import runner
from platforms.kubernetes.plan import AMBIENT, DATAPLANE_MODE, STAYS, KubernetesPlan, Manifest


def namespace(plan: KubernetesPlan) -> Manifest | None:
    """The stack's own namespace, guarded by Pod Security `restricted`; None where it is somebody else's."""
    if not plan.options.create_namespace:
        return None
    labels = plan.labels() | {
        f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
    }
    labels |= {"pod-security.kubernetes.io/enforce-version": "latest"}
    if plan.mesh:
        labels[DATAPLANE_MODE] = AMBIENT
    metadata = {"name": plan.namespace, "labels": labels, "annotations": dict(STAYS)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def shared_objects(plan: KubernetesPlan) -> list[Manifest]:
    """What belongs to no single workload, without the namespace; before anything that runs."""
    objects = [default_deny(plan)]
    if plan.options.quota:
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": plan.metadata(plan.scoped),
                "spec": {"hard": dict(plan.options.quota)},
            }
        )
    return objects + mesh.shared_objects(plan)


def every_object(plan: KubernetesPlan) -> list[Manifest]:
    """Every object of the stack with no value in its Secrets: for questions about kinds, names and claims."""
    own = namespace(plan)
    if plan.options.external_secrets:
        secrets = [external_secret(plan, plan.options.oauth_secret, {})]
    else:
        secrets = [secret_object(plan, plan.options.oauth_secret, {})]
    workloads = []
    for workload in plan.workloads:
        way = runner(plan, workload)
        workloads += way.objects(plan, workload, {name: name for name in way.secret_texts(plan, workload)})
    return [*([own] if own else []), *secrets, *shared_objects(plan), *workloads]


def secret_object(plan: KubernetesPlan, name: Any, values: Mapping[str, Any], component: str = "") -> Manifest:
    """A Secret. One of a workload is immutable: a new value comes under a new name, and rolls its pods."""
    secret: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": plan.metadata(name, component),
        "type": secret_type(values),
        "stringData": dict(values),
    }
    return secret | {"immutable": True} if component else secret
