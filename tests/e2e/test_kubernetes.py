"""The stack on a real cluster, from its rendered YAML. Needs KUBECONFIG, and IMAGE_LOADER without a registry."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from settings import PROJECT
from stackctl.engines import pulumi_cli
from tests.e2e import company
from tests.e2e.cluster import (
    JOBS,
    address,
    connects,
    enforces_policies,
    get,
    kill_programs,
    kubectl,
    lacking,
    namespace,
    reaches,
    run_pod,
    until,
)
from tests.e2e.harness import LONG, SERVICES, Client, Stack
from tests.e2e.keycloak import lifetime
from tests.e2e.login import ui_session
from tests.e2e.waits import renew_connections

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=10"
# The pods of what serves: those of a job come and go.
SERVING = "mlflow-sso.component,!batch.kubernetes.io/job-name"


def search(client: Client, user: str) -> list[str]:
    answer = client.mlflow(SEARCH, client.password_token(user)["access_token"])
    assert answer.status_code == 200, answer.text
    return [experiment["name"] for experiment in answer.json().get("experiments", [])]


def pods(stack: Stack) -> dict[str, str]:
    """The running pods by workload, each with its unique number."""
    items = get("pods", "-n", stack.physical, "-l", SERVING)["items"]
    return {
        item["metadata"]["labels"]["mlflow-sso.component"]: item["metadata"]["uid"]
        for item in items
        if "deletionTimestamp" not in item["metadata"]
    }


def test_tokens_work_and_nobody_is_let_in_without_one(people: Client) -> None:
    assert "Default" in search(people, "alice")
    assert search(people, "bob") == []
    assert people.mlflow(SEARCH).status_code == 401


def test_a_browser_is_sent_to_keycloak(k8s: Stack, people: Client) -> None:
    answer = people.mlflow("/login")
    assert answer.status_code in (302, 303, 307)
    assert answer.headers["location"].startswith(str(k8s.outputs()["issuer_url"]))


def test_pods_are_ready_where_only_restricted_ones_are_admitted(k8s: Stack) -> None:
    found = get("namespace", k8s.physical)
    assert found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    items = get("pods", "-n", k8s.physical, "-l", SERVING)["items"]
    assert {item["metadata"]["labels"]["mlflow-sso.component"] for item in items} == set(SERVICES)
    for item in items:
        ready = [c["status"] for c in item["status"]["conditions"] if c["type"] == "Ready"]
        assert ready == ["True"]
    refused = kubectl("run", "free", "-n", k8s.physical, "--image=x", "--dry-run=server", check=False)
    assert "violates PodSecurity" in refused


def test_pipelines_find_the_client_by_a_stable_name(k8s: Stack, people: Client) -> None:
    import base64

    data = {
        k: base64.b64decode(v).decode()
        for k, v in get("secret", "mlflow-oauth-secret", "-n", k8s.physical)["data"].items()
    }
    answer = people.grant(
        grant_type="client_credentials", client_id=data["OIDC_CLIENT_ID"], client_secret=data["OIDC_CLIENT_SECRET"]
    )
    assert answer.status_code == 200
    # The public one is a loopback URL here, which would lead each pod to itself.
    assert data["OIDC_TOKEN_URL"] == data["OIDC_CLUSTER_TOKEN_URL"] == people.outputs["cluster_token_url"]


@pytest.mark.parametrize("workload", SERVICES)
def test_a_pod_that_is_killed_comes_back_and_loses_nothing(k8s: Stack, people: Client, workload: str) -> None:
    before = pods(k8s)
    label = f"mlflow-sso.component={workload}"
    kubectl("delete", "pod", "-n", k8s.physical, "-l", label, "--force", "--grace-period=0")
    until(lambda: pods(k8s).get(workload, before[workload]) != before[workload], f"another pod of {workload}")
    kubectl("wait", "-n", k8s.physical, "pod", "-l", label, "--for=condition=Ready", "--timeout=180s")
    until(lambda: _works(people), f"a call after {workload} was killed", seconds=180)
    renew_connections(people)


def test_programs_that_are_killed_all_at_once_start_again_and_keep_the_data(k8s: Stack, people: Client) -> None:
    if len(get("nodes")["items"]) != 1:
        pytest.skip("this test ends processes from the only node, and the cluster has several")
    token = people.password_token("alice")["access_token"]
    made = people.mlflow("/api/2.0/mlflow/experiments/create", token, "POST", json={"name": "Kept"})
    assert made.status_code == 200, made.text
    session = ui_session(people, "alice")

    def restarts() -> dict[str, int]:
        items = get("pods", "-n", k8s.physical, "-l", SERVING)["items"]
        return {i["metadata"]["name"]: i["status"]["containerStatuses"][0]["restartCount"] for i in items}

    before, uids = restarts(), pods(k8s)
    assert len(before) == len(uids) == len(SERVICES)
    with namespace(f"killer-{secrets.token_hex(3)}", **{"pod-security.kubernetes.io/enforce": "privileged"}) as where:
        kill_programs(where, list(uids.values()))
        until(lambda: all(restarts()[name] > count for name, count in before.items()), "every program again", 180)
        kubectl("wait", "-n", k8s.physical, "pod", "-l", SERVING, "--for=condition=Ready", "--timeout=180s")
    assert pods(k8s) == uids
    until(lambda: _works(people), "a call after all were killed", seconds=180)
    renew_connections(people)
    assert "Kept" in search(people, "alice")
    # A browser that was logged in still is.
    assert session.get(f"{people.outputs['mlflow_url']}{SEARCH}").status_code == 200


def _works(client: Client) -> bool:
    try:
        return "Default" in search(client, "alice")
    except (OSError, AssertionError):
        return False


def test_an_undeclared_caller_reaches_nothing(k8s: Stack) -> None:
    with namespace(f"stranger-{secrets.token_hex(3)}") as elsewhere:
        run_pod(elsewhere, "stranger", ["sleep", "600"])
        if not enforces_policies(elsewhere, "stranger"):
            pytest.skip("this cluster does not enforce NetworkPolicies")
        run_pod(k8s.physical, "neighbour", ["sleep", "600"])
        mlflow = get("pods", "-n", k8s.physical, "-l", "mlflow-sso.component=mlflow")["items"][0]["metadata"]["name"]
        for service, port in (("postgres", 5432), ("redis", 6379), ("keycloak", 8080)):
            host = address(k8s.physical, service)
            reaches(k8s.physical, mlflow, host, port)
            assert not connects(elsewhere, "stranger", host, port), f"another namespace reaches {service}"
            assert not connects(k8s.physical, "neighbour", host, port), f"an undeclared neighbour reaches {service}"
        assert not connects(elsewhere, "stranger", address(k8s.physical, "mlflow"), 5000)
        kubectl("delete", "pod", "neighbour", "-n", k8s.physical, "--force", "--grace-period=0")


def test_every_object_passes_the_api_server_again(k8s: Stack, tmp_path: Path) -> None:
    """Admission, Istio's own webhook included, on exactly what `render` writes."""
    k8s.stackctl("render", "--out", str(tmp_path))
    shown = kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(tmp_path / k8s.name / "manifests"),
        check=False,
    )  # fmt: skip
    # The values of the secrets are of another store, so their names are new.
    assert "error" not in shown.lower(), shown


