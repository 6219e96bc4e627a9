"""Reads back from pods what `platforms.kubernetes.objects.pods` wrote into them, whoever changed it since."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from platforms.kubernetes.kinds import kind_of
from platforms.kubernetes.plan import Manifest
from platforms.labels import LABEL_COMPONENT
from platforms.quantities import read_mebibytes
from platforms.running import Instance

# A Secret or ConfigMap: its kind, namespace and name; and its texts by key.
Source = tuple[str, str, str]
Texts = Mapping[Source, Mapping[str, str]]


def component(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("labels", {}).get(LABEL_COMPONENT, ""))


def placed(manifest: Manifest) -> str:
    """An object's name with its namespace."""
    return f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}"


def living(pods: Sequence[Manifest]) -> list[Manifest]:
    """The pods that are to run. One that has ended or was evicted has its successor, or its controller says why not."""
    return [
        pod
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    ]


def container_of(owner: Manifest) -> Manifest:
    """The workload's own container, in a pod or in the template of a controller."""
    template = owner
    for key in kind_of(owner).template:
        template = template[key]
    spec = template["spec"]
    name = component(owner)
    found: Manifest = next((c for c in spec["containers"] if c["name"] == name), spec["containers"][0])
    return found


def status_of(pod: Manifest) -> Manifest:
    """What the node says of the workload's own container; empty before it says anything."""
    name = container_of(pod)["name"]
    found: Manifest = next((s for s in pod.get("status", {}).get("containerStatuses", []) if s["name"] == name), {})
    return found


def instance(owner: Manifest, texts: Texts, registry: str = "") -> Instance:
    """A pod as a copy of its workload; a controller without a pod as one that does not run.

    registry: what images are called there before the name they have here.
    """
    container = container_of(owner)
    return Instance(
        name=placed(owner),
        component=component(owner),
        running=owner["kind"] == "Pod" and "running" in status_of(owner).get("state", {}),
        image=str(container["image"]).removeprefix(f"{registry.rstrip('/')}/" if registry else ""),
        args=tuple(_plain(word) for word in container.get("args", ())),
        env=dict(_env(owner, container, texts)),
        ports=None,
        memory_mib=read_mebibytes(str(container.get("resources", {}).get("limits", {}).get("memory", "0"))),
    )


def sources(owners: Sequence[Manifest]) -> set[Source]:
    """The Secrets and ConfigMaps that variables of these pods and controllers come from."""
    return {
        (kind, str(owner["metadata"]["namespace"]), str(reference["name"]))
        for owner in owners
        for kind, reference in _references(container_of(owner))
    }


def texts_of(manifest: Manifest) -> dict[str, str]:
    """The content of a Secret or ConfigMap."""
    data = manifest.get("data") or {}
    if manifest["kind"] == "ConfigMap":
        return dict(data)
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def _references(container: Manifest) -> Iterator[tuple[str, Manifest]]:
    for origin in (*container.get("envFrom", ()), *(e.get("valueFrom", {}) for e in container.get("env", ()))):
        for key, kind in _KINDS.items():
            if key in origin:
                yield kind, origin[key]


_KINDS = {
    "secretRef": "Secret", "secretKeyRef": "Secret", "configMapRef": "ConfigMap", "configMapKeyRef": "ConfigMap"
}  # fmt: skip


def _env(owner: Manifest, container: Manifest, texts: Texts) -> Iterator[tuple[str, str]]:
    """Later pairs win, as in the container: those one by one over those of whole objects."""
    namespace = str(owner["metadata"]["namespace"])
    for origin in container.get("envFrom", ()):
        for kind, reference in _references({"envFrom": [origin]}):
            for key, value in texts.get((kind, namespace, reference["name"]), {}).items():
                yield origin.get("prefix", "") + key, value
    for entry in container.get("env", ()):
        origin = entry.get("valueFrom")
        if origin is None:
            yield entry["name"], _plain(entry.get("value", ""))
        elif "fieldRef" in origin:
            yield entry["name"], _field(owner, origin["fieldRef"]["fieldPath"])
        else:
            for kind, reference in _references({"env": [entry]}):
                found = texts.get((kind, namespace, reference["name"]), {})
                # A key that is not there is a variable that is not set.
                if reference["key"] in found:
                    yield entry["name"], found[reference["key"]]


def _field(owner: Manifest, path: str) -> str:
    found: Any = owner
    for part in path.split("."):
        found = found.get(part, {}) if isinstance(found, dict) else {}
    return str(found) if found and not isinstance(found, dict) else ""


def _plain(text: str) -> str:
    """Undoes what keeps Kubernetes from replacing $(NAME)."""
    return text.replace("$$", "$")
