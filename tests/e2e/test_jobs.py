"""Judges run as jobs beside the server: with the rights of whoever starts them, seen and ended by whom that concerns.

A model provider that this module runs stands behind the AI gateway, and keeps a call waiting where a test says so.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from mlflow_sso.jobs.tickets import ticket

from tests.e2e.asking import AJAX3, V3, Person, new_trace, person
from tests.e2e.harness import TIMEOUT, Client, Stack, docker, eventually, gateway, inspect, run_in

pytestmark = pytest.mark.e2e
GATEWAY = f"{V3}/gateway"
GRANTS = "/api/2.0/mlflow/permissions/users"
JOBS = "/ajax-api/3.0/jobs"
RUNNER = "mlflow-jobs"
OVER = ("SUCCEEDED", "FAILED", "TIMEOUT", "CANCELED")
SAID = {"result": "yes", "rationale": "the provider said so"}
PLAIN = {"groups": ["mlflow-users"], "email": "carol@example.com", "firstName": "Carol", "lastName": "Plain"}


@dataclass
class Provider:
    """A provider of models as OpenAI's API has it. open: whether it answers; calls: how many came."""

    url: str = ""
    open: threading.Event = field(default_factory=threading.Event)
    calls: int = 0


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    found = Provider()
    found.open.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.calls += 1
            found.open.wait(300)
            message = {"role": "assistant", "content": json.dumps(SAID)}
            answer = {"id": "x", "object": "chat.completion", "created": 1, "model": asked["model"]}
            answer["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
            answer["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Whoever was ended while it waited reads no answer."""

    with Server((gateway(), 0), Handler) as server:
        found.url = f"http://{gateway()}:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        found.open.set()
        server.shutdown()


@pytest.fixture(scope="module")
def stack(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    allowed = {"ALLOW_PRIVATE_IPS": "true", "ALLOWED_SCHEMES": "http,https"}
    env = {f"MLFLOW_GATEWAY_API_BASE_{name}": value for name, value in allowed.items()}
    host, port = provider.url.removeprefix("http://").removesuffix("/v1").split(":")
    mlflow = {"jobs": {"workers": 2}, "env": env, "egress": [{"host": host, "port": int(port)}]}
    realm = {
        "users": [{"username": "carol", **PLAIN}],
        "serviceAccounts": [{"clientId": "ci", "groups": PLAIN["groups"]}],
    }
    with Stack.make("compose", tmp_path_factory.mktemp("jobs"), mlflow=mlflow, realm=realm).running() as made:
        yield made


@pytest.fixture(scope="module")
def client(stack: Stack) -> Client:
    return Client(stack.outputs())


@pytest.fixture
def bob(client: Client) -> Person:
    return person(client, "bob")


@pytest.fixture
def alice(client: Client) -> Person:
    return person(client, "alice")


@pytest.fixture
def carol(client: Client) -> Person:
    return person(client, "carol")


@pytest.fixture(scope="module")
def endpoint(client: Client, provider: Provider) -> str:
    """An endpoint of the AI gateway that bob made."""
    bob, name = person(client, "bob"), f"judge-{secrets.token_hex(4)}"
    secret = {"secret_name": name, "provider": "openai", "secret_value": {"api_key": "sk-of-bob"}}
    kept = bob.must("POST", f"{GATEWAY}/secrets/create", {**secret, "auth_config": {"api_base": provider.url}})
    model = {"name": name, "secret_id": kept["secret"]["secret_id"], "provider": "openai", "model_name": "gpt"}
    number = bob.must("POST", f"{GATEWAY}/model-definitions/create", model)["model_definition"]["model_definition_id"]
    models = [{"model_definition_id": number, "linkage_type": "PRIMARY", "weight": 1.0}]
    bob.must("POST", f"{GATEWAY}/endpoints/create", {"name": name, "model_configs": models})
    return name


@dataclass(frozen=True)
class Judged:
    """An experiment with one trace, which its maker has judged."""

    experiment: str
    trace: str

    def start(self, by: Person, model: str) -> Any:
        """Asks for a judge on the trace."""
        body = {"experiment_id": self.experiment, "trace_ids": [self.trace], "serialized_scorer": judge(model)}
        return by.ask("POST", f"{AJAX3}/scorer/invoke", {**body, "log_assessments": True})

    def job(self, by: Person, model: str) -> str:
        answer = self.start(by, model)
        assert answer.status_code == 200, answer.text
        (job,) = answer.json()["jobs"]
        return str(job["job_id"])


def judge(model: str) -> str:
    """What MLflow's `make_judge(...).model_dump_json()` gives (3.17.2)."""
    own = {"instructions": "Is {{ outputs }} good for {{ inputs }}?", "model": model}
    made = {"name": "good", "aggregations": [], "is_session_level_scorer": False, "mlflow_version": "3.17.2"}
    made |= {"serialization_version": 1, "timeout": 0}
    typed = {"feedback_value_type": {"title": "Result", "type": "string"}}
    return json.dumps({**made, "instructions_judge_pydantic_data": {**own, **typed}})


def judged(maker: Person) -> Judged:
    experiment, trace, now = maker.experiment(), new_trace(), time.time_ns()
    values = {"mlflow.spanInputs": '{"q": "what?"}', "mlflow.spanOutputs": '"an answer"'}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
    span = {"traceId": trace.removeprefix("tr-"), "spanId": secrets.token_hex(8), "name": "s", "kind": 1}
    span |= {"startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 1), "attributes": attributes}
    body = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]}
    headers = {"X-Mlflow-Experiment-Id": experiment, "Content-Type": "application/json"}
    assert maker.headed(headers, "/v1/traces", json.dumps(body).encode()).status_code == 200
    return Judged(experiment, trace)


def use(alice: Person, name: str, endpoint: str) -> None:
    """Lets somebody use an endpoint; that of whoever made it is an administrator's to grant."""
    path = f"{GRANTS}/{name}/gateways/endpoints/{endpoint}"
    assert alice.ask("POST", path, {"permission": "USE"}).status_code == 201


def look(who: Person, job: str) -> dict[str, Any]:
    return who.must("GET", f"{JOBS}/{job}")


def ended(who: Person, job: str) -> dict[str, Any]:
    return eventually(lambda: look(who, job), lambda seen: seen["status"] in OVER, f"job {job}", 300)


def running(who: Person, job: str, provider: Provider, calls: int) -> None:
    """Waits until the job's call of its model waits at the provider."""
    eventually(lambda: provider.calls, lambda now: now > calls, "a call of the model", 300)
    assert look(who, job)["status"] == "RUNNING"


@pytest.fixture
def held(provider: Provider) -> Iterator[Callable[[Person, str], None]]:
    """From now on calls of the model wait. It waits for that of a job."""
    before = provider.calls
    provider.open.clear()
    yield lambda who, job: running(who, job, provider, before)
    provider.open.set()


def test_a_judge_runs_and_signs_what_it_found(bob: Person, endpoint: str) -> None:
    place = judged(bob)
    seen = ended(bob, place.job(bob, f"gateway:/{endpoint}"))
    assert (seen["status"], seen["creator"]) == ("SUCCEEDED", "bob"), seen
    result = seen["result"][place.trace]
    assert result["failures"] == []
    assert result["assessments"][0]["feedback"]["value"] == SAID["result"]
    (noted,) = bob.must("GET", f"{V3}/traces/{place.trace}")["trace"]["trace_info"]["assessments"]
    assert (noted["assessment_name"], noted["source"]["source_type"]) == ("good", "LLM_JUDGE")


def test_an_evaluation_ends_in_its_run(bob: Person, endpoint: str) -> None:
    place = judged(bob)
    body = {"experiment_id": place.experiment, "trace_ids": [place.trace]}
    body["serialized_scorers"] = [judge(f"gateway:/{endpoint}")]
    made = bob.must("POST", f"{AJAX3}/genai/evaluate/invoke", body)
    seen = ended(bob, made["job_id"])
    assert seen["status"] == "SUCCEEDED", seen
    run = bob.must("GET", f"/api/2.0/mlflow/runs/get?run_id={made['run_id']}")["run"]
    assert run["info"]["status"] == "FINISHED"


def test_others_neither_see_nor_end_a_job_and_readers_of_its_experiment_see_it(
    bob: Person, carol: Person, endpoint: str, provider: Provider, held: Callable[[Person, str], None]
) -> None:
    place = judged(bob)
    job = place.job(bob, f"gateway:/{endpoint}")
    held(bob, job)
    for method, path in (
        ("GET", f"{JOBS}/{job}"),
        ("PATCH", f"{JOBS}/cancel/{job}"),
        ("GET", f"{AJAX3}/jobs/{job}"),
        ("PATCH", f"{AJAX3}/jobs/cancel/{job}"),
    ):
        answer = carol.ask(method, path)
        assert answer.status_code == 403, f"{method} {path}: {answer.text}"
        assert place.trace not in answer.text
    assert carol.must("POST", f"{JOBS}/search", {})["jobs"] == []
    assert job in [each["job_id"] for each in bob.must("POST", f"{JOBS}/search", {})["jobs"]]
    bob.must("POST", f"{GRANTS}/carol/experiments/{place.experiment}", {"permission": "READ"})
    assert carol.must("GET", f"{AJAX3}/jobs/{job}")["status"] == "RUNNING"
    assert carol.ask("PATCH", f"{AJAX3}/jobs/cancel/{job}").status_code == 403
    provider.open.set()
    assert ended(bob, job)["status"] == "SUCCEEDED"


def test_a_job_that_is_cancelled_ends(
    stack: Stack, bob: Person, endpoint: str, held: Callable[[Person, str], None]
) -> None:
    job = judged(bob).job(bob, f"gateway:/{endpoint}")
    held(bob, job)
    bob.must("PATCH", f"{JOBS}/cancel/{job}")
    assert look(bob, job)["status"] == "CANCELED"
    eventually(lambda: processes(stack, job), lambda found: found == [], "the end of its process")


def processes(stack: Stack, job: str) -> list[str]:
    """The environments of the processes that work for a job."""
    script = 'for at in /proc/[0-9]*; do tr "\\0" "\\n" < $at/environ 2> /dev/null; echo; done; true'
    told = run_in(stack.container(RUNNER), "bash", "-c", script)
    return [each for each in told.split("\n\n") if f"_MLFLOW_SERVER_JOB_ID={job}" in each]


def test_a_judge_calls_no_model_that_its_starter_may_not_call(
    alice: Person, carol: Person, endpoint: str, provider: Provider
) -> None:
    place, before = judged(carol), provider.calls
    seen = ended(carol, place.job(carol, f"gateway:/{endpoint}"))
    assert seen["result"][place.trace]["failures"], seen
    assert provider.calls == before
    use(alice, "carol", endpoint)
    seen = ended(carol, place.job(carol, f"gateway:/{endpoint}"))
    assert seen["result"][place.trace]["failures"] == [], seen


def test_a_service_account_has_traces_judged(client: Client, alice: Person, endpoint: str) -> None:
    given = {"client_id": "ci", "client_secret": client.outputs["service_accounts"]["ci"]["client_secret"]}
    answer = client.grant(grant_type="client_credentials", scope="openid", **given)
    account = Person("service-account-ci", client, str(answer.json()["access_token"]))
    place = judged(account)
    use(alice, account.name, endpoint)
    seen = ended(account, place.job(account, f"gateway:/{endpoint}"))
    assert (seen["creator"], seen["result"][place.trace]["failures"]) == (account.name, [])


def test_what_a_job_shows_the_gateway_is_good_there_alone_and_while_it_runs(
    stack: Stack, bob: Person, endpoint: str, provider: Provider, held: Callable[[Person, str], None]
) -> None:
    job = judged(bob).job(bob, f"gateway:/{endpoint}")
    held(bob, job)
    (told,) = processes(stack, job)
    assert "MLFLOW_SSO_JOBS_KEY" not in told
    own = next(line.split("=", 1)[1] for line in told.splitlines() if line.startswith("MLFLOW_TRACKING_PASSWORD="))
    key = next(v for v in inspect(stack.container("mlflow"))["Config"]["Env"] if v.startswith("MLFLOW_SSO_JOBS_KEY="))
    assert own == ticket(key.split("=", 1)[1], job)

    def ask(path: str, password: str = own) -> int:
        body = {"model": endpoint, "messages": [{"role": "user", "content": "x"}]}
        url = f"{bob.client.outputs['mlflow_url']}{path}"
        return requests.post(url, json=body, auth=("alice", password), timeout=TIMEOUT).status_code

    chat = "/gateway/mlflow/v1/chat/completions"
    assert ask("/api/2.0/mlflow/experiments/search") == 401
    assert ask(f"{JOBS}/search") == 401
    assert ask(chat, ticket("another key", job)) == 401
    provider.open.set()
    assert ended(bob, job)["status"] == "SUCCEEDED"
    assert ask(chat) == 401


def test_a_job_that_a_restart_interrupts_starts_again(
    stack: Stack, bob: Person, endpoint: str, provider: Provider, held: Callable[[Person, str], None]
) -> None:
    job = judged(bob).job(bob, f"gateway:/{endpoint}")
    held(bob, job)
    docker("restart", "--time", "20", stack.container(RUNNER))
    provider.open.set()
    assert ended(bob, job)["status"] == "SUCCEEDED"


def test_what_jobs_do_not_do_is_refused_as_it_is_asked_for(bob: Person, endpoint: str) -> None:
    place = judged(bob)
    past = place.start(bob, "openai:/gpt-4o")
    assert (past.status_code, "AI gateway alone" in past.text) == (400, True), past.text
    issues = {"experiment_id": place.experiment, "trace_ids": [place.trace], "categories": ["correctness"]}
    answer = bob.ask("POST", f"{AJAX3}/issues/invoke", {**issues, "provider": "openai", "endpoint_name": endpoint})
    assert answer.status_code == 200, "after a refusal the thread takes another"
    scorer = {"experiment_id": place.experiment, "name": "good"}
    bob.must("POST", f"{V3}/scorers/register", {**scorer, "serialized_scorer": judge(f"gateway:/{endpoint}")})
    online = bob.ask("PUT", f"{AJAX3}/scorers/online-config", {**scorer, "sample_rate": 0.5})
    assert (online.status_code, "by themselves" in online.text) == (400, True), online.text
    assert bob.ask("PUT", f"{AJAX3}/scorers/online-config", {**scorer, "sample_rate": 0}).status_code == 200


def test_the_container_of_jobs_is_hardened_and_holds_two_secrets(stack: Stack) -> None:
    # The test before started it again.
    found = eventually(
        lambda: inspect(stack.container(RUNNER)), lambda it: it["State"]["Health"]["Status"] == "healthy", "it is well"
    )
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    names = {variable.split("=", 1)[0] for variable in found["Config"]["Env"]}
    assert not {name for name in names if name.startswith("OIDC_") or "KEK" in name or "SECRET" in name}
    assert stack.stackctl("doctor", check=False).returncode == 0
