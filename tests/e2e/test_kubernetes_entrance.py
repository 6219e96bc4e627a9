"""People come in by the public https URLs: through a Gateway, then through an Ingress in its place.

The realm is managed by the engine at an address of its own, so the public one serves nothing but logins.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from stackctl.engines import pulumi_cli
from tests.e2e.cluster import cluster_or_skip, get, has_istio, kubectl, until
from tests.e2e.entrance import CERTIFICATE, GATEWAY, Entrance, create_certificate, entrance, resolving
from tests.e2e.envoy import envoy_or_skip
from tests.e2e.harness import TIMEOUT, Client, Stack, free_ports
from tests.e2e.login import submit_login

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=10"
EVIL = "evil.example"
# Seconds that a slow download takes.
SLOW = 35


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrance]:
    cluster_or_skip()
    if not has_istio():
        pytest.skip("this cluster has no Istio, the controller that serves the routes here")
    envoy_or_skip()
    with entrance(tmp_path_factory.mktemp("edge")) as made, resolving(made.hosts, made.ca_file):
        yield made


@pytest.fixture(scope="module")
def stack(edge: Entrance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    trusted = {"trustedProxies": [edge.proxies]}
    (admin,) = free_ports(1)
    made = Stack.make(
        "render" if pulumi_cli.unavailable("kubernetes") else "pulumi",
        tmp_path_factory.mktemp("exposed"),
        platform="kubernetes",
        mlflow={"url": edge.url(0), "tls": trusted},
        keycloak={"url": edge.url(1), "adminUrl": f"http://localhost:{admin}", "tls": trusted},
    )
    try:
        yield made
    finally:
        # `destroy` has tests of its own, and waits for programs whose connections the Envoy holds.
        kubectl("delete", "namespace", made.physical, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module", params=["gateway", "ingress"])
def way(request: pytest.FixtureRequest, edge: Entrance, stack: Stack) -> str:
    """The stack, served that way."""
    kind = str(request.param)
    where = (
        {"gateway": {"name": GATEWAY, "namespace": edge.namespace, "section": "https"}}
        if kind == "gateway"
        else {"ingress": {"className": edge.ingress_class, "namespace": edge.namespace, "tlsSecret": CERTIFICATE}}
    )
    # Nothing runs as the mesh's proxies here, and in the mesh a gateway's requests go through the waypoint.
    stack.config["kubernetes"] = {"mesh": {"enabled": False}, **where}
    stack.up()
    if kind == "ingress":
        create_certificate(stack.physical, edge.ca_file.parent)
    edge.serve(kind, stack.physical)
    until(lambda: _answers(edge.url(0)) and _answers(edge.url(1)), f"both URLs by {kind}", 180)
    return kind


@pytest.fixture
def client(way: str, stack: Stack) -> Client:
    return Client(stack.outputs())


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5, allow_redirects=False).status_code < 500
    except requests.ConnectionError:
        return False


def test_a_browser_logs_in_by_the_public_urls(edge: Entrance, client: Client) -> None:
    mlflow, keycloak = edge.url(0), edge.url(1)
    browser = requests.Session()
    asked = browser.get(f"{mlflow}/login", allow_redirects=False, timeout=TIMEOUT)
    login = asked.headers["location"]
    assert login.startswith(f"{keycloak}/realms/mlflow/protocol/openid-connect/auth?")
    assert parse_qs(urlsplit(login).query)["redirect_uri"] == [f"{mlflow}/callback"]
    password = client.outputs["users"]["alice"]["password"]
    answer = submit_login(browser, login, {}, "alice", password)
    assert answer.headers["location"].startswith(f"{mlflow}/callback?")
    landed = browser.get(answer.headers["location"], timeout=TIMEOUT)
    assert landed.status_code == 200, landed.text[:300]
    assert landed.url.startswith(mlflow)
    found = browser.get(f"{mlflow}{SEARCH}", timeout=TIMEOUT)
    assert "Default" in [e["name"] for e in found.json()["experiments"]]
    kept = browser.get(f"{mlflow}/oidc/ui/", allow_redirects=True, timeout=TIMEOUT)
    assert kept.status_code == 200


def test_cookies_travel_over_https_alone(edge: Entrance, client: Client) -> None:
    for url in (f"{edge.url(0)}/login", _authorization(edge)):
        answer = requests.get(url, allow_redirects=False, timeout=TIMEOUT)
        cookies = answer.raw.headers.getlist("set-cookie")
        assert cookies, url
        for cookie in cookies:
            assert "secure" in cookie.lower(), cookie
        if url.startswith(edge.url(0)):
            assert all("httponly" in cookie.lower() for cookie in cookies), cookies


def _authorization(edge: Entrance) -> str:
    login = requests.get(f"{edge.url(0)}/login", allow_redirects=False, timeout=TIMEOUT)
    return login.headers["location"]


def test_tokens_of_the_public_issuer_are_let_in_and_nobody_is_without_one(
    way: str, edge: Entrance, client: Client
) -> None:
    found = requests.get(f"{client.outputs['issuer_url']}/.well-known/openid-configuration", timeout=TIMEOUT).json()
    assert found["issuer"] == f"{edge.url(1)}/realms/mlflow"
    # An Ingress says nothing of ports, and istiod's proxy tells none.
    origin = edge.url(1) if way == "gateway" else f"https://{edge.hosts[1]}"
    assert found["token_endpoint"].startswith(origin)
    token = client.password_token("alice")["access_token"]
    answer = client.mlflow(SEARCH, token)
    assert answer.status_code == 200, answer.text
    for anonymous in (client.mlflow(SEARCH), client.mlflow("/v1/traces", method="POST")):
        assert anonymous.status_code == 401


def test_a_large_artifact_comes_and_goes_however_long_it_takes(way: str, edge: Entrance, client: Client) -> None:
    """Proxies bound sizes, and the time of a whole answer: Envoy by 15 s where nobody tells it otherwise."""
    token = client.password_token("alice")["access_token"]
    api = "/api/2.0/mlflow"
    named = {"name": f"large-{way}"}
    experiment = client.mlflow(f"{api}/experiments/create", token, "POST", json=named).json()["experiment_id"]
    made = {"experiment_id": experiment, "start_time": 1}
    run = client.mlflow(f"{api}/runs/create", token, "POST", json=made).json()["run"]["info"]["run_id"]
    url = f"{edge.url(0)}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/large.bin"
    piece, count = os.urandom(1 << 20), 300
    headers = {"Authorization": f"Bearer {token}"}
    put = requests.put(url, data=(piece for _ in range(count)), headers=headers, timeout=TIMEOUT)
    assert put.status_code == 200, put.text
    started, seen = time.monotonic(), hashlib.sha256()
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        assert answer.status_code == 200
        for number, part in enumerate(answer.iter_content(1 << 20)):
            seen.update(part)
            # Slower than what any default gives a whole answer.
            time.sleep(max(0.0, started + number * SLOW / count - time.monotonic()))
    assert seen.digest() == hashlib.sha256(piece * count).digest()
    assert time.monotonic() - started > SLOW * 0.9


def test_what_a_caller_says_of_itself_changes_no_address(way: str, edge: Entrance, client: Client) -> None:
    said = {
        "X-Forwarded-Host": EVIL, "X-Forwarded-Proto": "http", "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil", "Forwarded": f"host={EVIL}",
    }  # fmt: skip
    for url in (f"{edge.url(0)}/login", edge.url(0), _authorization(edge), f"{edge.url(1)}/realms/mlflow/account"):
        answer = requests.get(url, headers=said, allow_redirects=False, timeout=TIMEOUT)
        assert EVIL not in str(answer.headers), url
        assert EVIL not in answer.text
        assert not answer.headers.get("location", "").startswith("http://")
    found = requests.get(
        f"{client.outputs['issuer_url']}/.well-known/openid-configuration", headers=said, timeout=TIMEOUT
    )
    # Where the route cannot set these headers, the controller has to (docs/guides/kubernetes.md).
    assert way == "ingress" or EVIL not in found.text
    # A name that no route has is nobody's.
    assert requests.get(edge.url(0), headers={"Host": EVIL}, timeout=TIMEOUT).status_code == 404


def test_nothing_else_of_keycloak_is_open(edge: Entrance, stack: Stack, client: Client) -> None:
    for path in ("/", "/admin/", "/admin/master/console/", "/admin/realms", "/metrics", "/health", "/health/ready"):
        answer = requests.get(edge.url(1) + path, allow_redirects=False, timeout=TIMEOUT)
        assert answer.status_code == 404, path
    assert requests.get(f"{edge.url(0)}/metrics", timeout=TIMEOUT, allow_redirects=False).status_code != 200
    admin = stack.config["keycloak"]["adminUrl"]
    assert requests.get(f"{admin}/admin/master/console/", timeout=TIMEOUT).status_code == 200
    led = requests.get(f"{admin}/admin/", timeout=TIMEOUT, allow_redirects=False)
    assert led.headers["location"].startswith(admin)
    # The operator's own commands use that address too.
    assert "alice" in stack.stackctl("users").stdout


def test_a_second_up_changes_nothing(way: str, stack: Stack, client: Client) -> None:
    def pods() -> set[str]:
        # Those of a job come and go.
        items = get("pods", "-n", stack.physical, "-l", "!batch.kubernetes.io/job-name")["items"]
        return {item["metadata"]["uid"] for item in items}

    before = pods()
    stack.up()
    assert pods() == before
