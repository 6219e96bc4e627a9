"""What the rendered Kubernetes objects make of every workload, in the terms that every target has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from components.importing import importing_workloads
from components.stack import stack_spec
from platforms.kubernetes.objects.render import render
from platforms.kubernetes.plan import CPU_PROMISED, HBONE_PORT, NAME_KEY, KubernetesPlan, Manifest
from platforms.secrets import Secret
from settings import PROJECT, Settings
from tests.contract.engine import GENERATED
from tests.contract.kubernetes_policies import admits, allows
from tests.contract.kubernetes_samples import container, keepers, labels_of_pods, pod

WAYPOINT = {"gateway.networking.k8s.io/gateway-name": "waypoint"}


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
    made = render(plan, values, spec.shared(plan.inside))
    return [*made.namespace, *made.secrets, *made.objects]


def facts(settings: Settings, stack: str) -> Mapping[str, Mapping[str, Any]]:
    """The fields of `Made`, by workload."""
    every = objects(settings, stack)
    by_kind: dict[str, dict[str, Manifest]] = {}
    for manifest in every:
        by_kind.setdefault(manifest["kind"], {})[manifest["metadata"]["name"]] = manifest
    made = keepers(every)
    return {name: _facts(name, made, by_kind) for name in made}


def _facts(name: str, made: Mapping[str, Manifest], by_kind: Mapping[str, Mapping[str, Manifest]]) -> Mapping[str, Any]:
    described, only = pod(made[name]), container(made[name])
    sources = {volume["name"]: volume for volume in described["volumes"]}
    place = made[name]["metadata"]["namespace"]
    volumes, sizes, files, writable = {}, {}, {}, set()
    for mount in only["volumeMounts"]:
        source = sources[mount["name"]]
        if source.get("persistentVolumeClaim", {}).get("readOnly") or "medium" not in source.get(
            "emptyDir", {"medium"}
        ):
            # Another one's data, and scratch on disk (tests/contract/test_seam_kubernetes.py).
            continue
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
    security, resources = only["securityContext"], only["resources"]
    return {
        "image": only["image"],
        "env": env,
        "args": tuple(expand(word) for word in only["args"]),
        "volumes": volumes,
        "sizes_gib": sizes,
        "files": files,
        "probe": _probe(only.get("readinessProbe")),
        "memory_mib": int(resources["limits"]["memory"].removesuffix("Mi")),
        "cpu_share": cores(resources["requests"]["cpu"]) / CPU_PROMISED,
        "cpu_limit": cores(resources["limits"]["cpu"]),
        "stop_seconds": described["terminationGracePeriodSeconds"],
        "uid": described["securityContext"]["runAsUser"],
        "gid": described["securityContext"]["runAsGroup"],
        "read_only": security["readOnlyRootFilesystem"],
        "writable": frozenset(writable),
        "dropped": tuple(security["capabilities"]["drop"]),
        "added": tuple(security["capabilities"].get("add", ())),
        "privilege_kept": security["allowPrivilegeEscalation"],
        "reached_by": _reached_by(name, made, by_kind),
        "names": frozenset({f"{place}/{name}", *volumes.values()}),
    }


def cores(text: str) -> float:
    """A quantity of CPU (API reference, "Quantity")."""
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def _probe(check: Manifest | None) -> tuple[str, ...]:
    """The words of a check; none where nothing is asked."""
    if check is None:
        return ()
    return tuple(check["exec"]["command"]) if "exec" in check else ("GET", check["httpGet"]["path"])


def _reached_by(
    name: str, made: Mapping[str, Manifest], by_kind: Mapping[str, Mapping[str, Manifest]]
) -> frozenset[str]:
    """Directly by a port, or through the waypoint with any request."""
    place = made[name]["metadata"]["namespace"]
    policies = list(by_kind["NetworkPolicy"].values())
    guard = by_kind.get("AuthorizationPolicy", {}).get(f"{name}-requests")
    labels = labels_of_pods(list(made.values()))
    ports = [port["containerPort"] for port in container(made[name])["ports"]]

    def opens(theirs: dict[str, str], mine: dict[str, str], port: int) -> bool:
        into = allows(policies, "Ingress", mine, theirs, place, place, port)
        return into and allows(policies, "Egress", theirs, mine, place, place, port)

    def guided(other: str) -> bool:
        if guard is None or not admits(guard, f"cluster.local/ns/{place}/sa/{other}"):
            return False
        return opens(labels[other], WAYPOINT, HBONE_PORT) and opens(WAYPOINT, labels[name], HBONE_PORT)

    return frozenset(
        other
        for other in made
        if other != name and (guided(other) or any(opens(labels[other], labels[name], port) for port in ports))
    )
