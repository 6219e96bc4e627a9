"""When MLflow's image asks Keycloak for its keys: once for a key that it does not know, and for nothing else."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from mlflow_sso.shortcuts import keys


class WrongSignatureError(Exception):
    """Of joserfc."""


class Provider:
    def __init__(self, name: str) -> None:
        self.id = name


def token(kid: object = "old", payload: str = "right") -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": kid}).encode()).decode().rstrip("=")
    return f"{header}.{payload}.s"


class Server:
    """The plugin as far as keys go, with Keycloak behind it. asked: how often Keycloak was."""

    def __init__(self, pause: float = 0.0) -> None:
        self.there, self.kept, self.asked, self.pause = ["old"], ["old"], 0, pause
        self.time = 1000.0
        self.decode = keys.telling(self._decode, WrongSignatureError)
        self.keys = keys.seldom(self._keys, lambda: self.time)

    def _keys(self, provider: Provider, force_refresh: bool = False) -> dict[str, Any]:
        if force_refresh:
            time.sleep(self.pause)
            self.asked += 1
            self.kept = list(self.there)
        return {"keys": [{"kid": name} for name in self.kept]}

    def _decode(self, _: Any, text: str, jwks: Any, options: Any = None) -> str:
        header = json.loads(base64.urlsafe_b64decode(text.split(".", maxsplit=1)[0] + "=="))
        if header["kid"] not in [key["kid"] for key in jwks["keys"]]:
            raise ValueError("Invalid JSON Web Key Set")
        if text.split(".")[1] != "right":
            raise WrongSignatureError
        return str(header["kid"])

    def validate(self, text: str, provider: str = "keycloak") -> str:
        """As the plugin does."""
        one = Provider(provider)
        try:
            return str(self.decode(None, text, self.keys(one)))
        except WrongSignatureError:
            return str(self.decode(None, text, self.keys(one, force_refresh=True)))

    def takes(self, text: str, provider: str = "keycloak") -> bool:
        try:
            return bool(self.validate(text, provider))
        except (WrongSignatureError, ValueError):
            return False


def test_the_first_token_of_a_new_key_is_taken() -> None:
    server = Server()
    server.there = ["new", "old"]
    assert (server.takes(token("new")), server.takes(token("new")), server.takes(token())) == (True, True, True)
    assert server.asked == 1


def test_of_many_tokens_of_a_new_key_at_once_none_is_refused() -> None:
    server = Server(pause=0.2)
    server.there = ["new"]
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(server.takes, [token("new")] * 16))
    assert server.asked == 1


def test_a_key_that_nobody_has_is_looked_up_once_and_then_not_for_a_while() -> None:
    server = Server()
    assert not any(server.takes(token("nobody's")) for _ in range(20))
    assert server.asked == 1
    server.time += keys.REST + 1
    assert not server.takes(token("nobody's"))
    assert server.asked == 2


def test_a_wrong_signature_of_a_known_key_asks_nothing() -> None:
    server = Server()
    assert not any(server.takes(token(payload="wrong")) for _ in range(20))
    assert server.asked == 0


def test_names_that_somebody_makes_up_are_looked_up_a_few_times_alone() -> None:
    server = Server()
    for number in range(1000):
        server.takes(token(f"made-up-{number}"))
    assert server.asked == keys.MOST
    server.time += 2 * keys.EVERY
    server.there = ["new"]
    assert server.takes(token("new")), "a new key is known soon, whatever else is asked for"
    # Another provider's are counted apart.
    server.takes(token("made-up"), "another")
    assert server.asked == keys.MOST + 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.b",
        "%%%.x.y",
        token(5),
        token(None),
        token(["a"]),
        token("x" * 300),
        "W10.x.y",
        "NQ.x.y",
        f"{'W' * 9000}.x",
    ],
)
def test_what_names_no_key_is_looked_up_for_nobody(text: str) -> None:
    assert keys.unknown(text, {"keys": [{"kid": "old"}]}) is None


@pytest.mark.parametrize("jwks", [None, [], {}, {"keys": None}, {"keys": [None]}, {"keys": [{"kid": ["x"]}]}])
def test_keys_that_are_none_are_looked_up_for_nobody(jwks: Any) -> None:
    assert keys.unknown(token("new"), jwks) is None


def test_a_lookup_that_hangs_holds_others_for_a_moment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "WAIT", 0.1)
    server = Server(pause=3.0)
    first = threading.Thread(target=server.takes, args=(token("a"),), daemon=True)
    first.start()
    time.sleep(0.2)
    start = time.monotonic()
    assert not server.takes(token("b"))
    assert time.monotonic() - start < 2
    first.join()


def test_keys_that_are_known_serve_while_nobody_tells_newer_ones() -> None:
    server = Server()
    away = False

    def source(provider: Provider, force_refresh: bool = False) -> Any:
        if away:
            raise ConnectionError("Keycloak starts anew")
        return server._keys(provider, force_refresh)

    server.keys = keys.seldom(source, lambda: server.time)
    assert server.takes(token())
    away = True
    assert server.takes(token())
    assert not server.takes(token("new"))
    server.time += keys.LAST + 1
    with pytest.raises(ConnectionError, match="anew"):
        server.validate(token())


def test_a_refusal_says_nothing_of_the_next_token_of_its_thread() -> None:
    server = Server()
    server.takes(token("nobody's"))
    assert not server.takes(token(payload="wrong"))
    assert server.asked == 1
