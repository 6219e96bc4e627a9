"""What every stack's objects keep to on any cluster."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from platforms.kubernetes.objects.render import SECRETS_FILE
from platforms.workload import Service
from settings import port_of
from tests.contract.kubernetes_samples import (
    HIDDEN,
    OUTSIDE,
    SAMPLES,
    SCALED,
    container,
    controllers,
    every,
    keepers,
    of_kind,
    plan,
    pod,
    rendered,
    template,
    values,
)
from tests.contract.kubernetes_target import cores, expand
from tests.samples import PROGRAMS

pytestmark = pytest.mark.usefixtures("components")

# The oldest version that `up` takes, and the newest whose schemas there are.
VERSIONS = ("1.30", "1.37")
ISTIO_AND_GATEWAY = ("security.istio.io/", "gateway.networking.k8s.io/")


@pytest.fixture(params=SAMPLES, ids=str)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(SAMPLES[request.param])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(config: dict[str, Any], version: str) -> None:
    checked = 0
    for manifest in every(config):
        if not manifest["apiVersion"].startswith(ISTIO_AND_GATEWAY):
            kubernetes_validate.validate(manifest, version, strict=True)
            checked += 1
    assert checked > 15


def test_the_schemas_refuse_what_is_wrong() -> None:
    broken = json.loads(json.dumps(controllers(every({}))["mlflow"]))
    pod(broken)["containers"][0]["imagePullPolicie"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


def test_every_pod_meets_the_restricted_standard(config: dict[str, Any]) -> None:
    """Kubernetes documentation, "Pod Security Standards", profile Restricted."""
    for name, keeper in keepers(every(config)).items():
        spec, only = pod(keeper), container(keeper)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert only["securityContext"]["allowPrivilegeEscalation"] is False
        assert only["securityContext"]["readOnlyRootFilesystem"] is True
        assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        kinds = {key for volume in spec["volumes"] for key in volume if key != "name"}
        assert kinds <= {"persistentVolumeClaim", "emptyDir", "configMap", "secret"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not any("hostPort" in port for port in only["ports"])


def test_no_pod_holds_a_token_or_variables_of_services(config: dict[str, Any]) -> None:
    manifests = every(config)
    accounts = of_kind(manifests, "ServiceAccount")
    for name, keeper in keepers(manifests).items():
        assert pod(keeper)["automountServiceAccountToken"] is False
        assert pod(keeper)["enableServiceLinks"] is False
        assert pod(keeper)["serviceAccountName"] == name
        assert accounts[name]["automountServiceAccountToken"] is False


def test_scratch_directories_are_in_memory_and_bounded(config: dict[str, Any]) -> None:
    for workload in plan(config).workloads:
        keeper = keepers(every(config))[workload.name]
        spec = pod(keeper)
        mounted = {m["mountPath"]: m["name"] for m in container(keeper)["volumeMounts"]}
        for path in workload.writable:
            volume = next(v for v in spec["volumes"] if v["name"] == mounted[path])
            assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "256Mi"}


def test_what_a_pod_refers_to_is_there(config: dict[str, Any]) -> None:
    manifests = every(config)
    given = plan(config).options.storage.claims.values()
    secrets, maps = of_kind(manifests, "Secret"), of_kind(manifests, "ConfigMap")
    claims = {*of_kind(manifests, "PersistentVolumeClaim"), *given}
    there = {(kept.name, kept.key) for workload in plan(config).workloads for kept in workload.kept}
    for keeper in keepers(manifests).values():
        for variable in container(keeper)["env"]:
            if "valueFrom" in variable:
                wanted = variable["valueFrom"]["secretKeyRef"]
                if (wanted["name"], wanted["key"]) not in there:
                    assert wanted["key"] in secrets[wanted["name"]]["stringData"]
        keys: dict[str, set[str]] = {}
        for volume in pod(keeper)["volumes"]:
            if "configMap" in volume:
                keys[volume["name"]] = set(maps[volume["configMap"]["name"]]["data"])
            if "secret" in volume:
                keys[volume["name"]] = set(secrets[volume["secret"]["secretName"]]["stringData"])
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        for mount in container(keeper)["volumeMounts"]:
            if "subPath" in mount:
                assert mount["subPath"] in keys[mount["name"]]
                assert mount["readOnly"] is True


def test_who_applies_the_files_leaves_data_that_they_no_longer_name(config: dict[str, Any]) -> None:
    files = rendered(config)
    for manifest in (*files.namespace, *files.objects):
        annotations = manifest["metadata"].get("annotations", {})
        holds = manifest["kind"] in ("Namespace", "PersistentVolumeClaim", "Cluster")
        assert (annotations.get("argocd.argoproj.io/sync-options") == "Prune=false,Delete=false") == holds, manifest[
            "kind"
        ]
        assert (annotations.get("kustomize.toolkit.fluxcd.io/prune") == "disabled") == holds, manifest["kind"]


def test_services_lead_to_their_pods(config: dict[str, Any]) -> None:
    manifests = every(config)
    for name, service in of_kind(manifests, "Service").items():
        controller = controllers(manifests)[name]
        labels = controller["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        assert controller["spec"]["selector"]["matchLabels"].items() <= labels.items()
        (workload,) = [w for w in plan(config).workloads if w.name == name]
        # Whoever may ask a waypoint for a Service reaches all of its ports.
        hidden = {p.name for p in workload.ports if p.metrics and workload in plan(config).guarded}
        listening = {p["name"]: p["containerPort"] for p in container(controller)["ports"] if p["name"] not in hidden}
        assert {p["targetPort"]: p["port"] for p in service["spec"]["ports"]} == listening
        spoken = {p.name: p.protocol for p in workload.ports if p.name not in hidden}
        assert {p["name"]: p["appProtocol"] for p in service["spec"]["ports"]} == spoken


def test_only_the_private_file_holds_values(config: dict[str, Any]) -> None:
    files = rendered(config).files()
    for name, text in files.items():
        assert (HIDDEN in text) == (name == SECRETS_FILE)
    for value in values(config).values():
        if value != values(config)["kubernetes-name-key"]:
            assert value in files[SECRETS_FILE]


def test_a_changed_secret_rolls_exactly_the_pods_that_read_it() -> None:
    before, after = every({}), [*rendered({}, {"redis-password": "another"}).objects]
    templates = {name: template(keeper) for name, keeper in keepers(before).items()}
    changed = {name for name, keeper in keepers(after).items() if template(keeper) != templates[name]}
    readers = {w.name for w in plan({}).workloads if "redis-password" in {secret.name for secret in w.secrets}}
    assert changed == readers >= {"redis", "mlflow"}


def test_a_name_tells_nothing_of_a_secret_without_the_key() -> None:
    plain = of_kind([*rendered({}).secrets], "Secret")
    keyed = of_kind([*rendered({}, {"kubernetes-name-key": "another"}).secrets], "Secret")
    assert set(plain) & set(keyed) == {"mlflow-oauth-secret"}


def test_workload_secrets_are_immutable_and_the_named_one_is_not() -> None:
    secrets = of_kind(every({}), "Secret")
    assert {name for name, secret in secrets.items() if not secret.get("immutable")} == {"mlflow-oauth-secret"}
    assert set(secrets["mlflow-oauth-secret"]["stringData"]) == {
        "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_TOKEN_URL", "OIDC_CLUSTER_TOKEN_URL"
    }  # fmt: skip


def test_variables_arrive_as_they_are(config: dict[str, Any]) -> None:
    for workload in plan(config).workloads:
        found = {e["name"]: e.get("value") for e in container(keepers(every(config))[workload.name])["env"]}
        plain = {name: value for name, value in found.items() if name in workload.env}
        assert {name: expand(value or "") for name, value in plain.items()} == dict(workload.env)
        assert set(workload.secret_env) <= set(found)
        own = {name for name, text in workload.secret_env.items() if not text.kept}
        assert {name for name in own if found[name] is None} == own


def test_a_restart_is_for_programs_that_are_dead_alone() -> None:
    """MLflow without its database is not ready; restarting it would not bring the database back."""
    for name, path in (("mlflow", "/health/live"), ("keycloak", "/health/live")):
        only = container(controllers(every({}))[name])
        assert only["livenessProbe"]["httpGet"]["path"] == path
        assert only["readinessProbe"]["httpGet"]["path"] == "/health/ready"
        assert only["startupProbe"]["httpGet"]["path"] == "/health/ready"


def test_replicas_roll_without_a_gap_and_a_claim_for_one_node_is_never_held_twice() -> None:
    assert controllers(every({}))["mlflow"]["spec"]["strategy"] == {"type": "Recreate"}
    rolling = controllers(every(SCALED))["mlflow"]["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 0, "maxSurge": 1}


def test_what_scales_by_itself_has_no_fixed_number() -> None:
    made = every(SCALED)
    assert "replicas" not in controllers(made)["mlflow"]["spec"]
    scaler = of_kind(made, "HorizontalPodAutoscaler")["mlflow"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    assert controllers(made)["keycloak"]["spec"]["replicas"] == 2
    assert not of_kind(every({}), "HorizontalPodAutoscaler")


def test_another_replica_comes_at_a_load_that_one_can_have_and_that_an_idle_one_has_not() -> None:
    made = every(SCALED)
    spec = of_kind(made, "HorizontalPodAutoscaler")["mlflow"]["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mlflow"}
    (metric,) = spec["metrics"]
    assert metric["resource"]["name"] == "cpu", (
        "memory that Python took is not given back, so it would never scale down"
    )
    assert metric["resource"]["target"]["type"] == "Utilization"
    percent = metric["resource"]["target"]["averageUtilization"]
    resources = container(controllers(made)["mlflow"])["resources"]
    promised, limit = (cores(resources[which]["cpu"]) for which in ("requests", "limits"))
    assert percent > 100, "what is promised is little, and spent by probes and page loads alone"
    assert promised * percent / 100 < limit, "no replica can ever use as much as would call for another"


def test_probes_have_the_patience_that_is_asked_for() -> None:
    services = [w for w in plan({}).workloads if isinstance(w.runs, Service)]
    assert {workload.name for workload in services} == set(controllers(every({})))
    for workload in services:
        probe, only = workload.service.probe, container(controllers(every({}))[workload.name])
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert only[kind]["timeoutSeconds"] == probe.timeout_seconds, kind
        for kind in ("livenessProbe", "readinessProbe"):
            assert only[kind]["periodSeconds"] == probe.interval_seconds, kind
        assert only["livenessProbe"]["failureThreshold"] == probe.failures
        startup = only["startupProbe"]["periodSeconds"] * only["startupProbe"]["failureThreshold"]
        assert startup >= max(workload.service.wait_seconds, probe.start_seconds), (
            f"a first start of {workload.name} would be ended in the midst"
        )


def test_servers_of_one_keycloak_reach_each_other() -> None:
    env = {e["name"]: e.get("value") for e in container(controllers(every(SCALED))["keycloak"])["env"]}
    assert env["KC_CACHE"] == "ispn"
    assert {p["port"] for p in of_kind(every(SCALED), "Service")["keycloak"]["spec"]["ports"]} >= {7800, 57800}


def test_every_object_carries_the_stack_and_stays_in_its_namespace(config: dict[str, Any]) -> None:
    names = set()
    for manifest in every(config):
        metadata = manifest["metadata"]
        assert metadata["labels"]["mlflow-sso.stack"] == "test"
        assert manifest["kind"] == "Namespace" or metadata["namespace"] == plan(config).namespace
        key = (manifest["kind"], metadata["name"])
        assert key not in names
        names.add(key)


def test_a_namespace_of_its_own_is_guarded_and_in_the_mesh() -> None:
    (own,) = rendered({}).namespace
    assert own["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert own["metadata"]["labels"]["istio.io/dataplane-mode"] == "ambient"
    assert not rendered(OUTSIDE).namespace
    for keeper in keepers(every(OUTSIDE)).values():
        assert template(keeper)["metadata"]["labels"]["istio.io/dataplane-mode"] == "ambient"


def test_people_come_in_by_the_hosts_of_their_urls() -> None:
    routes = of_kind(every(SCALED), "HTTPRoute")
    urls = {w.name: entrance.url for w in plan(SCALED).workloads for _, entrance in w.entrances}
    assert (urls["keycloak"], urls["mlflow"]) == ("https://sso.example.com", "https://mlflow.example.com")
    assert set(routes) == set(urls)
    for name, route in routes.items():
        assert route["spec"]["hostnames"] == [urlsplit(urls[name]).hostname]
        assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways", "sectionName": "https"}]
        (rule,) = route["spec"]["rules"]
        told = {h["name"]: h["value"] for f in rule["filters"] for h in f["requestHeaderModifier"]["set"]}
        assert told == {"X-Forwarded-Host": route["spec"]["hostnames"][0], "X-Forwarded-Port": str(port_of(urls[name]))}
        assert name not in PROGRAMS or told["X-Forwarded-Port"] == "443"
    config = {**SCALED, "mlflow": {**SCALED["mlflow"], "url": "https://mlflow.example.com:8443"}}
    (rule,) = of_kind(every(config), "HTTPRoute")["mlflow"]["spec"]["rules"]
    told = {h["name"]: h["value"] for h in rule["filters"][0]["requestHeaderModifier"]["set"]}
    assert told == {"X-Forwarded-Host": "mlflow.example.com", "X-Forwarded-Port": "8443"}
    ingresses = of_kind(every(OUTSIDE), "Ingress")
    assert ingresses["mlflow"]["spec"]["tls"] == [{"hosts": ["mlflow.example.com"], "secretName": "mlflow-tls"}]
    assert ingresses["keycloak"]["metadata"]["annotations"] == {"cert-manager.io/cluster-issuer": "letsencrypt"}
    assert ingresses["mlflow"]["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"


def test_below_a_path_the_rest_of_the_host_is_left_to_others() -> None:
    config = {**SCALED, "mlflow": {**SCALED["mlflow"], "url": "https://ml.example.com/mlflow"}}
    (rule,) = of_kind(every(config), "HTTPRoute")["mlflow"]["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/mlflow"}}]
    *_, rest = of_kind(every(config), "AuthorizationPolicy")["mlflow-requests"]["spec"]["rules"]
    (intake,) = rest["to"]
    assert {"/v1/traces", "/v1/traces/*", "/mlflow/v1/traces", "/mlflow/v1/traces/*"} == {
        *intake["operation"]["notPaths"]
    }


def test_an_address_for_administration_leaves_the_public_one_to_logins() -> None:
    def administered(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "keycloak": {**config["keycloak"], "adminUrl": "http://localhost:8081"}}

    paths = ["/realms", "/resources", "/.well-known"]
    routes = of_kind(every(administered(SCALED)), "HTTPRoute")
    matches = [match["path"] for rule in routes["keycloak"]["spec"]["rules"] for match in rule["matches"]]
    assert matches == [{"type": "PathPrefix", "value": path} for path in paths]
    assert "matches" not in routes["mlflow"]["spec"]["rules"][0]
    ingress = of_kind(every(administered(OUTSIDE)), "Ingress")["keycloak"]
    assert [path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]] == paths
    env = {e["name"]: e.get("value") for e in container(controllers(every(administered(SCALED)))["keycloak"])["env"]}
    assert env["KC_HOSTNAME_ADMIN"] == "http://localhost:8081"


def test_what_nothing_routes_to_is_forwarded() -> None:
    entrances = {(w.name, entrance.host_port) for w in plan({}).workloads for _, entrance in w.entrances}
    assert {(f.service, f.local) for f in plan({}).forwarded()} == entrances >= {("mlflow", 5000), ("keycloak", 8080)}
    assert plan(SCALED).forwarded() == ()
    for url, local in (("http://localhost:8081", 8081), ("https://admin.example.com", None)):
        config = {**SCALED, "keycloak": {**SCALED["keycloak"], "adminUrl": url}}
        assert [f.local for f in plan(config).forwarded()] == ([local] if local else [])


def test_images_are_named_as_the_registry_knows_them() -> None:
    images = {w.name: w.image for w in plan(SCALED).workloads}
    for name, keeper in keepers(every(SCALED)).items():
        assert container(keeper)["image"] == f"registry.example.com/ml/{images[name]}"


def test_the_files_are_plain_yaml(config: dict[str, Any]) -> None:
    for text in rendered(config).files().values():
        assert "&id" not in text, "aliases"
        for document in yaml.safe_load_all(text):
            assert document["kind"]
