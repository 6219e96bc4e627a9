"""Whether a cluster can take a stack, asked before the first object is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from platforms.kubernetes import dns
from platforms.kubernetes.kinds import KINDS, Kind, kind_of, value_at
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.objects.external_secrets import API as EXTERNAL_API
from platforms.kubernetes.objects.mesh import WAYPOINT_CLASS
from platforms.kubernetes.plan import AMBIENT, DATAPLANE_MODE, KubernetesPlan, Manifest, Way
from platforms.labels import LABEL_PROJECT, LABEL_STACK, stack_labels
from problems import Problem

# The oldest version whose kubelets can let a pod sleep before it stops (KEP-3960, on by default since 1.30).
MINIMUM_VERSION = (1, 30)
VERBS = ("create", "patch", "delete", "list")
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def check_cluster(plan: KubernetesPlan, objects: Sequence[Manifest]) -> list[Problem]:
    """Everything that is in the way: version, permissions, APIs, classes, and other stacks."""
    cluster = Kubectl(plan.options.context)
    try:
        server = cluster.server()
        version = cluster.json("version", "--request-timeout=10s", timeout=20)["serverVersion"]
    except (KubernetesError, KeyError) as error:
        reason = str(error).splitlines()[-1].removeprefix("error: ")
        expected = f"expected one that answers ({reason}); see KUBECONFIG and `kubectl cluster-info`"
        return [Problem("kubernetes cluster", plan.options.context or "", expected)]
    found = (int(version["major"]), int(version["minor"].rstrip("+")))
    problems: list[Problem] = []
    if found < MINIMUM_VERSION:
        expected = "expected {}.{} or later".format(*MINIMUM_VERSION)
        problems.append(Problem(f"kubernetes at {server}", version["gitVersion"], expected))
    try:
        groups = cluster.groups()
        problems += _apis(objects, groups)
        problems += _permissions(cluster, plan, objects)
        problems += _namespace(cluster, plan)
        problems += _storage(cluster, plan, objects)
        problems += _kept(cluster, plan)
        problems += _store(cluster, plan, groups)
        problems += _operated(cluster, plan, groups)
        problems += _entrance(cluster, plan)
        problems += dns.check(cluster, plan.options.dns, plan.namespace)
        if (
            plan.guarded
            and "gateway.networking.k8s.io" in groups
            and cluster.get("gatewayclass", WAYPOINT_CLASS) is None
        ):
            expected = f"expected the GatewayClass {WAYPOINT_CLASS} (Istio's ambient profile), or false"
            problems.append(Problem("kubernetes.mesh.enabled", "true", expected))
    except KubernetesError as error:
        problems.append(Problem(f"kubernetes at {server}", "", f"a question failed: {error}"))
    return problems


def _apis(objects: Sequence[Manifest], groups: set[str]) -> Iterator[Problem]:
    lacking: dict[str, list[Kind]] = {}
    for kind in sorted({kind_of(manifest) for manifest in objects}, key=lambda kind: kind.name):
        if kind.addition and kind.api not in groups:
            lacking.setdefault(kind.addition.name, []).append(kind)
    for addition, kinds in lacking.items():
        without = " and ".join(dict.fromkeys(kind.addition.without for kind in kinds if kind.addition))
        names = ", ".join(kind.name for kind in kinds)
        yield Problem("kubernetes cluster", f"no {names}", f"expected {addition} there, or {without}")


def _permissions(cluster: Kubectl, plan: KubernetesPlan, objects: Sequence[Manifest]) -> Iterator[Problem]:
    wanted = []
    for kind in sorted({kind_of(manifest) for manifest in objects}, key=lambda kind: kind.name):
        where = plan.namespace if kind.namespaced else ""
        wanted += [(verb, kind.group, kind.plural, where) for verb in VERBS]
    wanted.append(("list", "", KINDS["Pod"].plural, plan.namespace))
    if plan.forwarded():
        wanted.append(("create", "", "pods/portforward", plan.namespace))
    for verb, group, resource, _ in cluster.denied(wanted):
        name = f"{resource}.{group}" if group else resource
        expected = f"expected this user to have it in namespace {plan.namespace}"
        yield Problem("kubernetes permission", f"{verb} {name}", expected)


def _namespace(cluster: Kubectl, plan: KubernetesPlan) -> Iterator[Problem]:
    found = cluster.get("namespace", plan.namespace)
    where = "kubernetes.namespace"
    if found is None:
        if not plan.options.create_namespace:
            expected = "expected one that is there, or kubernetes.createNamespace: true"
            yield Problem(where, plan.namespace, expected)
        return
    if found.get("status", {}).get("phase") == "Terminating":
        yield Problem(where, plan.namespace, "is being deleted; expected it gone, try again in a minute")
        return
    labels = found["metadata"].get("labels", {})
    owner = (labels.get(LABEL_PROJECT), labels.get(LABEL_STACK))
    if plan.options.create_namespace and owner != (plan.project, plan.stack):
        whose = f"stack {owner[1]}'s" if owner[1] else "not made by this stack"
        yield Problem(where, plan.namespace, f"is there and {whose}; expected another name, or createNamespace: false")
    if not plan.options.create_namespace:
        yield from _neighbours(cluster, plan)
        if plan.mesh and labels.get("istio-injection") == "enabled":
            expected = "expected it without sidecar injection (istio-injection: enabled), or mesh.enabled: false"
            yield Problem(where, plan.namespace, expected)


def _neighbours(cluster: Kubectl, plan: KubernetesPlan) -> Iterator[Problem]:
    """Another stack in the same namespace would have the same names."""
    listed = cluster.json("get", "services", "-n", plan.namespace, "-l", LABEL_STACK, timeout=30)["items"]
    others = {item["metadata"]["labels"][LABEL_STACK] for item in listed} - {plan.stack}
    for other in sorted(others):
        yield Problem("kubernetes.namespace", plan.namespace, f"holds stack {other}; expected a namespace of its own")


def _storage(cluster: Kubectl, plan: KubernetesPlan, objects: Sequence[Manifest]) -> Iterator[Problem]:
    classes = cluster.json("get", "storageclasses", timeout=30)["items"]
    names = sorted(item["metadata"]["name"] for item in classes)
    known = ", ".join(names) or "none: the cluster has no StorageClass"
    wanted = {value_at(m, kind_of(m).storage) for m in objects if kind_of(m).storage}
    for name in sorted(n for n in wanted if n and n not in names):
        yield Problem("kubernetes.storage.className", name, f"expected one of {known}")
    default = any(c["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true" for c in classes)
    if None in wanted and not default:
        yield Problem("kubernetes.storage.className", "", f"the cluster has no default; expected one of {known}")
    for name in plan.options.storage.claims.values():
        if cluster.get("persistentvolumeclaim", name, plan.namespace) is None:
            yield Problem("kubernetes.storage.claims", name, f"expected a claim in namespace {plan.namespace}")


def _kept(cluster: Kubectl, plan: KubernetesPlan) -> Iterator[Problem]:
    """The Secrets that have to be there already. Their keys are asked for, never their values."""
    wanted: dict[str, set[str]] = {}
    for workload in plan.workloads:
        for kept in workload.kept:
            wanted.setdefault(kept.name, set()).add(kept.key)
    for name, keys in sorted(wanted.items()):
        found = cluster.keys("secret", name, plan.namespace)
        if found is None:
            more = " (with kubernetes.createNamespace: false)" if plan.options.create_namespace else ""
            yield Problem("kubernetes Secret", name, f"expected it to be in namespace {plan.namespace} already{more}")
        elif lacking := sorted(keys - found):
            known = ", ".join(sorted(found)) or "none"
            yield Problem(f"kubernetes Secret {name}", ", ".join(lacking), f"expected one of its keys: {known}")


def _store(cluster: Kubectl, plan: KubernetesPlan, groups: set[str]) -> Iterator[Problem]:
    external = plan.options.external_secrets
    if external is None or EXTERNAL_API not in groups:
        return
    resource = f"{external.kind.lower()}s.{EXTERNAL_API.partition('/')[0]}"
    where = None if external.kind == "ClusterSecretStore" else plan.namespace
    if cluster.get(resource, external.store, where) is None:
        place = f" in namespace {plan.namespace}" if where else ""
        yield Problem("kubernetes.externalSecrets.store", external.store, f"expected a {external.kind}{place}")


def _operated(cluster: Kubectl, plan: KubernetesPlan, groups: set[str]) -> Iterator[Problem]:
    """Whether the operator can run Postgres, and whether its data are where this form of the stack looks for them."""
    where, chosen = "kubernetes.cloudNativePg", plan.options.cloud_native_pg
    other = KINDS[Way.STATEFUL_SET if chosen else Way.CLOUD_NATIVE_PG]
    known = not other.addition or other.api in groups
    for name in [w.name for w in plan.workloads if w.databases] if known else []:
        found = cluster.get(other.resource, name, plan.namespace)
        if found and stack_labels(plan.project, plan.stack).items() <= found["metadata"].get("labels", {}).items():
            expected = f"expected it as it was: {found['kind']} {name} holds the data; move them by a dump, and destroy"
            yield Problem(where, "set" if chosen else "not set", expected)
    if chosen is None or KINDS[Way.CLOUD_NATIVE_PG].api not in groups:
        return
    if cluster.get("namespace", chosen.operator_namespace) is None:
        yield Problem(f"{where}.operatorNamespace", chosen.operator_namespace, "expected the operator's namespace")
    if plan.mesh and not plan.options.create_namespace:
        labels = (cluster.get("namespace", plan.namespace) or {"metadata": {}})["metadata"].get("labels", {})
        if labels.get(DATAPLANE_MODE) != AMBIENT:
            expected = (
                "expected it to be labelled istio.io/dataplane-mode: ambient: the operator does not label its jobs"
            )
            yield Problem("kubernetes.namespace", plan.namespace, expected)


def _listeners(listeners: Sequence[Manifest], section: str | None) -> Iterator[Problem]:
    """A route without a section is served by every listener that takes its host, also by one for plain http."""
    where, names = "kubernetes.gateway.section", {str(one["name"]): one["protocol"] for one in listeners}
    https = ", ".join(name for name, protocol in names.items() if protocol == "HTTPS") or "none, and it needs one"
    if section is not None and names.get(section) != "HTTPS":
        yield Problem(where, section, f"expected an https listener of the Gateway: {https}")
    if section is None and "HTTP" in names.values():
        clear = ", ".join(name for name, protocol in names.items() if protocol == "HTTP")
        yield Problem(
            where, "", f"expected an https listener of the Gateway: {https}; tokens in clear come in at {clear}"
        )


def _entrance(cluster: Kubectl, plan: KubernetesPlan) -> Iterator[Problem]:
    gateway, ingress = plan.options.gateway, plan.options.ingress
    if gateway is not None:
        try:
            found = cluster.get("gateways.gateway.networking.k8s.io", gateway.name, gateway.namespace)
        except KubernetesError:
            found = None
        if found is None:
            value = f"{gateway.namespace}/{gateway.name}"
            yield Problem("kubernetes.gateway", value, "expected a Gateway that is there")
        else:
            yield from _listeners(found["spec"]["listeners"], gateway.section)
    if ingress is not None and ingress.class_name and cluster.get("ingressclass", ingress.class_name) is None:
        yield Problem("kubernetes.ingress.className", ingress.class_name, "expected an IngressClass that is there")
    if ingress is not None and (ingress.issuer or ingress.cluster_issuer) and "cert-manager.io" not in cluster.groups():
        named = ingress.issuer or ingress.cluster_issuer or ""
        yield Problem("kubernetes.ingress", named, "expected cert-manager on the cluster, or tlsSecret")
