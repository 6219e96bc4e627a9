"""MLflow below a path of its host: a person's login and page, MLflow's own client, and what stays with the path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.e2e.browser import chromium
from tests.e2e.harness import TIMEOUT, Client, Stack, free_ports, run_in

LOGIN = "Login with Keycloak"
# In the server's own image: a client with nothing but an address and a token.
LOG_A_RUN = """
import mlflow, pathlib
mlflow.set_experiment("below")
with mlflow.start_run() as run:
    mlflow.log_metric("accuracy", 0.75)
    mlflow.log_text("learnt", "notes/model.txt")
with mlflow.start_span("s"):
    pass
mlflow.flush_trace_async_logging()
assert len(mlflow.search_traces(experiment_ids=[run.info.experiment_id], return_type="list")) == 1
path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="notes/model.txt")
print(pathlib.Path(path).read_text())
"""


@pytest.fixture(scope="module")
def stack(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    (port,) = free_ports(1)
    mlflow = {"url": f"http://localhost:{port}/team/mlflow", "metrics": True}
    with Stack.make(engine, tmp_path_factory.mktemp("below"), mlflow=mlflow).running() as made:
        yield made


@pytest.fixture(scope="module")
def client(stack: Stack) -> Client:
    return Client(stack.outputs())


def test_a_person_logs_in_sees_the_page_and_logs_out(client: Client, tmp_path: Path) -> None:
    url = str(client.outputs["mlflow_url"])
    assert url.endswith("/team/mlflow")
    with chromium(tmp_path / "profile") as browser:
        browser.open(url)
        browser.click_text(LOGIN)
        browser.wait_url(client.outputs["issuer_url"])
        browser.log_in("alice", client.outputs["users"]["alice"]["password"])
        browser.wait_url(url)
        browser.wait_text("Experiments")
        browser.open(f"{url}/#/experiments")
        browser.wait_text("Time created")
        browser.click('[data-component-id="mlflow.assistant.chat_panel.close"]')
        browser.wait_text("Default")
        browser.wait_text("Alice Sample")
        asked = [urlsplit(address).path for address in browser.requests() if address.startswith(_origin(url))]
        assert [path for path in asked if not f"{path}/".startswith("/team/mlflow/")] == []
        assert any("/ajax-api/" in path for path in asked)
        paths = {cookie["path"] for cookie in browser.driver.get_cookies()}
        assert paths == {"/team/mlflow"}
        browser.click_text("Logout")
        browser.wait_text(LOGIN)
        assert browser.url.startswith(url)


def test_mlflows_own_client_works_with_the_address(client: Client, stack: Stack) -> None:
    token = client.password_token("bob")["access_token"]
    inside = "http://mlflow:5000" + urlsplit(client.outputs["mlflow_url"]).path
    said = run_in(
        stack.container("mlflow"), "python", "-c", LOG_A_RUN, MLFLOW_TRACKING_URI=inside, MLFLOW_TRACKING_TOKEN=token
    )
    assert said.split()[-1] == "learnt"


def test_a_login_that_is_kept_serves_the_address(stack: Stack, client: Client, tmp_path: Path) -> None:
    url, password = client.outputs["mlflow_url"], client.outputs["users"]["bob"]["password"]
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": url}

    def sso(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = (str(Path(sys.executable).with_name("mlflow-sso")), *words)
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False, env=env)

    done = sso("login", "--url", url, "--username", "bob", "--password-stdin", given=password + "\n")
    assert done.returncode == 0, done.stderr
    token = sso("token").stdout.strip()
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{url}/api/2.0/mlflow/users/current", headers=headers, timeout=TIMEOUT).status_code == 200
    assert client.mlflow("/health/ready").status_code == 200
    report = json.loads(stack.stackctl("doctor", "--output", "json", check=False).stdout)
    assert (report["healthy"], report["findings"]) == (True, [])


def test_metrics_are_at_their_own_port_and_not_at_the_address(client: Client, stack: Stack) -> None:
    for path in ("/metrics", "/../../metrics"):
        assert client.mlflow(path).status_code == 404
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9464/metrics').read().decode())"
    said = run_in(stack.container("mlflow"), "python", "-c", ask)
    assert 'mlflow_sso_requests_total{kind="open",status="200"}' in said
    assert "mlflow_sso_turn_wait_seconds_bucket" in said


def _origin(url: str) -> str:
    return "{0.scheme}://{0.netloc}/".format(urlsplit(url))