def test_the_waypoint_is_programmed_and_the_mesh_is_content(k8s: Stack, mesh: bool) -> None:
    if not mesh:
        pytest.skip("this cluster has no Istio")
    gateway = get("gateways.gateway.networking.k8s.io", "waypoint", "-n", k8s.physical)
    conditions = {c["type"]: c["status"] for c in gateway["status"]["conditions"]}
    assert conditions["Programmed"] == "True"
    waypoint = get("deployment", "waypoint", "-n", k8s.physical)
    security = waypoint["spec"]["template"]["spec"]["securityContext"]
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}, "the patch of parametersRef did not arrive"
    refused = [c for c in waypoint["status"].get("conditions", []) if c["type"] == "ReplicaFailure"]
    assert not refused, "the waypoint's pod is not admitted"
    policy = get("authorizationpolicies.security.istio.io", "mlflow-requests", "-n", k8s.physical)
    accepted = {c["type"]: c["status"] for c in policy.get("status", {}).get("conditions", [])}
    assert accepted.get("WaypointAccepted") == "True", accepted
    if shutil.which("istioctl") is None:
        pytest.skip("istioctl is not installed")
    done = subprocess.run(
        ("istioctl", "analyze", "-n", k8s.physical, "-o", "json"), capture_output=True, text=True, check=False
    )
    findings = json.loads(done.stdout or "[]")
    redirected = "ambient.istio.io/redirection" in kubectl("get", "pods", "-n", k8s.physical, "-o", "json")
    if not redirected:
        # Where no node has Istio's CNI plugin, no pod is in the mesh, and policies on pods select none.
        findings = [finding for finding in findings if finding["code"] != "IST0127"]
    # A namespace that may call need not be there yet.
    findings = [finding for finding in findings if finding["code"] != "IST0101" or JOBS not in finding["message"]]
    assert findings == []


