"""A client with several servers, a disk that is full, and texts that are not its own."""

from __future__ import annotations

import io
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
from mlflow_sso_client import logins, providers
from mlflow_sso_client.addresses import chosen, no_login
from mlflow_sso_client.command import main
from mlflow_sso_client.errors import AccessError, RefusedError
from mlflow_sso_client.providers import SsoAuthProvider
from mlflow_sso_client.web import MLFLOW, Web
from mlflow_sso_client.words import line

from tests.unit.fakes import Fake, fake_server, kept_login
from tests.unit.test_client_providers import TOKEN, home, server

# Fixtures; the first one is for every test here.
__all__ = ["home", "server"]
AGAIN = 200, {"access_token": "new", "expires_in": 300, "refresh_token": "refresh-2"}


def test_an_mlflow_below_another_gets_its_own_login_whoever_was_asked_first(server: Fake) -> None:
    kept_login(server.url, name="root", access_token="root")
    kept_login(f"{server.url}/team", name="team", access_token="team")
    server.routes["GET /team/api"] = 200, {}
    auth = SsoAuthProvider().get_auth()
    for path in ("/api", "/team/api", "/api", "/team/api"):
        requests.get(server.url + path, auth=auth, timeout=5)
    asked = [one.headers["Authorization"] for one in server.asked if one.path.endswith("/api")]
    assert asked[0::2][0] == "Bearer root"
    assert {one.headers["Authorization"] for one in server.asked if one.path == "/team/api"} == {"Bearer team"}


def test_a_login_that_was_kept_meanwhile_is_the_one_that_is_used(server: Fake) -> None:
    kept_login(server.url, name="root", access_token="root")
    auth = SsoAuthProvider().get_auth()
    for _ in range(2):
        requests.get(f"{server.url}/team/api", auth=auth, timeout=5)
        kept_login(f"{server.url}/team", name="team", access_token="team")
    assert server.asked[-1].headers["Authorization"] == "Bearer team"


def test_a_keycloak_that_is_away_stops_its_own_server_alone_and_each_request_once(
    server: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "PATIENCE_SECONDS", 2)
    server.routes[TOKEN] = 503, {}
    kept_login(server.url, server.issuer(), access_token="old", access_until=time.time() - 1)
    auth = SsoAuthProvider().get_auth()

    def ask(url: str) -> float:
        start = time.monotonic()
        requests.get(f"{url}/api", auth=auth, timeout=60)
        return time.monotonic() - start

    with fake_server() as other:
        kept_login(other.url, name="other")
        waiting = threading.Thread(target=ask, args=(server.url,))
        waiting.start()
        time.sleep(0.2)
        assert ask(other.url) < 1
        waiting.join()
    assert ask(server.url) < 1, "its patience was for nothing a moment ago"


def test_a_renewed_login_that_cannot_be_written_is_used_and_renewed_by_this_process(
    server: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes[TOKEN] = AGAIN
    store = kept_login(server.url, server.issuer(), access_token="old", access_until=time.time() - 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logins, "write_private", full)
    assert store.access_token() == "new"
    later = time.time() + 400
    monkeypatch.setattr(time, "time", lambda: later)
    for _ in range(2):
        store.access_token()
    sent = [one.form["refresh_token"] for one in server.asked if "refresh_token" in one.form]
    assert sent[:2] == ["refresh-1", "refresh-2"], "the issuer may take the first one once"
    assert "No space left on device" in capsys.readouterr().err


def test_a_client_with_a_secret_needs_no_place_to_write(server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    server.routes[TOKEN] = AGAIN
    store = kept_login(server.url, server.issuer(), access_token="old", access_until=0.0, client_secret="s")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(logins, "held", refuse)
    monkeypatch.setattr(logins, "write_private", refuse)
    assert store.access_token() == "new"


def test_a_password_in_an_address_is_nobodys_to_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    for address in ("http://alice:S3CRET@localhost:5000", "http://alice:S3CRET@localhost:5000/a/api/2.0/mlflow"):
        assert "S3CRET" not in str(no_login(address))
        SsoAuthProvider().get_auth()(requests.Request("GET", address).prepare())
    assert capsys.readouterr().err == ""


def test_the_variable_stack_leads_no_token_to_another_server(server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_login(server.url, name="here")
    kept_login("http://localhost:1", name="other")
    monkeypatch.setenv("STACK", "other")
    assert chosen(None).stack == "other"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    with pytest.raises(RefusedError, match="the variable STACK names the login other, which is for http://localhost:1"):
        chosen(None)
    assert chosen("here").stack == "here"
    assert main(["login", "--url", server.url, "--issuer", server.issuer(), "--username", "a"]) == 2
    monkeypatch.setenv("STACK", "here")
    assert chosen(None).stack == "here"


@pytest.mark.parametrize("host", ["a..b.com", f"{'x' * 64}.com"])
def test_a_name_that_no_host_can_have_is_no_url(host: str) -> None:
    with pytest.raises(AccessError, match="is not a URL"):
        Web(MLFLOW, f"https://{host}").ask("GET", "/login")


def test_what_is_read_of_people_is_text_and_has_an_end(monkeypatch: pytest.MonkeyPatch, server: Fake) -> None:
    words = ["login", "--url", server.url, "--issuer", server.issuer(), "--username", "a", "--password-stdin"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\udcff\n"))
    assert main(words) == 2
    secret = ["login", "--url", server.url, "--issuer", server.issuer(), "--client-credentials", "--client-id", "c"]
    server.routes[TOKEN] = 401, {"error": "unauthorized_client"}
    assert main([*secret, "--client-secret-file", "/dev/zero"]) != 0


def test_an_output_that_cannot_be_written_in_its_encoding_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_login("http://localhost:1", ca_bundle=str(tmp_path / "ü.pem"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["env"]) == 1
    assert "PYTHONIOENCODING=utf-8" in capsys.readouterr().err


def test_a_text_of_a_server_is_a_part_of_one_line() -> None:
    assert line("alice\nmlflow-sso: run this") == "alice mlflow-sso: run this"
    assert len(line("x" * 900_000)) < 210
    assert len(str(AccessError("x" * 900_000, "y"))) < 1100
