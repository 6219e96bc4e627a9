"""People who ask a stack's MLflow, each with a token of their own, and what they made there."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import requests

from tests.e2e.harness import TIMEOUT, Client

V2, V3, AJAX2, AJAX3 = (f"/{prefix}/mlflow" for prefix in ("api/2.0", "api/3.0", "ajax-api/2.0", "ajax-api/3.0"))
GRAPHQL = "/graphql"


@dataclass(frozen=True)
class Person:
    """Somebody who is logged in."""

    name: str
    client: Client
    token: str

    @property
    def authorization(self) -> str:
        """The header by which this person is known, for what Client.mlflow does not send."""
        return f"Bearer {self.token}"

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        if body is not None:
            more["json"] = body
        return self.client.mlflow(path, self.token, method, **more)

    def headed(self, headers: dict[str, str], path: str, body: bytes | None = None) -> requests.Response:
        """Asks with headers of one's own, which Client.mlflow does not send; a body is POSTed."""
        return requests.request(
            "GET" if body is None else "POST",
            f"{self.client.outputs['mlflow_url']}{path}",
            data=body,
            headers={**headers, "Authorization": self.authorization},
            timeout=TIMEOUT,
        )

    def must(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """The JSON of an answer that has to be a good one."""
        answer = self.ask(method, path, body, **more)
        assert answer.status_code in (200, 201), f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return dict(answer.json()) if answer.content else {}

    def experiment(self, **more: Any) -> str:
        """A new experiment; its id."""
        name = f"{self.name}-{secrets.token_hex(6)}"
        return str(self.must("POST", f"{V2}/experiments/create", {"name": name, **more})["experiment_id"])

    def run(self, experiment: str, name: str = "a-run") -> str:
        """A new run with a parameter, a metric and a tag; its id."""
        body = {"experiment_id": experiment, "run_name": name, "start_time": int(time.time() * 1000)}
        run = str(self.must("POST", f"{V2}/runs/create", body)["run"]["info"]["run_id"])
        self.must("POST", f"{V2}/runs/log-parameter", {"run_id": run, "key": "p", "value": name})
        self.must("POST", f"{V2}/runs/log-metric", {"run_id": run, "key": "m", "value": 1.5, "timestamp": 1})
        self.must("POST", f"{V2}/runs/set-tag", {"run_id": run, "key": "t", "value": name})
        return run

    def trace(self, experiment: str, trace: str = "", **info: Any) -> requests.Response:
        """Asks to start a trace; what is answered."""
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
        given = {"trace_id": trace or new_trace(), "trace_location": location, "state": "OK"}
        given |= {"request_time": "2026-11-28T00:00:00Z", **info}
        return self.ask("POST", f"{V3}/traces", {"trace": {"trace_info": given}})

    def graphql(self, query: str, variables: Any = None) -> dict[str, Any]:
        return self.must("POST", GRAPHQL, {"query": query, "variables": variables})

    def put(self, path: str, data: bytes) -> None:
        """Puts a file below the artifact destination."""
        answer = self.ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", data=data)
        assert answer.status_code == 200, answer.text


def new_trace() -> str:
    return f"tr-{secrets.token_hex(16)}"


def person(client: Client, name: str) -> Person:
    return Person(name, client, str(client.password_token(name)["access_token"]))
