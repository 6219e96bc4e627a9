"""Where a token may go: to its own server, and there by a way that nobody else can read; and who says so if not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from mlflow_sso_client import notices, providers
from mlflow_sso_client.command import main
from mlflow_sso_client.errors import RefusedError
from mlflow_sso_client.oidc import discover
from mlflow_sso_client.providers import SsoAuth, SsoAuthProvider, SsoHeaders
from mlflow_sso_client.web import session

from tests.unit.fakes import Fake, fake_server, kept_login, token

CURRENT_USER = "/api/2.0/mlflow/users/current"
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(notices.once, "_said", {})
    for name in (*providers.GIVEN, *PROXIES, "MLFLOW_TRACKING_URI", "STACK"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def server() -> Iterator[Fake]:
    """An MLflow that wants a login."""
    with fake_server() as fake:
        fake.routes[f"GET {CURRENT_USER}"] = 401, {}
        yield fake


def by_header(url: str, **held: object) -> str | None:
    """What MLflow would send by the one way."""
    scope: dict[str, object] = {"__name__": "mlflow.utils.rest_utils"}
    exec("def http_request(host_creds, provider):\n    return provider.request_headers()", scope)  # noqa: S102
    answer: dict[str, str] = scope["http_request"](SimpleNamespace(host=url, **held), SsoHeaders())  # type: ignore[operator]
    return answer.get("Authorization")


def by_auth(url: str, **headers: str) -> str | None:
    """What MLflow would send by the other way."""
    request = requests.Request("GET", f"{url}{CURRENT_USER}", headers=headers).prepare()
    return SsoAuthProvider().get_auth()(request).headers.get("Authorization")


WAYS = pytest.mark.parametrize("way", [by_header, by_auth])


@WAYS
def test_no_token_goes_in_clear_through_a_network(
    way: Callable[[str], str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Such a login can be in a file of an older version, or of somebody's hand."""
    store = kept_login("http://mlflow.test:5000")
    assert way("http://mlflow.test:5000") is None
    assert way("http://mlflow.test:5000") is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "would carry tokens in clear" in line
    with pytest.raises(RefusedError, match="in clear"):
        store.access_token()
    assert main(["token"]) == 2
    assert capsys.readouterr().out == ""


@WAYS
@pytest.mark.parametrize("up", [
    "..", "%2e%2e", ".%2E", "a/../..", "./%2e%2e", "%2e%2e%2f", "..\\x", "..%5cx", "..;/x", "..%3b/x",
    "%252e%252e", ".%00.",
])  # fmt: skip
def test_no_token_leaves_the_path_of_its_server(way: Callable[[str], str | None], up: str, server: Fake) -> None:
    """requests asks for /other where /mlflow/%2e%2e/other stands: something else may be there, of the same host."""
    kept_login(f"{server.url}/mlflow")
    assert way(f"{server.url}/mlflow") == "Bearer good"
    assert way(f"{server.url}/mlflow/{up}/other") is None