def test_a_policy_that_means_nothing_is_rejected(k8s: Stack, mesh: bool) -> None:
    if not mesh:
        pytest.skip("this cluster has no Istio")
    policy = get("authorizationpolicies.security.istio.io", "mlflow-requests", "-n", k8s.physical)
    policy["spec"]["rules"][0]["to"][0]["operation"]["paths"] = [""]
    policy["metadata"] = {"name": "wrong", "namespace": k8s.physical}
    shown = kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(policy), check=False)
    assert "admission webhook" in shown or "invalid" in shown.lower(), shown


LOAD = """
import os, sys, time, urllib.request
headers = {"Host": "mlflow:5000", "Authorization": os.environ["TOKEN"]}
request = urllib.request.Request(os.environ["URL"], headers=headers)
done, failed = 0, []
print("started", flush=True)
while not os.path.exists("/tmp/stop"):
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()
        done += 1
    except Exception as error:
        failed.append(repr(error))
    time.sleep(0.05)
print(done, len(failed), failed[:5], flush=True)
time.sleep(600)
"""


@LONG
def test_replicas_come_go_and_are_replaced_under_load_and_no_request_fails(mesh: bool, tmp_path: Path) -> None:
    name = f"t{secrets.token_hex(4)}"
    labels = {"istio.io/dataplane-mode": "ambient"} if mesh else {}
    with namespace(f"space-{name}", **labels) as where, namespace(f"load-{name}", **labels) as loader:
        _claim_for_several(where, name)
        stack = Stack.make(
            "render", tmp_path, platform="kubernetes",
            mlflow={"replicas": 1},
            realm={"lifetimes": {"accessTokenSeconds": 1800}},
            kubernetes={
                "namespace": where, "createNamespace": False, "callers": [loader], "mesh": {"enabled": mesh},
                "storage": {"sharedAccess": "ReadWriteMany", "claims": {"mlflow-artifacts": "artifacts"}},
            },
        )  # fmt: skip
        try:
            stack.up()
            client = Client(stack.outputs())
            token = client.password_token("alice")["access_token"]
            assert "Default" in search(client, "alice")
            url = f"http://{address(where, 'mlflow')}:5000{SEARCH}"
            run_pod(loader, "load", ["python", "-c", LOAD], {"URL": url, "TOKEN": f"Bearer {token}"})
            until(lambda: "started" in kubectl("logs", "-n", loader, "load"), "the load")
            stack.config["mlflow"] |= {"replicas": 3}
            erin = {"username": "erin", "email": "erin@example.com", "firstName": "Erin", "lastName": "Lang"}
            stack.config["realm"] = {"lifetimes": {"accessTokenSeconds": 1790}, "users": [erin], **company.REALM}
            assert "accessTokenLifespan: 1800 -> 1790" in stack.up().stderr
            company.assert_declared(stack.outputs())
            assert lifetime(client.password_token("alice")["access_token"]) == 1790
            assert Client(stack.outputs()).password_token("erin")
            assert (
                len(
                    get("endpointslices", "-n", where, "-l", "kubernetes.io/service-name=mlflow")["items"][0][
                        "endpoints"
                    ]
                )
                == 3
            )
            time.sleep(5)
            before = set(_mlflow_pods(where))
            # One of them goes, and the others are replaced, as their settings change.
            stack.config["mlflow"] |= {"replicas": 2, "env": {"ROLLED": "yes"}}
            assert "realm, " not in stack.up().stderr
            assert not before & set(_mlflow_pods(where))
            time.sleep(10)
            kubectl("exec", "-n", loader, "load", "--", "touch", "/tmp/stop")
            until(lambda: len(kubectl("logs", "-n", loader, "load").splitlines()) > 1, "the end of the load", 60)
            done, failed, *_ = kubectl("logs", "-n", loader, "load").splitlines()[1].split(maxsplit=2)
            assert int(done) > 50
            assert failed == "0", kubectl("logs", "-n", loader, "load")
        finally:
            stack.destroy(check=False)
            kubectl("delete", "pv", f"artifacts-{name}", "--ignore-not-found", "--wait=false")


