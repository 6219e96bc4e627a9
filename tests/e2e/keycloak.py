"""The administrator's side of a stack's Keycloak, and tokens that nobody should accept."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import requests

from tests.e2e.harness import TIMEOUT, unbroken


class KeycloakAdmin:
    """The administrator of a stack's Keycloak, through its admin REST API."""

    def __init__(self, outputs: Mapping[str, Any]) -> None:
        self._url = str(outputs["keycloak_url"])
        self._login = outputs["admin"]
        self.realm = str(outputs["realm"])
        self._token, self._good_until = "", 0.0

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """Call `path` below /admin/realms. Raises HTTPError when it is refused."""

        def ask() -> requests.Response:
            headers = {"Authorization": f"Bearer {self._bearer()}"}
            return requests.request(method, f"{self._url}/admin/realms{path}", headers=headers, timeout=TIMEOUT, **more)

        answer = unbroken(ask) if method == "GET" else ask()
        answer.raise_for_status()
        return answer

    def _bearer(self) -> str:
        """A token, used for half of its life: each login costs Keycloak a slow hash of the password."""
        if time.monotonic() > self._good_until:
            form = {"grant_type": "password", "client_id": "admin-cli", **self._login}
            url = f"{self._url}/realms/master/protocol/openid-connect/token"
            answer = unbroken(lambda: requests.post(url, data=form, timeout=TIMEOUT))
            answer.raise_for_status()
            self._token = str(answer.json()["access_token"])
            self._good_until = time.monotonic() + answer.json()["expires_in"] / 2
        return self._token

    def get(self, path: str) -> Any:
        return self.call("GET", path).json()

    def make(self, path: str, **body: Any) -> str:
        """Create what `path` lists; returns its id."""
        return self.call("POST", path, json=body).headers["Location"].rsplit("/", 1)[-1]

    def remove(self, path: str) -> None:
        self.call("DELETE", path)


def claims(token: str) -> dict[str, Any]:
    """The payload of a JWT, unchecked."""
    return dict(json.loads(_decoded(token.split(".")[1])))


def header(token: str) -> dict[str, Any]:
    """The header of a JWT, unchecked."""
    return dict(json.loads(_decoded(token.split(".", maxsplit=1)[0])))


def lifetime(token: str) -> int:
    """The seconds from its issue to its end; the answer that carries it counts from a moment later."""
    told = claims(token)
    return int(told["exp"]) - int(told["iat"])


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encoded(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(token: str) -> str:
    """The same claims with the algorithm `none` (RFC 7519, section 6)."""
    return f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{token.split('.')[1]}."


def with_claims(token: str, **changed: Any) -> str:
    """Other claims under the signature of the true ones."""
    header, _, signature = token.split(".")
    return f"{header}.{_encoded({**claims(token), **changed})}.{signature}"


def with_other_signature(token: str) -> str:
    """The same claims; the signature differs in its first character."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