@pytest.mark.parametrize("name", ["token_endpoint", "authorization_endpoint", "device_authorization_endpoint"])
@pytest.mark.parametrize(
    "url",
    [
        "http://keycloak.test/x", "\u00a0http://keycloak.test/x", "\ufeffhttp://keycloak.test/x", "//keycloak.test/x",
        "https://me:hunter2@keycloak.test/x", "https://[::1", "-x", "file:///etc/hosts", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_no_issuer_names_a_place_that_tokens_or_passwords_may_not_go_to(url: str, name: str, server: Fake) -> None:
    issuer = server.issuer()
    described = server.routes["GET /realms/mlflow/.well-known/openid-configuration"]
    assert isinstance(described, tuple)
    described[1][name] = url
    with pytest.raises(RefusedError) as refused:
        discover(issuer, session())
    assert "hunter2" not in str(refused.value)


@WAYS
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_token_for_this_machine_goes_to_a_proxy(
    variable: str, way: Callable[[str], str | None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_login("http://localhost:5000")
    assert way("http://localhost:5000") == "Bearer good"
    monkeypatch.setenv(variable, "http://proxy.test:3128")
    assert way("http://localhost:5000") is None
    assert "set NO_PROXY=localhost,127.0.0.1" in capsys.readouterr().err
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    assert way("http://localhost:5000") == "Bearer good"


@WAYS
@pytest.mark.parametrize("host", ["mlflow.ml.svc", "mlflow.ml.svc.cluster.local"])
def test_services_of_a_cluster_are_trusted_where_their_user_says_so(
    host: str, way: Callable[[str], str | None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_login(f"http://{host}:5000")
    assert way(f"http://{host}:5000") is None
    monkeypatch.setenv("MLFLOW_SSO_TRUST_SERVICES", "true")
    assert way(f"http://{host}:5000") == "Bearer good"
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    assert way(f"http://{host}:5000") is None
    assert "NO_PROXY=localhost,127.0.0.1,.svc,.svc.cluster.local" in capsys.readouterr().err
    monkeypatch.setenv("NO_PROXY", ".svc,.svc.cluster.local")
    assert way(f"http://{host}:5000") == "Bearer good"


@pytest.mark.parametrize(
    "host", ["mlflow.test", "mlflow.ml.svc.evil.test", "svc", "a.svc", "a.b.c.svc", "mlflow.ml.svc."]
)
@WAYS
def test_no_other_host_is_trusted_with_them(
    way: Callable[[str], str | None], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SSO_TRUST_SERVICES", "true")
    kept_login(f"http://{host}:5000")
    assert way(f"http://{host}:5000") is None


@WAYS
def test_a_proxy_may_carry_what_it_cannot_read(
    way: Callable[[str], str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_login("https://mlflow.test")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    assert way("https://mlflow.test") == "Bearer good"


@pytest.mark.parametrize("command", ["token", "env", "logout"])
def test_no_command_takes_the_login_of_another_server_than_the_one_that_is_set(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise `curl -H "Authorization: Bearer $(mlflow-sso token)" $MLFLOW_TRACKING_URI` gives it away."""
    store = kept_login("https://a.test")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://b.test")
    assert main([command]) == 3
    done = capsys.readouterr()
    assert done.out == ""
    assert "there is no login for https://b.test; run `mlflow-sso login --url https://b.test`" in done.err
    assert store.read().access_token == "good"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert main(["token"]) == 0, "that is no server at all"


@WAYS
def test_a_server_that_wants_a_login_and_has_none_is_told_once(
    way: Callable[[str], str | None], server: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_login("https://mlflow.test")
    for _ in range(3):
        assert way(server.url) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"mlflow-sso: there is no login for {server.url}; run `mlflow-sso login --url {server.url}`"
    assert len(server.asked) <= 1, "it is asked once whether it wants one"


@pytest.mark.parametrize("answer", [200, 302, 404, 503])
def test_nothing_is_said_of_a_server_that_wants_no_login(
    answer: int, server: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes[f"GET {CURRENT_USER}"] = answer, {}, {"Location": "https://elsewhere.test"}
    assert by_header(server.url) is None
    assert by_header("http://127.0.0.1:1") is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "held", [("username", "password"), ("token",), ("auth",), ("aws_sigv4",), ("use_databricks_sdk",)]
)
def test_a_server_that_mlflow_has_credentials_for_is_left_to_them(
    held: tuple[str, ...], server: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow would replace the header, so nothing is renewed or asked for it."""
    for name in providers.PAIR:
        monkeypatch.setenv(name, "mine")
    kept_login(server.url, access_until=0.0)
    assert by_header(server.url, **dict.fromkeys(held, "mine")) is None
    assert capsys.readouterr().err == ""
    assert server.asked == []


def test_a_user_name_without_a_password_is_told_once(
    server: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow sends neither of the two, so that the server's refusal would have no cause."""
    kept_login(server.url)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    assert SsoHeaders().in_context()
    assert by_header(server.url, username="bob") is None
    assert by_header(server.url, username="bob") is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "unset it, or set MLFLOW_TRACKING_PASSWORD as well" in line


def test_a_token_that_is_given_is_renewed_for_the_same_person_alone(server: Fake) -> None:
    """`env` prints one, which a shell goes on holding; one of somebody else is a choice."""
    kept_login(server.url, access_token=token("alice", 2))
    assert by_auth(server.url, Authorization=f"Bearer {token('alice')}") == f"Bearer {token('alice', 2)}"
    others = ("opaque", "a.b.c", token("ci"), token("alice", issuer="https://other.test"))
    for given in (*(f"Bearer {other}" for other in others), "Basic YWxpY2U6bWxmX3g="):
        assert by_auth(server.url, Authorization=given) == given
    kept_login(server.url, access_token="opaque-too")
    assert by_auth(server.url, Authorization="Bearer opaque") == "Bearer opaque", "nobody is not the same person"


def test_a_token_that_is_given_stays_where_the_login_cannot_be_used(
    server: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    given = f"Bearer {token('alice')}"
    assert by_auth(server.url, Authorization=given) == given
    assert capsys.readouterr().err == "", "nobody knows that it is not good"
    kept_login(server.url, issuer=server.issuer(), access_until=time.time() - 1, access_token=token("alice", 2))
    server.routes["POST /realms/mlflow/protocol/openid-connect/token"] = 400, {"error": "invalid_grant"}
    assert by_auth(server.url, Authorization=given) == given
    assert f"run `mlflow-sso login --url {server.url}`" in capsys.readouterr().err


@WAYS
def test_what_nobody_foresaw_is_told_as_well(
    way: Callable[[str], str | None],
    server: Fake,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def break_down(address: str) -> None:
        raise PermissionError(13, "Permission denied", "/home/alice/.config/mlflow-sso/logins/dev.lock")

    monkeypatch.setattr(providers, "login_for", break_down)
    for _ in range(2):
        assert way(server.url) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert f"no login is used for {server.url}: PermissionError" in line
    assert "dev.lock (Permission denied); run `mlflow-sso token`" in line


def test_what_nobody_foresaw_shows_no_words_that_may_be_secret(
    server: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down(address: str) -> None:
        raise ValueError("hunter2")

    monkeypatch.setattr(providers, "login_for", break_down)
    assert by_auth(server.url) is None
    told = capsys.readouterr().err
    assert "ValueError" in told
    assert "hunter2" not in told


def test_an_older_provider_in_the_same_environment_is_not_doubled(
    server: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow joins the headers of two providers: `Bearer a Bearer a`."""
    older = EntryPoint("stackctl", "stackctl.request_header:StackHeaders", providers.GROUP)
    monkeypatch.setattr(providers, "entry_points", lambda group: EntryPoints([older]))
    provider = SsoHeaders()
    assert not provider.in_context()
    assert not provider.in_context()
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip uninstall mlflow-sso" in line


def test_the_authentication_is_one_object_for_all_requests() -> None:
    """Otherwise each request would read the file of the login, and a token in memory would be of no use."""
    provider = SsoAuthProvider()
    assert isinstance(provider.get_auth(), SsoAuth)
    assert provider.get_auth() is provider.get_auth()