def _mlflow_pods(where: str) -> list[str]:
    items = get("pods", "-n", where, "-l", "mlflow-sso.component=mlflow")["items"]
    return [item["metadata"]["uid"] for item in items if "deletionTimestamp" not in item["metadata"]]


def _claim_for_several(where: str, name: str) -> None:
    """A volume that several pods of one node can mount: enough for clusters of one node."""
    if len(get("nodes")["items"]) != 1:
        pytest.skip("this test makes a volume on the only node, and the cluster has several")
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"artifacts-{name}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "claimRef": {"namespace": where, "name": "artifacts"},
            "hostPath": {"path": f"/tmp/artifacts-{name}", "type": "DirectoryOrCreate"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "artifacts", "namespace": where},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": f"artifacts-{name}",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    for document in (volume, claim):
        kubectl("create", "-f", "-", stdin=json.dumps(document))
    # A pod that meets the claim while it is being bound may wait five minutes for the scheduler's next look.
    until(lambda: get("pvc", "artifacts", "-n", where)["status"]["phase"] == "Bound", "the claim is bound")


def _unchanged_by_another_up_and_gone_after_destroy(stack: Stack) -> None:
    before = pods(stack)
    stack.up()
    assert pods(stack) == before
    bound = {v["metadata"]["name"]: v["spec"]["claimRef"]["namespace"] for v in get("pv")["items"]}
    volumes = {name for name, where in bound.items() if where == stack.physical}
    assert volumes
    stack.destroy()
    assert stack.physical not in kubectl("get", "namespaces", "-o", "name")
    mine = {f"persistentvolume/{name}" for name in volumes}
    until(lambda: not mine & set(kubectl("get", "pv", "-o", "name").split()), "the volumes are gone", 60)
    assert "nothing to remove" in stack.destroy().stderr


