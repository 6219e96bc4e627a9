"""The guard before MLflow: what it lets through, what it answers itself, and how much of a body it reads before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow_sso.asgi import Application
from mlflow_sso.guard import Errand, Guard, Limits, Origins, failures
from mlflow_sso.guard.answers import later
from mlflow_sso.guard.guard import ERRAND
from mlflow_sso.guard.stores import failed

from tests.unit.asgi_client import Answer, ask, echo, reply, run

MIB = 1 << 20
LIMITS = Limits(idle_seconds=0.2, request_bytes=4 * MIB, trace_bytes=8 * MIB, places=4, turns=3, turns_of_one=2)
ORIGINS = Origins(("ml.example.com", "*.svc"), ("https://portal.example.com",))
PUT = "/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/model.bin"
SEARCH = "/api/2.0/mlflow/runs/search"


def guard(app: Application = echo, limits: Limits = LIMITS, transfer: Any = None) -> Guard:
    return Guard(app, limits, ORIGINS, transfer)


def one(app: Application, *words: Any, **more: Any) -> Answer:
    return run(ask(app, *words, **more))


OPEN = ("/health", "/health/ready", "/healthz", "/metrics", "/login", "/callback", "/static-files/x.js", "/oidc/ui/",
        "/providers", "/docs", "/openapi.json", "/slo/x", "/saml/metadata/x", "/favicon.ico", "/logout")  # fmt: skip


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_what_anybody_may_see_can_only_be_read(path: str, method: str) -> None:
    answer = one(guard(), method, path, [b"x" * 100])
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize("headers", [{"content-length": "400000000"}, {"transfer-encoding": "chunked"}])
def test_nobody_sends_a_body_to_what_anybody_may_see(path: str, headers: dict[str, str]) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    answer = one(guard(app), "GET", path, [b"x" * MIB] * 50, headers=headers)
    assert answer.status == 413
    assert not seen


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
def test_a_query_is_short_since_each_of_its_words_becomes_hundreds_of_bytes(path: str) -> None:
    most = LIMITS.query_bytes
    assert one(guard(), "POST", path, [b" " * most]).status == 200
    answer = one(guard(), "POST", path, [b" " * most, b" "])
    assert (answer.status, answer.message) == (413, f"The body is larger than {most} bytes.")


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("POST", SEARCH, 4), ("POST", "/gateway/mlflow/v1/chat/completions", 4),
        ("PATCH", "/ajax-api/2.0/mlflow/runs/update", 4), ("POST", "/anything", 4), ("POST", "//api/2.0/x", 4),
        ("POST", "/api/2.0/mlflow/users/current/tokens", 1), ("POST", "/scim/v2/Users", 1),
        ("POST", "/oidc/trash/cleanup", 1), ("POST", "/ajax-api/2.0/mlflow/permissions/groups", 1),
        ("POST", "/v1/traces", 8), ("POST", "/api/3.0/mlflow/traces", 8),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tells", [True, False])
def test_a_body_has_the_length_of_its_kind_of_request_at_most(method: str, path: str, most: int, tells: bool) -> None:
    def asked(size: int) -> Answer:
        pieces = [b"x" * (MIB // 4)] * (size * 4 // MIB) + [b"x" * (size % (MIB // 4))]
        headers = {"content-length": str(size)} if tells else {"transfer-encoding": "chunked"}
        return one(guard(), method, path, pieces, headers=headers)

    assert asked(most * MIB).status == 200
    answer = asked(most * MIB + 1)
    assert answer.status == 413
    assert answer.whole
    assert "larger than" in answer.message


def test_a_body_that_lies_about_its_length_is_read_to_its_limit_alone() -> None:
    given: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            given.append(len(message["body"]))
        raise ConnectionError

    answer = one(guard(app), "POST", SEARCH, [b"x" * MIB] * 20, headers={"content-length": "10"})
    assert answer.status == 413
    assert sum(given) <= 4 * MIB


@pytest.mark.parametrize("text", [b"[" * 300_000, b'{"a":' * 300_000, b'{"a": 1},' * 300_000, b'"a",' * 1_010_000])
def test_a_body_has_so_many_values_at_most(text: bytes) -> None:
    answer = one(guard(), "POST", SEARCH, [text[at : at + 4096] for at in range(0, len(text), 4096)])
    assert answer.status == 413
    assert "250000 objects and arrays" in answer.message


def test_values_are_not_looked_for_in_spans_and_artifacts() -> None:
    protobuf = {"content-type": "application/x-protobuf"}
    assert one(guard(), "POST", "/v1/traces", [b"[" * 300_000], headers=protobuf).status == 200
    assert one(guard(), "POST", "/v1/traces", [b"[" * 300_000]).status == 413
    assert (
        one(guard(), "POST", "/v1/traces", [b"[" * 300_000], headers={"content-type": "a/b; c=protobuf"}).status == 413
    )
    assert one(guard(), "POST", "/ajax-api/2.0/mlflow/upload-artifact", [b"[" * 300_000]).status == 200


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "application/json; a=protobuf", "text/plain", ""])
@pytest.mark.parametrize(
    "path",
    [SEARCH, "/api/3.0/mlflow/traces/search", "/nothing/mlflow/upload-artifact", "/api/2.0/mlflow/upload-artifact"],
)
def test_values_are_looked_for_whatever_a_client_says_that_it_sends(path: str, content_type: str) -> None:
    """MLflow reads JSON whatever its type."""
    assert one(guard(), "POST", path, [b"[" * 300_000], headers={"content-type": content_type}).status == 413


def test_a_client_that_sends_no_more_is_told_so() -> None:
    answer = one(guard(), "POST", SEARCH, [b"{"], hangs=True)
    assert (answer.status, answer.headers["connection"]) == (408, "close")


def test_an_application_that_answers_a_refused_body_itself_is_not_heard() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] == "http.request":
            pass
        await reply(send, 500, b"a traceback")

    answer = one(guard(app), "POST", SEARCH, [b"x" * MIB] * 9)
    assert answer.status == 413
    assert b"traceback" not in answer.body


def test_an_error_of_the_application_stays_one() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        one(guard(app), "GET", SEARCH)


@pytest.mark.parametrize("host", ["evil.example", "ml.example.com:81", "ml.example.com.evil.example", ""])
@pytest.mark.parametrize("path", [SEARCH, "/oidc/ui/", "/login", "/api/2.0/mlflow/users/current", "/v1/traces"])
def test_the_server_answers_for_its_own_names_alone(path: str, host: str) -> None:
    assert one(guard(), "GET", path, headers={"host": host}).status == 403


@pytest.mark.parametrize("host", ["ml.example.com", "ML.example.com", "mlflow.team.svc"])
def test_a_name_may_have_any_letters_where_a_star_stands(host: str) -> None:
    assert one(guard(), "GET", SEARCH, headers={"host": host}).status == 200


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/version"])
def test_probes_and_scrapers_know_the_address_alone(path: str) -> None:
    hosts: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        hosts.extend(value for name, value in scope["headers"] if name == b"host")
        await reply(send, 200)

    assert one(guard(app), "GET", path, headers={"host": "10.1.2.3:5000"}).status == 200
    assert hosts == [b"ml.example.com"], "MLflow's own check knows that name"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/oidc/trash/cleanup", SEARCH, "/scim/v2/Users", "/v1/traces"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://localhost:3000"},
        {"origin": "https://ml.example.com.evil.example"}, {"origin": ""}, {"origin": "http://["},
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
    ],
)  # fmt: skip
def test_no_page_of_another_changes_anything(method: str, path: str, headers: dict[str, str]) -> None:
    assert one(guard(), method, path, headers=headers).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"origin": "http://ml.example.com"}, {"origin": "https://ml.example.com"},
        {"origin": "https://portal.example.com"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"},
    ],
)  # fmt: skip
def test_its_own_pages_and_those_of_the_settings_do(headers: dict[str, str]) -> None:
    assert one(guard(), "POST", SEARCH, headers=headers).status == 200


def test_an_answer_lets_no_other_page_read_it() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        cors = {"Access-Control-Allow-Origin": "http://localhost:3", "access-control-allow-credentials": "true"}
        await reply(send, 200, headers=cors)

    answer = one(guard(app), "GET", SEARCH, headers={"origin": "http://localhost:3"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/", SEARCH, "/oidc/ui/", "/health", "/static-files/a.js", "/api/2.0/mlflow/users"])
def test_every_answer_has_the_headers_that_protect_it(path: str) -> None:
    headers = one(guard(), "GET", path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["content-security-policy"] == "frame-ancestors 'self'"
    assert headers["referrer-policy"] == "same-origin"
    assert ("cache-control" in headers) == (not path.startswith(("/static-files", "/oidc/ui")))


def test_refusals_have_them_too() -> None:
    assert one(guard(), "POST", "/health").headers["x-content-type-options"] == "nosniff"


def test_notebooks_show_traces_in_a_frame() -> None:
    path = "/static-files/lib/notebook-trace-renderer/index.html"
    assert "x-frame-options" not in one(guard(), "GET", path).headers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_what_was_found_out_while_a_store_was_away_means_nothing(status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(failed, "OperationalError")
        await reply(send, status, b"Permission denied")

    answer = one(guard(app), "GET", SEARCH)
    assert (answer.status, int(answer.headers["retry-after"]) in range(5, 16)) == (503, True)
    assert b"denied" not in answer.body


def test_an_answer_that_came_about_in_spite_of_it_stays() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        failed("OperationalError")
        await reply(send, 200, b"from the cache")

    assert one(guard(app), "GET", SEARCH).body == b"from the cache"


def test_a_web_socket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    run(guard()({"type": "websocket", "path": "/"}, None, send))  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["websocket.close"]


class Moving:
    """A guard that moves artifacts into a list, and an application that lets in who is named."""

    def __init__(self, limits: Limits = LIMITS, user: str | None = "bob") -> None:
        self.user, self.moved, self.asked = user, list[bytes](), list[Any]()
        self.guard = Guard(self.app, limits, ORIGINS, self.transfer)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        errand = scope[ERRAND]
        assert isinstance(errand, Errand)
        self.asked.append(await receive())
        if self.user is None:
            await reply(send, 403, b"not yours")
            return
        errand.user, errand.told = self.user, {"artifact_path": "1/x"}
        await reply(send, 204, headers={"set-cookie": "session=new"})

    async def transfer(self, scope: Any, receive: Any, send: Any, told: Any) -> None:
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            self.moved.append(message["body"])
            if not message["more_body"]:
                break
        await reply(send, 200)


def test_an_artifact_is_read_once_its_path_is_let_in() -> None:
    moving = Moving()
    answer = one(moving.guard, "PUT", PUT, [b"x" * MIB] * 30, headers={"content-length": str(30 * MIB)})
    assert (answer.status, answer.headers["set-cookie"]) == (200, "session=new")
    assert sum(map(len, moving.moved)) == 30 * MIB
    assert moving.asked == [{"type": "http.request", "body": b"", "more_body": False}]


def test_nothing_is_read_of_an_artifact_whose_path_is_refused() -> None:
    moving = Moving(user=None)
    answer = one(moving.guard, "PUT", PUT, [b"x" * MIB] * 30)
    assert (answer.status, answer.body, answer.read) == (403, b"not yours", 0)


@pytest.mark.parametrize("tells", [True, False])
def test_an_artifact_may_have_a_limit(tells: bool) -> None:
    moving = Moving(replace(LIMITS, artifact_bytes=2 * MIB))
    headers = {"content-length": str(3 * MIB)} if tells else {}
    answer = one(moving.guard, "PUT", PUT, [b"x" * MIB] * 3, headers=headers)
    assert (answer.status, sum(map(len, moving.moved)) <= 2 * MIB) == (413, True)
    assert "mlflow.limits.artifactMib" in answer.message


@pytest.mark.parametrize("headers", [{"content-length": "1000"}, {"transfer-encoding": "chunked"}])
def test_who_stops_in_the_middle_of_an_artifact_is_told_so(headers: dict[str, str]) -> None:
    answer = one(Moving().guard, "PUT", PUT, [b"abc"], headers=headers, hangs=True)
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert "Nothing of the body came" in answer.message


def test_a_transfer_that_is_refused_says_why() -> None:
    moving = Moving()

    async def full(scope: Any, receive: Any, send: Any, told: Any) -> None:
        await receive()
        raise later(507, "full")

    moving.guard._transfer = full
    answer = one(moving.guard, "PUT", PUT, [b"x"] * 5)
    assert (answer.status, answer.message, answer.whole) == (507, "full", True)


def test_many_logins_that_fail_at_once_wait_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(failures, "_FREE", 3)
    monkeypatch.setattr(failures, "asyncio", SimpleNamespace(sleep=pause))
    # All in one second, however long they take.
    monkeypatch.setattr(failures, "time", SimpleNamespace(monotonic=lambda: 7.0))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        known = (b"authorization", b"Bearer good") in scope["headers"]
        await reply(send, 200 if known else 401)

    async def scenario() -> None:
        served = guard(app)
        wrong = [{"authorization": f"Bearer {n}"} for n in range(20)]
        await asyncio.gather(*(ask(served, "GET", SEARCH, headers=headers) for headers in wrong))
        assert pauses == [failures._PAUSE] * 17
        await ask(served, "GET", SEARCH, headers={"authorization": "Bearer good"})
        await ask(served, "GET", SEARCH, headers={})
        assert len(pauses) == 17

    run(scenario())


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [({f"x-{n}": "1" for n in range(100)}, b"", 200), ({f"x-{n}": "1" for n in range(128)}, b"", 431),
     ({}, b"a&" * 1999, 200), ({}, b"a&" * 2000, 400)],
)  # fmt: skip
def test_a_request_has_so_many_headers_and_parameters(headers: dict[str, str], query: bytes, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, 200)

    answer = run(ask(guard(app), "GET", SEARCH, headers=headers, more={"query_string": query}))
    assert answer.status == status
