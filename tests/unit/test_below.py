"""A server below a path of its host: what its application sees, what kind a request is, and where cookies go."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow_sso.bridge import environ_of
from mlflow_sso.guard import Below, Guard, Limits, Origins
from mlflow_sso.guard.below import told

from tests.unit.asgi_client import Answer, ask, reply, run, scope_of

SEARCH = "/api/2.0/mlflow/runs/search"
SEEN: list[Any] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    SEEN.append(scope)
    await reply(send, 200)


def one(method: str, path: str, pieces: Any = (), **more: Any) -> Answer:
    SEEN.clear()
    guard = Guard(application, Limits(), Origins(("ml.example.com",), ()), None)
    return run(ask(Below(guard, "/mlflow"), method, path, pieces, **more))


@pytest.mark.parametrize(
    ("path", "routed"),
    [
        (f"/mlflow{SEARCH}", SEARCH), (SEARCH, SEARCH), ("/mlflow/", "/"), ("/mlflowx/api/", "/mlflowx/api/"),
        ("/mlflow/mlflow/x", "/mlflow/x"), ("//mlflow/x", "//mlflow/x"), ("/MLFLOW/x", "/MLFLOW/x"),
    ],
)  # fmt: skip
def test_the_path_is_taken_off_once_where_it_is_there(path: str, routed: str) -> None:
    assert one("GET", path).status == 200
    environ = environ_of(SEEN[0], b"")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/mlflow", routed)


def test_the_bare_path_leads_to_the_page_with_what_was_asked() -> None:
    answer = one("GET", "/mlflow", more={"query_string": b"a=b"})
    assert (answer.status, answer.headers["location"], SEEN) == (308, "/mlflow/?a=b", [])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert one("GET", "/mlflow", more={"headers": [(b"host", b"evil.example")]}).status == 403


@pytest.mark.parametrize("below", ["", "/mlflow"])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/login", 405), ("POST", "/metrics", 405), ("GET", "/health/ready", 200),
        ("POST", SEARCH, 413), ("POST", "/v1/traces", 200), ("POST", "/api/2.0/mlflow/users", 413),
    ],
)  # fmt: skip
def test_a_request_is_of_the_same_kind_with_and_without_the_path(
    below: str, method: str, path: str, status: int
) -> None:
    """20 MiB is too much for a call, and not for spans."""
    declared = str(20 << 20) if method == "POST" else "0"
    assert one(method, below + path, headers={"content-length": declared}).status == status


def test_a_scraper_is_let_in_by_address_below_the_path_too() -> None:
    assert one("GET", "/mlflow/health/live", headers={"host": "10.0.0.7:5000"}).status == 200
    assert one("GET", "/mlflow/other", headers={"host": "10.0.0.7:5000"}).status == 403


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        ("session=a; path=/; httponly", "session=a; Path=/mlflow; httponly"),
        ("session=a; Max-Age=0; Path=/", "session=a; Max-Age=0; Path=/mlflow"),
        ("session=a; path=/oidc; secure", "session=a; path=/oidc; secure"),
    ],
)
def test_a_cookie_for_the_host_is_for_the_path_alone(cookie: str, kept: str) -> None:
    async def sets(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"set-cookie", cookie.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    guard = Guard(sets, Limits(), Origins((), ()), None)
    assert run(ask(Below(guard, "/mlflow"), "GET", "/mlflow/login")).headers["set-cookie"] == kept
    assert run(ask(guard, "GET", "/login")).headers["set-cookie"] == cookie


def test_a_server_with_a_host_for_itself_is_below_nothing() -> None:
    assert (told({}), told({"MLFLOW_SSO_PATH": "/mlflow/"})) == ("", "/mlflow")
    assert environ_of(scope_of("GET", "/x"), b"")["SCRIPT_NAME"] == ""