# The parameter tells which worker runs it (tests/conftest.py).
@pytest.mark.parametrize("engine", ["pulumi"])
def test_the_pulumi_engine_brings_it_up_and_leaves_nothing(mesh: bool, tmp_path: Path, engine: str) -> None:
    reason = pulumi_cli.unavailable("kubernetes")
    if reason:
        pytest.skip(reason)
    # One of the two without the mesh: what else is tested here has it.
    meshed = mesh and engine == "pulumi"
    mesh_setting = {"mesh": {"enabled": meshed}}
    stack = Stack.make(engine, tmp_path, platform="kubernetes", kubernetes=mesh_setting, realm=company.REALM)
    try:
        stack.up()
        company.assert_declared(stack.outputs())
        assert "Default" in search(Client(stack.outputs()), "alice")
        examined = json.loads(stack.stackctl("doctor", "--output", "json", check=False).stdout)
        assert {finding["id"] for finding in examined["findings"]} == lacking(stack.physical), examined
        assert examined["unchecked"] == []
        assert meshed or examined["healthy"]
        _a_claim_is_given_up_by_name_or_not_at_all(stack)
        _unchanged_by_another_up_and_gone_after_destroy(stack)
    finally:
        stack.destroy(check=False)


def _a_claim_is_given_up_by_name_or_not_at_all(stack: Stack) -> None:
    """Leaves the stack with another store of artifacts, and the claim of before."""
    place, claim = f"claim {stack.physical}/mlflow-artifacts", ("get", "pvc", "mlflow-artifacts", "-n", stack.physical)
    volume = kubectl(*claim, "-o", "jsonpath={.spec.volumeName}")
    assert volume
    bucket = {"bucket": "b", "endpointUrl": "http://127.0.0.1:9", "accessKeyId": "a", "secretAccessKey": "s"}
    stack.config["mlflow"] = {**stack.config["mlflow"], "s3": bucket}
    for more in ({}, {"namespace": f"{stack.physical}-b"}):
        refused = Stack(stack.engine, stack.home, {**stack.config}, name=stack.name)
        refused.config["kubernetes"] = {**stack.config["kubernetes"], **more}
        done = refused.up(check=False)
        assert done.returncode != 0
        key = "kubernetes.namespace = " if more else "mlflow.s3 = "
        assert f"{PROJECT}:{key}" in done.stdout + done.stderr, done.stdout + done.stderr
    stack.config["movedFrom"] = [place]
    stack.up()
    assert kubectl(*claim, "-o", "jsonpath={.spec.volumeName}") == volume


def test_settings_that_would_leave_a_claim_are_refused(k8s: Stack) -> None:
    before = pods(k8s)
    bucket = {"mlflow": {**k8s.config["mlflow"], "s3": {"bucket": "b"}}}
    changed = Stack(k8s.engine, k8s.home, {**k8s.config, **bucket, "postgres": {"separateKeycloak": True}}, k8s.name)
    try:
        done = changed.up(check=False)
    finally:
        k8s.write_config()
    assert done.returncode == 2
    assert "nothing was created or changed" in done.stderr
    assert f"{PROJECT}:mlflow.s3 = s3://b: expected what it was" in done.stderr
    assert f"database keycloak in claim {k8s.physical}/postgres-data" in done.stderr
    assert pods(k8s) == before


def test_another_stack_in_the_same_namespace_is_refused(k8s: Stack, mesh: bool, tmp_path: Path) -> None:
    other = Stack.make(
        "render", tmp_path, platform="kubernetes",
        kubernetes={"namespace": k8s.physical, "createNamespace": False, "mesh": {"enabled": mesh}},
    )  # fmt: skip
    done = other.up(check=False)
    assert done.returncode == 2
    assert f"holds stack {k8s.name}" in done.stderr


def test_a_stack_that_was_made_elsewhere_is_left_alone(k8s: Stack, mesh: bool, tmp_path: Path) -> None:
    """Its secrets are not here: new ones would lock it out of its own data."""
    before = pods(k8s)
    elsewhere = Stack.make("render", tmp_path, platform="kubernetes", kubernetes={"mesh": {"enabled": mesh}})
    elsewhere.name = k8s.name
    done = elsewhere.up(check=False)
    assert done.returncode == 2
    assert "another engine or checkout made them" in done.stderr
    assert pods(k8s) == before


@pytest.mark.destroys
def test_the_render_engine_leaves_nothing(k8s: Stack) -> None:
    """The last one here: it removes the stack."""
    _unchanged_by_another_up_and_gone_after_destroy(k8s)
