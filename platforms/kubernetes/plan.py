"""What a stack is on a cluster, whoever makes it: its names, its labels, and who may speak to whom.

The Pulumi platform and the rendered YAML both start from it, so a stack has the same objects by the same
names under either engine.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from platforms.kubernetes.kinds import KINDS, Kind
from platforms.labels import LABEL_COMPONENT, stack_labels
from platforms.secrets import Secret
from platforms.shapes import LABEL
from platforms.workload import Port, Reading, Service, Volume, Workload
from problems import Problem
from settings.kubernetes import Kubernetes
from settings.types import is_loopback

Manifest = dict[str, Any]
# Immutable objects carry a digest of their content in their name. For secret content the digest is keyed:
# without this key a name says nothing about the value.
NAME_KEY = Secret("kubernetes-name-key")
# The port of HBONE, the tunnel of Istio ambient, and the address its node proxy gives the kubelet's probes
# (Istio documentation, "Ambient and Kubernetes NetworkPolicy").
HBONE_PORT = 15008
AMBIENT_PROBES = "169.254.7.127/32"
# The policy by which no pod of the stack has a connection but for what the others allow.
DEFAULT_DENY = "default-deny"
# Share of a core that is promised for each one that may be used: programs that mostly wait share well.
CPU_PROMISED = 0.1
# Argo CD ("Sync Options") and Flux ("Kustomization", spec.prune) leave an object that says so: what holds data.
STAYS = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false", "kustomize.toolkit.fluxcd.io/prune": "disabled"}
# The label that puts a namespace or a pod into the mesh.
DATAPLANE_MODE, AMBIENT = "istio.io/dataplane-mode", "ambient"


class Way(StrEnum):
    """What keeps the pods of a workload. The value is the kind of that object."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    # The CloudNativePG operator keeps them, by an object of its own.
    CLOUD_NATIVE_PG = "Cluster"
    # At set times; suspended where the workload runs on demand.
    CRON_JOB = "CronJob"
    # Once for each form of the workload.
    JOB = "Job"


@dataclass(frozen=True)
class Forward:
    """A port here, on loopback, and the Service and port that it leads to."""

    service: str
    port: int
    local: int


