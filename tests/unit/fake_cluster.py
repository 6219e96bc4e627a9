"""A cluster of plain objects: what `kubectl` answers about them, and about a stack that runs as it is rendered."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest

from platforms.kubernetes.kinds import KINDS
from platforms.kubernetes.kubectl import Kubectl
from platforms.kubernetes.look.troubles import seconds
from platforms.kubernetes.plan import Manifest
from tests.contract.kubernetes_samples import rendered

_KINDS = {kind.resource: name for name, kind in KINDS.items()} | {
    "pods": "Pod",
    "events": "Event",
    "daemonsets": "DaemonSet",
}
_KINDS |= {"endpointslices": "EndpointSlice"}
_KINDS |= {"secret": "Secret", "configmap": "ConfigMap", "namespace": "Namespace"}
NOW = "2026-11-25T12:00:00Z"
LATER = "2026-11-25T12:10:00Z"


class Cluster:
    """Answers the questions of `platforms.kubernetes.kubectl`. logs: the last line of a program, by pod."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *objects: Manifest) -> None:
        self.objects = list(objects)
        self.logs: dict[str, str] = {}
        self.asked: list[tuple[str, ...]] = []
        monkeypatch.setattr(Kubectl, "json", lambda _, *args, **__: {"items": self.find(*args)})
        monkeypatch.setattr(Kubectl, "get", lambda _, *args: next(iter(self.named(*args)), None))
        monkeypatch.setattr(Kubectl, "run", lambda _, *args, **__: self.run(*args))
        monkeypatch.setattr(Kubectl, "groups", lambda _: {kind.group for kind in KINDS.values()})

    def find(self, *args: str) -> list[Manifest]:
        self.asked.append(args)
        options = dict(pairwise(args))
        kinds = [_KINDS[name] for name in args[1].split(",")]
        return [
            item
            for item in self.objects
            if item["kind"] in kinds
            and ("-n" not in options or item["metadata"].get("namespace") == options["-n"])
            and _chosen(item["metadata"].get("labels", {}), options.get("-l", ""))
        ]

    def named(self, kind: str, name: str, namespace: str | None = None) -> list[Manifest]:
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        same = [m for m in self.objects if m["kind"] == _KINDS[kind] and metadata.items() <= m["metadata"].items()]
        return same

    def run(self, verb: str, *args: str) -> str:
        self.asked.append((verb, *args))
        if verb == "logs":
            return f"first\n{self.logs.get(args[2], 'last words')}\n"
        names = args[1 : args.index("-n")]
        found = [m for name in names for m in self.named(args[0], name, args[args.index("-n") + 1])]
        if not found:
            return ""
        return json.dumps(found[0] if len(names) == 1 else {"kind": "List", "items": found})

    def one(self, kind: str, name: str) -> Manifest:
        [found] = [m for m in self.objects if (m["kind"], m["metadata"]["name"]) == (kind, name)]
        return found

    def drop(self, kind: str, name: str) -> None:
        self.objects.remove(self.one(kind, name))

    def warn(self, kind: str, name: str, reason: str, message: str, when: str = NOW) -> None:
        about = {"kind": kind, "name": name, "namespace": "mlflow-sso-test"}
        self.objects.append({
            "kind": "Event", "metadata": {"namespace": "mlflow-sso-test"}, "involvedObject": about, "reason": reason,
            "message": message, "lastTimestamp": when,
        })  # fmt: skip


def _chosen(labels: dict[str, str], selector: str) -> bool:
    if " in (" in selector:
        key, _, values = selector.partition(" in (")
        return labels.get(key) in values.rstrip(")").split(",")
    pairs = [part.partition("=") for part in selector.split(",") if part]
    return all(key in labels and (not same or labels[key] == value) for key, same, value in pairs)


def fixed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is LATER."""
    monkeypatch.setattr("time.time", lambda: seconds(LATER))


def stack(config: dict[str, Any]) -> list[Manifest]:
    """A stack as it runs where nothing is wrong with it: what is rendered, its pods, and the mesh's own words."""
    made = rendered(config)
    objects = deepcopy([*made.namespace, *made.secrets, *made.objects])
    for item in objects:
        if item["kind"] == "Secret":
            texts = item.pop("stringData")
            item["data"] = {key: base64.b64encode(value.encode()).decode() for key, value in texts.items()}
        if item["kind"] in ("Deployment", "StatefulSet"):
            item["status"] = {"replicas": item["spec"].get("replicas", 1)}
        if item["kind"] == "AuthorizationPolicy":
            kind = "WaypointAccepted" if "targetRefs" in item["spec"] else "ZtunnelAccepted"
            item["status"] = {"conditions": [{"type": kind, "status": "True", "reason": "Accepted"}]}
        if item["kind"] == "Gateway":
            item["status"] = {"conditions": [{"type": t, "status": "True"} for t in ("Accepted", "Programmed")]}
    pods = [pod_of(item) for item in objects if item["kind"] in ("Deployment", "StatefulSet")]
    waypoints = [_waypoint(item) for item in objects if item["kind"] == "Gateway"]
    return [*objects, *pods, *waypoints]


def pod_of(controller: Manifest) -> Manifest:
    """A pod that serves."""
    template = deepcopy(controller["spec"]["template"])
    metadata = {**template["metadata"], "name": f"{controller['metadata']['name']}-1"}
    metadata |= {"namespace": controller["metadata"]["namespace"]}
    metadata["annotations"] = {"ambient.istio.io/redirection": "enabled"}
    state = {"running": {"startedAt": NOW}}
    status = {"name": controller["metadata"]["name"], "state": state, "ready": True, "started": True}
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": template["spec"],
        "status": {"phase": "Running", "containerStatuses": [{**status, "restartCount": 0}]},
    }


def _waypoint(gateway: Manifest) -> Manifest:
    metadata = deepcopy(gateway["metadata"])
    metadata["labels"]["gateway.networking.k8s.io/gateway-name"] = metadata["name"]
    metadata["ownerReferences"] = [{"kind": "Gateway", "name": metadata["name"]}]
    return {"kind": "Deployment", "metadata": metadata, "spec": {}, "status": {"readyReplicas": 1}}
