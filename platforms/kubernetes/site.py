"""Kubernetes: the same objects that are rendered as YAML, made through pulumi-kubernetes."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes

from platforms.kubernetes.kinds import KINDS
from platforms.kubernetes.objects.every import (
    every_object,
    namespace,
    secret_object,
    shared_objects,
)
from platforms.kubernetes.objects.runners import runner
from platforms.kubernetes.plan import NAME_KEY, STAYS, KubernetesPlan, Manifest, content_name
from platforms.kubernetes.preflight import check_cluster
from platforms.kubernetes.stores import KubernetesStores
from platforms.labels import LABEL_PROTECTED
from platforms.loopback import strangers
from platforms.places import Held
from platforms.secrets import SecretText
from platforms.site import Checked, Deployed, Scope, Secrets
from platforms.workload import Workload
from problems import Problem
from settings.kubernetes import Kubernetes
from settings.types import is_loopback, port_of

_CLAIM = KINDS["PersistentVolumeClaim"]
_SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}
_URL_SECONDS = 60


class KubernetesPlatform:
    """Runs workloads through pulumi-kubernetes."""

    def __init__(self, project: str, stack: str, options: Kubernetes) -> None:
        self._project, self._stack, self._options = project, stack, options

    @property
    def inside(self) -> str:
        return KubernetesPlan(self._project, self._stack, (), self._options).inside

    def check(self, workloads: Sequence[Workload]) -> Checked:
        plan = KubernetesPlan(self._project, self._stack, tuple(workloads), self._options)
        problems = plan.check()
        if self._options.external_secrets:
            expected = "expected ENGINE=render: the engine manages the realm, and would have to know its secrets"
            problems.append(Problem("kubernetes.externalSecrets", "", expected))
        expected = "expected false: the engine manages the realm itself"
        if self._options.realm_job:
            problems.append(Problem("kubernetes.realmJob", "true", expected))
        expected = "expected ENGINE=render: the engine cannot tell what a Job is made of before its secrets are there"
        problems += [Problem(f"workload {w.name}", "runs at changes", expected) for w in workloads if w.at_change]
        problems += check_cluster(plan, every_object(plan))
        return Checked(problems, lambda scope: KubernetesSite(plan, scope))

    def stores(self, workloads: Sequence[Workload]) -> KubernetesStores:
        return KubernetesStores(KubernetesPlan(self._project, self._stack, tuple(workloads), self._options))


class KubernetesSite:
    """The namespace of a stack with its rules, and the objects that are made in it."""

    def __init__(self, plan: KubernetesPlan, scope: Scope) -> None:
        self._plan = plan
        self._scope = scope
        provider = pulumi_kubernetes.Provider(
            scope.logical("kubernetes"),
            context=self._plan.options.context,
            enable_server_side_apply=True,
            opts=scope.merged(),
        )
        self._opts = scope.merged(pulumi.ResourceOptions(provider=provider))
        own = namespace(self._plan)
        if own is not None:
            holds = any(volume.protected for workload in plan.workloads for volume in workload.volumes)
            made = self._make(
                own, pulumi.ResourceOptions.merge(self._opts, pulumi.ResourceOptions(protect=holds or None))
            )
            self._opts = self._after(made)
            if not holds:
                # All of it goes with the namespace, in one step and even where a kind is not known there any more.
                self._opts = pulumi.ResourceOptions.merge(self._opts, pulumi.ResourceOptions(deleted_with=made))
        # Nothing runs before the rules that fence it in are there.
        self._opts = self._after(*(self._make(manifest) for manifest in shared_objects(self._plan)))

    def share(self, values: Mapping[str, SecretText], secrets: Secrets) -> None:
        texts = {key: secrets.text(text) for key, text in values.items()}
        self._make(secret_object(self._plan, self._plan.options.oauth_secret, texts))

    def deploy(self, workload: Workload, secrets: Secrets, parent: pulumi.Resource) -> Deployed:
        child = pulumi.ResourceOptions.merge(self._opts, pulumi.ResourceOptions(parent=parent))
        way = runner(self._plan, workload)
        names: dict[str, pulumi.Output[str]] = {}
        given = []
        for first, texts in way.secret_texts(self._plan, workload).items():
            values = {key: secrets.text(text) for key, text in texts.items()}
            names[first] = _secret_name(first, values, secrets)
            given.append(self._make(secret_object(self._plan, names[first], values, workload.name), child, first))
        child = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=given))
        made = {
            (manifest["kind"], manifest["metadata"]["name"]): self._make(manifest, self._kept(manifest, secrets, child))
            for manifest in way.objects(self._plan, workload, names)
        }
        keeper = self._plan.keeper(workload)
        running = made[keeper.name, workload.name]
        # An operator's object holds the data itself; a claim that was there already is not the stack's.
        claims = [made.get((_CLAIM.name, self._plan.claim(workload, v))) for v in workload.volumes]
        holders = [running if keeper.data else claim for claim in claims]
        data = {v.name: held for v, held in zip(workload.volumes, holders, strict=True) if held is not None}
        return Deployed(running.id.apply(lambda _: self._reachable(workload)), data)

    def keep(self, held: Held, parent: pulumi.Resource) -> None:
        name = held.place.rpartition("/")[2]
        manifest = {
            "apiVersion": KINDS[held.kind].api,
            "kind": held.kind,
            "metadata": self._plan.metadata(name, held.on.workload) | {"annotations": dict(STAYS)},
        }
        # The engine goes on with what it knows of the rest.
        opts = pulumi.ResourceOptions(parent=parent, ignore_changes=["spec", "metadata"])
        self._make(manifest, pulumi.ResourceOptions.merge(self._opts, opts))

    def _after(self, *resources: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(self._opts, pulumi.ResourceOptions(depends_on=list(resources)))

    def _make(
        self, manifest: Manifest, opts: pulumi.ResourceOptions | None = None, logical: str = ""
    ) -> pulumi.CustomResource:
        """Register an object as it stands. Logical names hold no digest: a new content replaces, it does not add."""
        version, kind = manifest["apiVersion"], manifest["kind"]
        metadata = dict(manifest["metadata"])
        if not KINDS[kind].awaited:
            metadata["annotations"] = {**metadata.get("annotations", {}), **_SKIP_AWAIT}
        content: dict[str, Any] = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}
        group = version if "/" in version else f"core/{version}"
        return pulumi.CustomResource(
            f"kubernetes:{group}:{kind}",
            self._scope.logical(logical or _logical(kind, metadata["name"], immutable=bool(manifest.get("immutable")))),
            {"apiVersion": version, "kind": kind, **content, "metadata": metadata},
            opts or self._opts,
        )

    def _kept(self, manifest: Manifest, secrets: Secrets, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        """The options of an object: the engine removes neither one that says so, nor the secrets behind it."""
        if KINDS[manifest["kind"]] is _CLAIM:
            # Another class or mode is another claim to the engine, which removes this one and its data.
            settled = pulumi.ResourceOptions(ignore_changes=["spec.storageClassName", "spec.accessModes"])
            opts = pulumi.ResourceOptions.merge(opts, settled)
        if manifest["metadata"]["labels"].get(LABEL_PROTECTED) != "true":
            return opts
        given = (runner(self._plan, w).secret_texts(self._plan, w) for w in self._plan.workloads)
        found = (secret for texts in given for some in texts.values() for t in some.values() for secret in t.secrets)
        known = pulumi.ResourceOptions(depends_on=secrets.generated(found))
        return pulumi.ResourceOptions.merge(
            pulumi.ResourceOptions.merge(opts, known), pulumi.ResourceOptions(protect=True)
        )

    async def _reachable(self, workload: Workload) -> str:
        """Its name, once the engine can use it too: the realm is managed from here."""
        if pulumi.runtime.is_dry_run():
            return workload.name
        for port, entrance in workload.entrances:
            if entrance.managed_url:
                await asyncio.to_thread(_wait_open, self._plan, workload.name, port.number, entrance.managed_url)
        return workload.name


def _secret_name(first: str, texts: Mapping[str, pulumi.Output[str]], secrets: Secrets) -> pulumi.Output[str]:
    """The same name that the rendered YAML has. Its digest is keyed, so it is no secret."""
    found = pulumi.Output.all(key=secrets.value(NAME_KEY), data=pulumi.Output.all(**texts))
    return pulumi.Output.unsecret(found.apply(lambda given: content_name(first, given["data"], given["key"])))


def _logical(kind: str, name: str, *, immutable: bool) -> str:
    base = name.rpartition("-")[0] if immutable else name
    return f"{base}-{kind.lower()}"


def _wait_open(plan: KubernetesPlan, service: str, inside: int, url: str) -> None:
    """Wait until `url`, or what is forwarded here to that port of a Service, takes connections."""
    host, number = urlsplit(url).hostname or "", port_of(url)
    local = next((f.local for f in plan.forwarded() if (f.service, f.port) == (service, inside)), None)
    if local is not None and is_loopback(host):
        host, number = "127.0.0.1", local
    deadline = time.monotonic() + _URL_SECONDS
    while True:
        try:
            socket.create_connection((host, number), timeout=2).close()
            break
        except OSError as error:
            if time.monotonic() > deadline:
                hint = f"; is `stackctl forward --stack {plan.stack}` running beside it?" if local is not None else ""
                what = f"{service} runs, but {url} takes no connection after {_URL_SECONDS} s"
                raise pulumi.RunError(f"{what} ({error}){hint}") from None
        time.sleep(0.5)
    # Nobody holds the port while the forward waits for a pod, and what answers is given the credentials of Keycloak.
    others = strangers(number) if local is not None else set()
    if others:
        who = ", ".join(f"uid {uid}" for uid in sorted(others))
        raise pulumi.RunError(f"port {number} of this machine, forwarded to {service}, is held by {who}")
