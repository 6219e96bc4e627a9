"""What Kubernetes makes of the words that no component of the stack needs yet, rendered and through the engine."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from components.program import Component
from platforms.kubernetes import site
from platforms.kubernetes.kinds import kind_of
from platforms.kubernetes.objects.network import lookups
from platforms.kubernetes.objects.render import render
from platforms.kubernetes.plan import HBONE_PORT, NAME_KEY, KubernetesPlan, Manifest, Way
from platforms.kubernetes.site import KubernetesPlatform
from platforms.labels import LABEL_PROTECTED
from platforms.site import ONLY, Secrets
from platforms.workload import FINAL, Databases, File, OnDemand, Reading, Reserved, Workload
from settings import PROJECT
from settings.kubernetes import Kubernetes
from tests.contract.engine import Run, run_program
from tests.contract.kubernetes_policies import allows
from tests.contract.kubernetes_samples import of_kind
from tests.contract.seam import ADAPT, CLIENT, ECHO, RESTORE, STACK, SWEEP, TOKEN, WORKLOADS

SCRAPERS: dict[str, Any] = {"scrapers": ["monitoring"]}
NO_MESH: dict[str, Any] = {"mesh": {"enabled": False}}


def plan(workloads: tuple[Workload, ...] = WORKLOADS, **options: Any) -> KubernetesPlan:
    return KubernetesPlan(PROJECT, STACK, workloads, Kubernetes.model_validate(options))


def rendered(workloads: tuple[Workload, ...] = WORKLOADS, **options: Any) -> list[Manifest]:
    made = render(plan(workloads, **options), {TOKEN.name: "token", NAME_KEY.name: "key"}, {})
    return [*made.namespace, *made.secrets, *made.objects]


def by_engine(workloads: tuple[Workload, ...] = WORKLOADS, **options: Any) -> Run:
    def program() -> dict[str, Any]:
        checked = KubernetesPlatform(PROJECT, STACK, Kubernetes.model_validate(options)).check(workloads)
        assert checked.problems == []
        place, secrets = checked.prepare(ONLY), Secrets("secrets", ONLY)
        return {w.name: Component(w, place, secrets, ONLY).ready for w in workloads}

    return run_program(program, STACK)


def cron_job(name: str, **options: Any) -> Manifest:
    spec: Manifest = of_kind(rendered(**options), "CronJob")[name]["spec"]
    return spec


def pod_of(name: str, **options: Any) -> Manifest:
    pod: Manifest = cron_job(name, **options)["jobTemplate"]["spec"]["template"]["spec"]
    return pod


def deployed(name: str, **options: Any) -> Manifest:
    template: Manifest = of_kind(rendered(**options), "Deployment")[name]["spec"]["template"]
    return template


@pytest.fixture(autouse=True)
def fit_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "check_cluster", lambda *_: [])


def test_a_scheduled_one_runs_in_utc_once_at_a_time_and_no_longer_than_it_may() -> None:
    spec = cron_job("sweep")
    assert (spec["schedule"], spec["timeZone"], spec["suspend"]) == ("30 3 * * 1-5", "Etc/UTC", False)
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] >= 10, "the cluster looks every ten seconds"
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (0, 600)
    assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_one_on_demand_never_comes_by_itself() -> None:
    assert cron_job("restore")["suspend"] is True
    assert cron_job("restore")["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 3600


def adapting(adapt: Workload = ADAPT, value: str = "1") -> Manifest:
    """The Job of a workload that runs at changes."""
    stack = plan((*WORKLOADS, adapt))
    made = render(stack, {TOKEN.name: value, NAME_KEY.name: "key"}, {})
    (found,) = of_kind([*made.objects], "Job").values()
    return found


def test_one_at_changes_runs_once_for_each_form_of_it() -> None:
    first = adapting()
    name = first["metadata"]["name"]
    assert re.fullmatch("adapt-[0-9a-f]{10}", name)
    assert adapting() == first, "the same stack is the same Job, which has run"
    for other in (
        replace(ADAPT, image="example/sweep:2"),
        replace(ADAPT, args=("other",)),
        replace(ADAPT, env={"OTHER": "1"}),
        replace(ADAPT, files=(File("/etc/adapt/one", "text"),)),
        replace(ADAPT, runs=OnDemand(3600, at_change=True)),
    ):
        assert adapting(other)["metadata"]["name"] != name, other
    assert adapting(value="2")["metadata"]["name"] != name, "a secret that changed"
    texts = {adapting(replace(ADAPT, files=(File("/etc/adapt/one", text),)))["metadata"]["name"] for text in "ab"}
    assert len(texts) == 2


def test_one_at_changes_is_tried_again_but_where_that_is_of_no_use_and_is_never_made_anew() -> None:
    spec = adapting()["spec"]
    assert spec["backoffLimit"] > 0
    assert spec["activeDeadlineSeconds"] == 900
    ignored, rule = spec["podFailurePolicy"]["rules"]
    assert ignored["action"] == "Ignore", "a node that is drained says nothing about the program"
    assert rule == {
        "action": "FailJob", "onExitCodes": {"containerName": "adapt", "operator": "In", "values": [FINAL]},
    }  # fmt: skip
    assert "ttlSecondsAfterFinished" not in spec, "whatever applies the files would make it again, and it would run"
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never", "which a podFailurePolicy needs"
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["env"][0]["valueFrom"]["secretKeyRef"]["key"] == "TOKEN"


def test_the_engine_refuses_one_at_changes_by_name() -> None:
    checked = KubernetesPlatform(PROJECT, STACK, Kubernetes()).check((*WORKLOADS, ADAPT))
    (problem,) = checked.problems
    assert str(problem).startswith("workload adapt = runs at changes: expected ENGINE=render: ")


def test_a_job_is_hardened_as_every_pod_is_and_is_asked_nothing() -> None:
    pod = pod_of("sweep")
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsUser"] == SWEEP.uid
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert not {"startupProbe", "readinessProbe", "livenessProbe", "ports", "lifecycle"} & set(container)
    assert container["args"] == ["sweep", "--all", "$$5"]
    assert container["env"][0]["valueFrom"]["secretKeyRef"]["key"] == "TOKEN"


def test_nothing_but_its_pods_is_made_for_a_job() -> None:
    own = {m["kind"] for m in rendered() if m["metadata"]["labels"].get("mlflow-sso.component") == "sweep"}
    assert own == {"ServiceAccount", "Secret", "CronJob"}
    assert "sweep" in of_kind(rendered(), "NetworkPolicy")


def test_the_engine_makes_what_is_rendered_and_waits_for_no_job() -> None:
    run = by_engine()
    made = {(r.inputs["kind"], r.inputs["metadata"]["name"]) for r in run.resources.values() if "kind" in r.inputs}
    written = {(m["kind"], m["metadata"]["name"]) for m in rendered() if m["kind"] != "Secret"}
    assert written == {(kind, name) for kind, name in made if kind != "Secret"}
    (sweep,) = [r for r in run.resources.values() if r.inputs.get("kind") == "CronJob" and r.name == "sweep-cronjob"]
    assert sweep.inputs["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"


@pytest.mark.parametrize("options", [{}, NO_MESH], ids=["mesh", "no mesh"])
def test_a_network_is_open_on_its_port_and_a_name_opens_its_port_alone(options: dict[str, Any]) -> None:
    policy = of_kind(rendered(**options), "NetworkPolicy")["client"]["spec"]
    names = lookups(plan(**options))
    ways = [
        rule for rule in policy["egress"] if "to" not in rule or ("ipBlock" in str(rule["to"]) and rule not in names)
    ]
    assert ways == [
        {"ports": [{"protocol": "TCP", "port": 587}]},
        {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 636}]},
    ]
    job = of_kind(rendered(**options), "NetworkPolicy")["sweep"]["spec"]["egress"]
    assert {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"protocol": "TCP", "port": 443}]} in job


def test_one_that_calls_nobody_is_let_out_nowhere() -> None:
    assert "egress" not in of_kind(rendered(), "NetworkPolicy")["restore"]["spec"]


def test_metrics_are_read_from_the_declared_namespaces_at_their_port_alone() -> None:
    policies = list(of_kind(rendered(**SCRAPERS, **NO_MESH), "NetworkPolicy").values())
    template, own = deployed("echo", **SCRAPERS, **NO_MESH), plan().namespace
    labels = template["metadata"]["labels"]
    for port, namespace, may in (
        (9100, "monitoring", True), (8080, "monitoring", False), (9000, "monitoring", False), (9100, "other", False),
    ):  # fmt: skip
        found = allows(policies, "Ingress", labels, {"app": "prometheus"}, namespace, own, port)
        assert found is may, f"{namespace} -> {port}"
    marks = {key.removeprefix("prometheus.io/"): v for key, v in template["metadata"]["annotations"].items()}
    assert marks == {"scrape": "true", "port": "9100", "path": "/metrics", "scheme": "http"}


def test_a_guarded_service_does_not_lead_to_metrics() -> None:
    """Its waypoint knows requests and no ports."""
    for options, shown in (({}, False), (NO_MESH, True)):
        service = of_kind(rendered(**SCRAPERS, **options), "Service")["echo"]
        assert ("metrics" in {port["name"] for port in service["spec"]["ports"]}) is shown


def test_in_the_mesh_metrics_are_read_past_the_waypoint_and_nothing_else_is() -> None:
    rules = of_kind(rendered(**SCRAPERS), "AuthorizationPolicy")["echo-connections"]["spec"]["rules"]
    assert rules[1:] == [
        {"from": [{"source": {"namespaces": ["monitoring"]}}], "to": [{"operation": {"ports": ["9100"]}}]}
    ]
    assert "9100" not in str(of_kind(rendered(), "AuthorizationPolicy")["echo-connections"])


def test_reserved_requests_are_taken_from_their_senders_alone() -> None:
    policy = of_kind(rendered(), "AuthorizationPolicy")["echo-requests"]["spec"]
    principals = policy["rules"][0]["from"][0]["source"]["principals"]
    own = plan().namespace
    assert principals == [f"cluster.local/ns/{own}/sa/client", "cluster.local/ns/tracing/sa/collector"]
    assert policy["rules"][0]["to"] == [{"operation": {"methods": ["POST"], "paths": ["/intake"]}}]
    nobody = replace(ECHO, reserved=Reserved(("POST",), ("/intake",)))
    (rule,) = of_kind(rendered((nobody, CLIENT)), "AuthorizationPolicy")["echo-requests"]["spec"]["rules"]
    assert rule == {"to": [{"operation": {"notPaths": ["/intake"]}}]}, "a rule without a source would be everybody's"


def test_callers_of_a_guarded_workload_go_through_its_waypoint() -> None:
    manifests = rendered()
    policies, own = list(of_kind(manifests, "NetworkPolicy").values()), plan().namespace
    echo, client = (deployed(name)["metadata"]["labels"] for name in ("echo", "client"))
    waypoint = {"gateway.networking.k8s.io/gateway-name": "waypoint"}
    assert allows(policies, "Egress", client, waypoint, own, own, HBONE_PORT)
    assert allows(policies, "Ingress", waypoint, client, own, own, HBONE_PORT)
    assert not allows(policies, "Egress", client, echo, own, own, 8080)
    assert not allows(policies, "Ingress", echo, client, own, own, HBONE_PORT)
    senders = of_kind(manifests, "NetworkPolicy")["waypoint"]["spec"]["ingress"][0]["from"]
    assert "tracing" in str(senders), "an account outside the stack comes in there too"


def test_what_is_read_is_mounted_for_reading_beside_its_owner() -> None:
    pod = pod_of("sweep")
    (volume,) = [v for v in pod["volumes"] if "persistentVolumeClaim" in v]
    assert volume["persistentVolumeClaim"] == {"claimName": "echo-data", "readOnly": True}
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
    assert (mount["mountPath"], mount["readOnly"]) == ("/echo", True)
    assert pod["securityContext"]["supplementalGroups"] == [ECHO.uid]
    (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchLabels"]["mlflow-sso.component"] == "echo"
    anywhere = pod_of("sweep", storage={"sharedAccess": "ReadWriteMany"})
    assert "affinity" not in anywhere, "a claim for many nodes is read from any of them"


def test_a_volume_that_an_operator_keeps_is_refused_by_name() -> None:
    stored = replace(ECHO, databases=Databases({}, {}), reserved=None)
    reader = replace(SWEEP, readings=(Reading("echo", "data", "/echo"),))
    problems = plan((stored, CLIENT, reader), cloudNativePg={}).check()
    assert [str(p) for p in problems] == ["workload sweep = volume data of echo: expected one that no operator keeps"]


def test_scratch_on_disk_is_bounded_and_in_memory_it_is_as_before() -> None:
    pod = deployed("client")["spec"]
    directories = {v["name"]: v["emptyDir"] for v in pod["volumes"] if "emptyDir" in v}
    assert directories == {"scratch-0": {"medium": "Memory", "sizeLimit": "256Mi"}, "disk-0": {"sizeLimit": "2048Mi"}}
    assert {"name": "disk-0", "mountPath": "/scratch"} in pod["containers"][0]["volumeMounts"]


def test_protected_data_is_marked_and_the_engine_removes_neither_it_nor_its_namespace() -> None:
    assert of_kind(rendered(), "PersistentVolumeClaim")["echo-data"]["metadata"]["labels"][LABEL_PROTECTED] == "true"
    protected = {r.inputs["kind"] for r in by_engine().resources.values() if r.protect}
    assert protected == {"PersistentVolumeClaim", "Namespace"}
    bare = replace(ECHO, volumes=(replace(ECHO.volumes[0], protected=False),))
    assert not any(r.protect for r in by_engine((bare, CLIENT)).resources.values())


def test_what_the_engine_removes_beside_protected_data_it_removes_one_by_one() -> None:
    """It would forget what goes with a namespace, and the namespace stays; and the secrets stay with the data."""
    run = by_engine()
    assert not [r.name for r in run.resources.values() if r.deleted_with]
    (claim,) = (r for r in run.resources.values() if r.inputs.get("kind") == "PersistentVolumeClaim")
    passwords = {u for u, r in run.resources.items() if r.type.startswith("random:") and r.name == TOKEN.name}
    assert passwords
    assert passwords <= claim.depends
    bare = replace(ECHO, volumes=(replace(ECHO.volumes[0], protected=False),))
    assert [r.name for r in by_engine((bare, CLIENT)).resources.values() if r.deleted_with]


@pytest.mark.parametrize("shared", [True, False])
def test_one_whose_volume_belongs_to_one_pod_is_never_given_more(shared: bool) -> None:
    """Neither at once nor under load."""
    volumes = (replace(ECHO.volumes[0], shared=shared),)
    expected = (
        [] if shared else ["workload echo = 3 replicas: expected 1: its volume data belongs to one pod at a time"]
    )
    for runs in (replace(ECHO.service, replicas=3), replace(ECHO.service, max_replicas=3)):
        stack = plan((replace(ECHO, volumes=volumes, runs=runs), CLIENT))
        assert [str(problem) for problem in stack.check()] == expected


def test_what_scales_a_workload_names_what_keeps_its_pods_and_the_load_that_it_says() -> None:
    runs = replace(ECHO.service, max_replicas=3, scale_at_percent=150)
    manifests = rendered((replace(ECHO, runs=runs), CLIENT))
    spec = of_kind(manifests, "HorizontalPodAutoscaler")["echo"]["spec"]
    target, (metric,) = spec["scaleTargetRef"], spec["metrics"]
    assert metric["resource"]["target"]["averageUtilization"] == 150
    (keeper,) = [m for m in manifests if kind_of(m).runs and m["metadata"]["name"] == "echo"]
    assert target == {"apiVersion": keeper["apiVersion"], "kind": keeper["kind"], "name": "echo"}


def test_each_way_of_running_is_chosen_in_one_place() -> None:
    ways = {w.name: plan().way(w) for w in WORKLOADS}
    assert ways == {
        "echo": Way.DEPLOYMENT, "client": Way.DEPLOYMENT, "sweep": Way.CRON_JOB, "restore": Way.CRON_JOB,
    }  # fmt: skip
    assert plan((ADAPT,)).way(ADAPT) is Way.JOB
    alone = replace(ECHO, volumes=(replace(ECHO.volumes[0], shared=False),))
    stored = replace(alone, databases=Databases({}, {}))
    assert plan((alone,)).way(alone) is plan((stored,)).way(stored) is Way.STATEFUL_SET
    assert plan((stored,), cloudNativePg={}).way(stored) is Way.CLOUD_NATIVE_PG
    assert plan((RESTORE,), cloudNativePg={}).way(RESTORE) is Way.CRON_JOB
