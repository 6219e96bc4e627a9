"""What the rendered Kubernetes objects make of every workload, in the terms that every target has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from components.realm.document import importing_workloads
from components.stack import stack_spec
from platforms.kubernetes.objects.render import render
from platforms.kubernetes.plan import CPU_PROMISED, NAME_KEY, KubernetesPlan, Manifest
from platforms.secrets import Secret
from settings import PROJECT, Settings
from tests.contract.engine import GENERATED
from tests.contract.kubernetes_policies import allows


def secret_value(secret: Secret) -> str:
    return f"{GENERATED}-{secret.name}" if secret.value is None else secret.value


def expand(text: str) -> str:
    """What the kubelet makes of a value (API reference, EnvVar.value): a doubled sign is one, $(NAME) a reference."""
    found = re.sub(r"\$(?:\$|\((\w+)\))", lambda m: "$" if m[0] == "$$" else f"<{m[1]}>", text)
    assert "<" not in found or "<" in text, f"{text} refers to a variable"
    return found


def objects(settings: Settings, stack: str) -> list[Manifest]:
    spec = stack_spec(settings)
    plan = KubernetesPlan(PROJECT, stack, importing_workloads(spec), settings.kubernetes)
    values = {secret.name: secret_value(secret) for secret in (*spec.secrets, NAME_KEY)}
    made = render(plan, values, spec.shared())
    return [*made.namespace, *made.secrets, *made.objects]


def facts(settings: Settings, stack: str) -> Mapping[str, Mapping[str, Any]]:
    """The fields of `Made`, by workload."""
    every = objects(settings, stack)
    by_kind: dict[str, dict[str, Manifest]] = {}
    for manifest in every:
        by_kind.setdefault(manifest["kind"], {})[manifest["metadata"]["name"]] = manifest
    controllers = by_kind.get("Deployment", {}) | by_kind.get("StatefulSet", {})
    return {name: _facts(name, controllers, by_kind) for name in controllers}


def _facts(
    name: str, controllers: Mapping[str, Manifest], by_kind: Mapping[str, Mapping[str, Manifest]]
) -> Mapping[str, Any]:
    template = controllers[name]["spec"]["template"]
    pod, (only,) = template["spec"], template["spec"]["containers"]
    sources = {volume["name"]: volume for volume in pod["volumes"]}
    place = controllers[name]["metadata"]["namespace"]
    volumes, sizes, files, writable = {}, {}, {}, set()
    for mount in only["volumeMounts"]:
        source = sources[mount["name"]]
        if "persistentVolumeClaim" in source:
            claim = source["persistentVolumeClaim"]["claimName"]
            volumes[mount["mountPath"]] = f"{place}/{claim}"
            asked = by_kind["PersistentVolumeClaim"][claim]["spec"]["resources"]["requests"]["storage"]
            sizes[mount["mountPath"]] = int(asked.removesuffix("Gi"))
        elif "emptyDir" in source:
            writable.add(mount["mountPath"])
        elif "configMap" in source:
            held = by_kind["ConfigMap"][source["configMap"]["name"]]["data"]
            files[mount["mountPath"]] = held[mount["subPath"]]
        else:
            held = by_kind["Secret"][source["secret"]["secretName"]]["stringData"]
            files[mount["mountPath"]] = held[mount["subPath"]]
    env = {}
    for variable in only["env"]:
        if "value" in variable:
            env[variable["name"]] = expand(variable["value"])
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            env[variable["name"]] = by_kind["Secret"][reference["name"]]["stringData"][reference["key"]]
    check = only["readinessProbe"]
    security, resources = only["securityContext"], only["resources"]
    return {
        "image": only["image"],
        "env": env,
        "args": tuple(expand(word) for word in only.get("args", ())),
        "volumes": volumes,
        "sizes_gib": sizes,
        "files": files,
        "probe": tuple(check["exec"]["command"]) if "exec" in check else ("GET", check["httpGet"]["path"]),
        "memory_mib": int(resources["limits"]["memory"].removesuffix("Mi")),
        "cpu_share": cores(resources["requests"]["cpu"]) / CPU_PROMISED,
        "cpu_limit": cores(resources["limits"]["cpu"]),
        "stop_seconds": pod["terminationGracePeriodSeconds"],
        "uid": pod["securityContext"]["runAsUser"],
        "gid": pod["securityContext"]["runAsGroup"],
        "read_only": security["readOnlyRootFilesystem"],
        "writable": frozenset(writable),
        "dropped": tuple(security["capabilities"]["drop"]),
        "added": tuple(security["capabilities"].get("add", ())),
        "privilege_kept": security["allowPrivilegeEscalation"],
        "reached_by": _reached_by(name, controllers, list(by_kind["NetworkPolicy"].values())),
        "names": frozenset({f"{place}/{name}", *volumes.values()}),
    }


def cores(text: str) -> float:
    """A quantity of CPU (API reference, "Quantity")."""
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def _reached_by(name: str, controllers: Mapping[str, Manifest], policies: list[Manifest]) -> frozenset[str]:
    place = controllers[name]["metadata"]["namespace"]
    labels = {n: c["spec"]["template"]["metadata"]["labels"] for n, c in controllers.items()}
    (only,) = controllers[name]["spec"]["template"]["spec"]["containers"]
    ports = [port["containerPort"] for port in only["ports"]]
    return frozenset(
        other
        for other in controllers
        if other != name
        and any(
            allows(policies, "Ingress", labels[name], labels[other], place, place, port)
            and allows(policies, "Egress", labels[other], labels[name], place, place, port)
            for port in ports
        )
    )
