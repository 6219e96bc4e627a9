"""What a Docker engine holds of a stack, by its labels."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

from platforms.docker import daemon
from platforms.docker.daemon import DockerError, docker, of_stack
from platforms.inventory import InventoryError, Item
from platforms.labels import LABEL_COMPONENT, LABEL_PROTECTED

_ORDER = ("container", "network", "volume", "image")
_GONE = ("no such", "not found")
# The name that the engine gives to a volume without one.
_NAMELESS = re.compile(r"[0-9a-f]{64}")


class DockerInventory:
    """Containers, networks, volumes and images, in that order: each only after what uses it."""

    def find(self, project: str, stack: str, *, images: Collection[str] | None = None) -> list[Item]:
        labelled = of_stack(project, stack)
        try:
            containers = daemon.containers(project, stack)
            networks = _inspect("network", _lines("network", "ls", "-q", "--no-trunc", *labelled))
            volumes = _inspect("volume", _lines("volume", "ls", "-q", *labelled))
            own = {str(c["Name"]).lstrip("/") for c in containers}
            found = [
                *(_item("container", c["Name"].lstrip("/"), c["Config"]) for c in containers),
                *(_item("network", n["Name"], n, _users("network", n["Id"], own)) for n in networks),
                *(_item("volume", v["Name"], v, _users("volume", v["Name"], own)) for v in volumes),
                *(_scratch(own, containers)),
            ]
            if images is not None:
                found += _images(project, {*images, *(str(c["Config"]["Image"]) for c in containers)}, own)
            return sorted(found, key=lambda item: (_ORDER.index(item.kind), item.name))
        except DockerError as error:
            raise InventoryError(str(error)) from None

    def remove(self, item: Item) -> None:
        command = {
            # -v takes along the volumes without a name that an image declares.
            "container": ("rm", "--force", "--volumes"),
            "network": ("network", "rm"),
            "volume": ("volume", "rm"),
            "image": ("image", "rm"),
        }[item.kind]
        if item.kind == "container":
            # Its volume may be kept: a program that is asked to end leaves its data whole.
            with suppress(DockerError):
                docker("stop", item.name, timeout=120)
        try:
            docker(*command, item.name, timeout=120)
        except DockerError as error:
            if not any(word in str(error).lower() for word in _GONE):
                raise InventoryError(f"{item.kind} {item.name} was not removed: {error}") from None

    def removal(self, item: Item) -> str:
        return f"docker {item.kind} rm {item.name}"

    def free_hint(self, user: str) -> str:
        return f"docker rm --force {user}"


def _lines(*args: str) -> list[str]:
    return docker(*args).split()


def _inspect(kind: str, ids: list[str]) -> list[dict[str, Any]]:
    return list(json.loads(docker("inspect", "--type", kind, *ids))) if ids else []


def _item(kind: str, name: str, labelled: dict[str, Any], used_by: tuple[str, ...] = ()) -> Item:
    labels = labelled.get("Labels") or {}
    protected = labels.get(LABEL_PROTECTED) == "true"
    component = str(labels.get(LABEL_COMPONENT, ""))
    return Item(kind, name, component, data=kind == "volume", protected=protected, used_by=used_by)


def _scratch(own: set[str], containers: list[dict[str, Any]]) -> Iterator[Item]:
    """The volumes without a name: scratch space, and what an image declares.

    They go with their container, but for those that Compose handed on from one that it replaced: these it mounts by
    the names that the engine gave them, and nobody removes such a one.
    """
    for container in containers:
        component = str((container["Config"].get("Labels") or {}).get(LABEL_COMPONENT, ""))
        for mount in container.get("Mounts") or ():
            name = str(mount.get("Name", ""))
            if mount.get("Type") == "volume" and _NAMELESS.fullmatch(name):
                yield Item("volume", name, component, used_by=_users("volume", name, own))


def _users(kind: str, name: str, own: set[str]) -> tuple[str, ...]:
    """The containers, running or not, that hold a network or volume without being of this stack."""
    users = _lines("ps", "-a", "--filter", f"{kind}={name}", "--format", "{{.Names}}")
    return tuple(sorted(set(users) - own))


def _images(project: str, wanted: set[str], own: set[str]) -> list[Item]:
    """Those of the wanted images that this project built and that are here, each with whoever else runs it."""
    here = set(_lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"))
    rows = [line.split("\t") for line in docker("ps", "-a", "--format", "{{.Image}}\t{{.Names}}").splitlines()]
    return [
        Item("image", tag, shared=True, used_by=tuple(sorted({n for i, n in rows if i == tag and n not in own})))
        for tag in wanted & here
        # A pulled image may serve anything else on this machine.
        if tag.startswith(f"{project}/")
    ]
