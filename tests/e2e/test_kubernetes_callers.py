"""Programs in the cluster beside the stack: tokens that they get inside, and the names by which they call MLflow."""

from __future__ import annotations

import json

from tests.e2e.cluster import JOBS, kubectl, namespace, run_pod, until
from tests.e2e.harness import Client, Stack

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=10"
JOB = """
import base64, json, os, time, urllib.error, urllib.parse, urllib.request

def ask(url, data=None, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()

form = {"grant_type": "client_credentials", "client_id": os.environ["CLIENT"], "client_secret": os.environ["SECRET"]}
status, body = ask(os.environ["TOKENS"], urllib.parse.urlencode(form).encode())
token = json.loads(body)["access_token"]
part = token.split(".")[1]
issuer = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["iss"]
said = {"issuer": issuer}
bearer = "Bearer " + token
for name in os.environ["NAMES"].split(","):
    said[name] = ask(f"http://{name}:5000{os.environ['SEARCH']}", Authorization=bearer)[0]
first = os.environ["NAMES"].split(",")[0]
for host in os.environ["HOSTS"].split(","):
    said["as " + host] = ask(f"http://{first}:5000{os.environ['SEARCH']}", Authorization=bearer, Host=host)[0]
print(json.dumps(said), flush=True)
time.sleep(600)
"""


def test_a_job_gets_tokens_inside_and_calls_mlflow_by_every_name_of_its_service(k8s: Stack, people: Client) -> None:
    own = k8s.physical
    names = [f"mlflow.{own}", f"mlflow.{own}.svc", f"mlflow.{own}.svc.cluster.local"]
    foreign = ["evil.example", "evil.example:5000", f"keycloak.{own}.svc:5000", f"mlflow.{own}.svc.evil.example:5000"]
    env = {
        "TOKENS": people.outputs["cluster_token_url"], "CLIENT": people.outputs["client_id"],
        "SECRET": people.outputs["client_secret"], "SEARCH": SEARCH, "NAMES": ",".join(names),
        "HOSTS": ",".join(["mlflow:5000", *foreign]),
    }  # fmt: skip
    with namespace(JOBS) as where:
        run_pod(where, "job", ["python", "-c", JOB], env)
        until(lambda: kubectl("logs", "-n", where, "job") != "", "the job's words", 60)
        said = json.loads(kubectl("logs", "-n", where, "job").splitlines()[-1])
    assert said.pop("issuer") == people.outputs["issuer_url"], "the issuer is the public one"
    for name in (*names, "as mlflow:5000"):
        assert said[name] == 200, said
    for host in foreign:
        assert 400 <= said[f"as {host}"] < 500, said
