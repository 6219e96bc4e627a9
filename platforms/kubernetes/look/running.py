"""What a cluster runs of a stack, and what it says is wrong with it."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from platforms.inventory import InventoryError
from platforms.kubernetes.kinds import KINDS, Kind, controller_kinds, kind_of, resources
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.look.differences import Found, object_troubles
from platforms.kubernetes.look.instances import (
    Source,
    component,
    instance,
    living,
    sources,
    texts_of,
)
from platforms.kubernetes.look.troubles import Events, Owner, controller_troubles, job_troubles, pod_troubles
from platforms.kubernetes.objects.every import every_object
from platforms.kubernetes.plan import KubernetesPlan, Manifest
from platforms.kubernetes.remove import find
from platforms.kubernetes.seen import labelled, names, selector
from platforms.labels import LABEL_COMPONENT, stack_labels
from platforms.processes import NoAnswerError, ProcessError, run
from platforms.running import EXEC_SECONDS, Answer, Instance, Trouble
from platforms.workload import Workload
from settings.kubernetes import Kubernetes

# Reads assignments from standard input, so that no command line shows a value, and becomes the command.
_WITH_SECRETS = 'eval "$(cat)"; exec "$@"'
_BEFORE: Manifest = {"metadata": {"creationTimestamp": ""}}
# What kubectl adds to the words of a command that failed.
_OWN_WORDS = ("command terminated with exit code",)


class KubernetesRunning:
    """Reads pods and the objects around them by the stack's labels.

    options: the stack's settings. Without them every namespace is looked through, and nothing is known of
    what should be there.
    """

    def __init__(self, options: Kubernetes | None = None) -> None:
        self._options = options
        self._cluster = Kubectl(options.context if options else None)

    def instances(self, project: str, stack: str) -> list[Instance]:
        try:
            pods, controllers = self._look(project, stack)
            served = {component(pod) for pod in pods}
            owners = [*pods, *(c for c in controllers if component(c) not in served)]
            texts = self._texts(sources(owners))
        except KubernetesError as error:
            raise InventoryError(str(error)) from None
        registry = (self._options.registry if self._options else None) or ""
        found = [instance(owner, texts, registry) for owner in owners]
        return sorted(found, key=lambda one: (one.component, not one.running, one.name))

    def serving(self, project: str, stack: str, component: str) -> Instance | None:
        try:
            where = self._namespace(project, stack) if self._options else ""
            labels = f"{selector(project, stack)},{LABEL_COMPONENT}={component}"
            pods = living(labelled(self._cluster, (KINDS["Pod"],), where, labels))
        except KubernetesError as error:
            raise InventoryError(str(error)) from None
        return next((replace(found, env={}) for found in (instance(pod, {}) for pod in pods) if found.running), None)

    def troubles(self, project: str, stack: str, defined: Sequence[Workload] = ()) -> list[Trouble]:
        try:
            return list(self._troubles(project, stack, tuple(defined)))
        except KubernetesError as error:
            raise InventoryError(str(error)) from None

    def _troubles(self, project: str, stack: str, defined: tuple[Workload, ...]) -> Iterator[Trouble]:
        pods, controllers = self._look(project, stack)
        places = {str(item["metadata"]["namespace"]) for item in (*pods, *controllers)}
        events = Events([event for place in sorted(places) for event in self._warnings(place)])
        owner = Owner(self._cluster, stack, time.time())
        for pod in pods:
            yield from pod_troubles(pod, events, owner)
        for controller in controllers:
            own = [pod for pod in pods if component(pod) == component(controller)]
            if kind_of(controller).scheduled:
                runs = self._runs(str(controller["metadata"]["namespace"]), component(controller), project, stack)
                yield from job_troubles(controller, runs, events, owner)
            else:
                yield from controller_troubles(controller, own, events, owner)
        plan = KubernetesPlan(project, stack, defined, self._options) if self._options and defined else None
        wanted = {kind_of(item) for item in every_object(plan)} if plan else set[Kind]()
        for place in sorted(places):
            namespace = self._cluster.get("namespace", place) or {}
            objects = find(self._cluster, place, project, stack, partial(_refuse_unseen, wanted))
            made = self._made(place, objects)
            yield from object_troubles(plan, Found(namespace, objects, pods, made), events, owner)

    def execute(
        self,
        instance: Instance,
        command: Sequence[str],
        secrets: Mapping[str, str] | None = None,
        seconds: int = EXEC_SECONDS,
    ) -> Answer:
        secrets = secrets or {}
        given = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in secrets.items())
        words = (*(("bash", "-c", _WITH_SECRETS, "bash") if given else ()), *command)
        try:
            done = run(
                *self._cluster.words(*_exec(instance, "-i" if given else ""), *words),
                what="kubectl exec", timeout=seconds, given=given, hidden=secrets.values(),
            )  # fmt: skip
        except NoAnswerError:
            return Answer(124, "", f"no answer in {seconds} s")
        except ProcessError as error:
            raise InventoryError(str(error)) from None
        said = [line for line in done.errors.splitlines() if not line.startswith(_OWN_WORDS)]
        return Answer(done.code, done.output, "\n".join(said).strip())

    def removal(self, instance: Instance) -> str:
        # The pod alone would come back as it was; claims stay.
        namespace = instance.name.partition("/")[0]
        selector = f"{LABEL_COMPONENT}={instance.component}"
        return self._shown("delete", resources(controller_kinds()), "-n", namespace, "-l", selector)

    def restart(self, instance: Instance) -> str:
        namespace, _, name = instance.name.partition("/")
        return self._shown("delete", "pod", "-n", namespace, name)

    def space(self, instance: Instance, path: str) -> str:
        return self.shell(instance, f"du -ak {path} | sort -n | tail")

    def shell(self, instance: Instance, script: str) -> str:
        return self._shown(*_exec(instance, "-i"), "bash", "-c", script)

    def _shown(self, *words: str) -> str:
        return shlex.join(self._cluster.words(*words))

    def _look(self, project: str, stack: str) -> tuple[list[Manifest], list[Manifest]]:
        """The pods that are to run, and what keeps them."""
        where = self._namespace(project, stack) if self._options else ""
        keepers = controller_kinds()
        kinds = (KINDS["Pod"], *keepers)
        # A stack without jobs is looked at whole without a right to see them.
        needed = [kind for kind in kinds if not kind.scheduled]
        labels = f"{selector(project, stack)},{LABEL_COMPONENT}"
        found = labelled(self._cluster, kinds, where, labels, needed=needed)
        pods = living([item for item in found if item["kind"] == "Pod"])
        return pods, list(_newest(item for item in found if kind_of(item) in keepers))

    def _runs(self, namespace: str, name: str, project: str, stack: str) -> list[Manifest]:
        """The Jobs of a workload, those of its schedule and those that people started."""
        labels = {**stack_labels(project, stack), LABEL_COMPONENT: name}
        chosen = ",".join(f"{key}={value}" for key, value in labels.items())
        found: list[Manifest] = self._cluster.json("get", KINDS["Job"].resource, "-n", namespace, "-l", chosen)["items"]
        return found

    def _namespace(self, project: str, stack: str) -> str:
        assert self._options is not None
        return KubernetesPlan(project, stack, (), self._options).namespace

    def _texts(self, wanted: Iterable[Source]) -> dict[Source, dict[str, str]]:
        """The contents of these Secrets and ConfigMaps, as far as they are there."""
        asked: dict[tuple[str, str], list[str]] = {}
        for kind, namespace, name in sorted(wanted):
            asked.setdefault((kind, namespace), []).append(name)
        found = {}
        for (kind, namespace), some in asked.items():
            for manifest in self._some(kind.lower(), namespace, *some):
                found[kind, namespace, str(manifest["metadata"]["name"])] = texts_of(manifest)
        return found

    def _warnings(self, namespace: str) -> list[Manifest]:
        chosen = ("-n", namespace, "--field-selector", "type=Warning")
        found: list[Manifest] = self._cluster.json("get", "events", *chosen)["items"]
        return found

    def _made(self, namespace: str, objects: Sequence[Manifest]) -> list[Manifest]:
        """The Deployments and pods that a controller of the Gateway API made for the stack's Gateways."""
        names = [str(item["metadata"]["name"]) for item in objects if item["kind"] == "Gateway"]
        if not names:
            return []
        chosen = ("-n", namespace, "-l", f"gateway.networking.k8s.io/gateway-name in ({','.join(names)})")
        kinds = resources((KINDS["Pod"], KINDS["Deployment"]))
        found: list[Manifest] = self._cluster.json("get", kinds, *chosen)["items"]
        return found

    def _some(self, kind: str, namespace: str, *names: str) -> list[Manifest]:
        text = self._cluster.run("get", kind, *names, "-n", namespace, "--ignore-not-found", "-o", "json")
        if not text.strip():
            return []
        document: Manifest = json.loads(text)
        # One name is answered by the object itself, several by a list.
        return list(document["items"]) if document["kind"] == "List" else [document]


def _newest(keepers: Iterable[Manifest]) -> Iterator[Manifest]:
    """Those that nobody else made; of Jobs, which another one follows at each change, the last of a workload."""
    jobs: dict[str, Manifest] = {}
    for item in keepers:
        if item["metadata"].get("ownerReferences"):
            continue
        if kind_of(item) is not KINDS["Job"]:
            yield item
        elif (
            item["metadata"]["creationTimestamp"] > jobs.get(component(item), _BEFORE)["metadata"]["creationTimestamp"]
        ):
            jobs[component(item)] = item
    yield from jobs.values()


def _refuse_unseen(wanted: Collection[Kind], unseen: Collection[Kind]) -> None:
    """What the stack has and nobody sees would be called missing."""
    if lacking := [kind for kind in unseen if kind in wanted]:
        raise KubernetesError(f"this user may not list {names(lacking)}, of which the stack has some")


def _exec(instance: Instance, *options: str) -> tuple[str, ...]:
    namespace, _, name = instance.name.partition("/")
    return ("exec", *(o for o in options if o), "-n", namespace, name, "-c", instance.component, "--")