@dataclass(frozen=True)
class KubernetesPlan:
    """The objects of one stack in one namespace."""

    project: str
    stack: str
    workloads: tuple[Workload, ...]
    options: Kubernetes

    @property
    def scoped(self) -> str:
        """A name that belongs to this stack alone, as DNS spells names."""
        return f"{self.project}-{self.stack}".lower().replace("_", "-").replace(".", "-")

    @property
    def namespace(self) -> str:
        return self.options.namespace or self.scoped

    @property
    def inside(self) -> str:
        """What follows the name of a Service where pods of other namespaces call it, in whatever domain."""
        return f"{self.namespace}.svc"

    @property
    def mesh(self) -> bool:
        return self.options.mesh.enabled

    @property
    def guarded(self) -> tuple[Workload, ...]:
        """The workloads whose requests a waypoint reads before they do."""
        return tuple(w for w in self.workloads if w.reserved) if self.mesh else ()

    def way(self, workload: Workload) -> Way:
        """What keeps the pods of a workload; decided here and nowhere else."""
        if not isinstance(workload.runs, Service):
            return Way.JOB if workload.at_change else Way.CRON_JOB
        if workload.databases is not None and self.options.cloud_native_pg is not None:
            return Way.CLOUD_NATIVE_PG
        # Two pods of one that owns a volume must never run at once.
        alone = any(not volume.shared for volume in workload.volumes)
        return Way.STATEFUL_SET if alone else Way.DEPLOYMENT

    def keeper(self, workload: Workload) -> Kind:
        """The kind of what keeps the pods of a workload."""
        return KINDS[self.way(workload)]

    def labels(self, component: str = "") -> dict[str, str]:
        """The labels of an object; the `app.kubernetes.io` ones are those that Kubernetes recommends."""
        own = stack_labels(self.project, self.stack) | {"app.kubernetes.io/part-of": self.project}
        if component:
            own |= {LABEL_COMPONENT: component, "app.kubernetes.io/name": component}
            own |= {"app.kubernetes.io/instance": f"{self.project}-{self.stack}"}
        return own

    def selector(self, component: str) -> dict[str, str]:
        """What selects the pods of one workload; it never changes, as a selector is immutable."""
        return stack_labels(self.project, self.stack) | {LABEL_COMPONENT: component}

    def metadata(self, name: str, component: str = "", **labels: str) -> Manifest:
        return {"name": name, "namespace": self.namespace, "labels": {**self.labels(component), **labels}}

    def image(self, name: str) -> str:
        """Where the cluster finds an image: in the registry it was pushed to, or loaded under its own name."""
        registry = self.options.registry
        return f"{registry.rstrip('/')}/{name}" if registry else name

    def images(self) -> dict[str, str]:
        """The stack's images: their names here, and those the cluster knows them by."""
        return {w.image: self.image(w.image) for w in self.workloads}

    def claim(self, workload: Workload, volume: Volume) -> str:
        name = f"{workload.name}-{volume.name}"
        return self.options.storage.claims.get(name, name)

    def named(self, name: str) -> Workload:
        """The workload of that name."""
        return next(workload for workload in self.workloads if workload.name == name)

    def volume_read(self, reading: Reading) -> Volume:
        """The volume that a reader of it means."""
        return next(volume for volume in self.named(reading.workload).volumes if volume.name == reading.volume)

    def claim_read(self, reading: Reading) -> str:
        """The claim of the volume that a reader of it means."""
        return self.claim(self.named(reading.workload), self.volume_read(reading))

    def callees(self, workload: Workload) -> tuple[Workload, ...]:
        """The workloads that this one may call, itself included where its replicas speak to each other."""
        return tuple(w for w in self.workloads if workload.name in w.callers)

    def called_ports(self, workload: Workload, caller: str) -> tuple[Port, ...]:
        """The ports of a workload that another one may connect to."""
        return tuple(port for port in workload.ports if caller in port.callers)

    def outside_callers(self) -> tuple[str, ...]:
        """The namespaces from where people's requests come."""
        return tuple(dict.fromkeys((*self.open_namespaces(), *(namespace for namespace, _ in self.calling_accounts()))))

    def open_namespaces(self) -> tuple[str, ...]:
        """Those of which every pod may connect, whatever its account."""
        options = self.options
        routes = [options.gateway.namespace] if options.gateway else []
        routes += [options.ingress.namespace] if options.ingress else []
        return tuple(dict.fromkeys((*routes, *(name for name in options.callers if "/" not in name))))

    def calling_accounts(self) -> tuple[tuple[str, str], ...]:
        """Namespace and name of the accounts that may connect where not every pod of their namespace may."""
        named = [caller.partition("/") for caller in self.options.callers if "/" in caller]
        return tuple((place, name) for place, _, name in named if place not in self.open_namespaces())

    def forwarded(self) -> tuple[Forward, ...]:
        """What has to be forwarded here: people's ports where nothing routes to them, otherwise the engine's own."""
        found = []
        for workload in self.workloads:
            for port, entrance in workload.entrances:
                parts = urlsplit(entrance.managed_url)
                if not self.options.routed:
                    found.append(Forward(workload.name, port.number, entrance.host_port))
                elif is_loopback(parts.hostname or ""):
                    found.append(Forward(workload.name, port.number, parts.port or port.number))
        return tuple(found)

    def check(self) -> list[Problem]:
        """What cannot be on any cluster, whatever it has."""
        problems = []
        if not LABEL.fullmatch(self.namespace):
            expected = "expected a DNS label of at most 63 characters; name one with kubernetes.namespace"
            problems.append(Problem("namespace", self.namespace, expected))
        if len(self.stack) > 63:
            problems.append(Problem("stack", self.stack, "expected at most 63 characters: it is the value of a label"))
        # What an operator's object holds is no claim of the stack.
        known = {f"{w.name}-{v.name}" for w in self.workloads for v in w.volumes if not self.keeper(w).data}
        for name in sorted(set(self.options.storage.claims) - known):
            expected = f"expected one of {', '.join(sorted(known)) or 'none: this stack has no volume'}"
            problems.append(Problem("kubernetes.storage.claims", name, expected))
        problems += self._check_names()
        problems += [
            Problem(f"workload {w.name}", f"volume {r.volume} of {r.workload}", "expected one that no operator keeps")
            for w in self.workloads
            for r in w.readings
            if self.keeper(self.named(r.workload)).data
        ]
        problems += self._check_external()
        for workload in self.workloads:
            single = [v for v in workload.volumes if not v.shared]
            runs = workload.runs
            replicas = (runs.max_replicas or runs.replicas) if isinstance(runs, Service) else 1
            if replicas > 1 and single:
                expected = f"expected 1: its volume {single[0].name} belongs to one pod at a time"
                problems.append(Problem(f"workload {workload.name}", f"{replicas} replicas", expected))
        return problems

    def _check_names(self) -> list[Problem]:
        """Objects of one kind and one name would be one object, the last one: a rule would be gone without a word."""
        problems, names = [], {w.name for w in self.workloads}
        if DEFAULT_DENY in names:
            problems.append(Problem(f"workload {DEFAULT_DENY}", "", "expected another name: a policy has this one"))
        if self.mesh and self.options.mesh.waypoint in {*names, DEFAULT_DENY}:
            expected = "expected a name that no program and no policy of the stack has"
            problems.append(Problem("kubernetes.mesh.waypoint", self.options.mesh.waypoint, expected))
        claims = [self.claim(w, v) for w in self.workloads for v in w.volumes if not self.keeper(w).data]
        for claim in sorted(claim for claim, times in Counter(claims).items() if times > 1):
            expected = "expected a claim for each volume: whoever has one would read and write the other's data"
            problems.append(Problem("kubernetes.storage.claims", claim, expected))
        return problems

    def _check_external(self) -> list[Problem]:
        """What a stack whose secrets come from a store elsewhere must not hold itself."""
        if self.options.external_secrets is None:
            return []
        expected = "expected no value in the settings: kubernetes.externalSecrets has it in its store"
        given = sorted({s.name for w in self.workloads for s in w.secrets if s.value is not None})
        problems = [Problem(f"secret {name}", "[secret]", f"{expected}, or existingSecret names it") for name in given]
        private = sorted({f.path for w in self.workloads for f in w.files if f.secret})
        expected = "expected none with kubernetes.externalSecrets: TLS ends at kubernetes.gateway or kubernetes.ingress"
        return problems + [Problem("private file", path, expected) for path in private]


def authority(workload: str) -> tuple[str, str]:
    """The Secret and its key in which CloudNativePG leaves the certificate of the CA that signs a server's own."""
    return f"{workload}-ca", "ca.crt"


def content_name(prefix: str, data: Mapping[str, str], key: str = "") -> str:
    """A name that changes with the content: prefix and 10 hex digits of an HMAC-SHA256 of it."""
    text = json.dumps(dict(data), sort_keys=True)
    return f"{prefix}-{hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:10]}"
