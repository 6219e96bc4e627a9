"""As little of GitLab's OpenID Connect as Keycloak needs (GitLab, "GitLab as OpenID Connect identity provider").

People are logged in there already. Their groups stand in what it tells at `/oauth/userinfo`, and not in its ID tokens.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.e2e.forging import encoded, number, unsigned
from tests.e2e.harness import free_ports, gateway

CLIENT, SECRET = "keycloak-at-the-lab", "of-keycloak-at-the-lab"


@dataclass
class GitLab:
    """url: by which browsers and containers reach it. who: logs in next. groups: of that person, by whole paths."""

    url: str
    who: str = "lara"
    groups: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def person(self) -> dict[str, Any]:
        """The claims of both places."""
        name = {"name": f"{self.who.capitalize()} Lab", "nickname": self.who, "preferred_username": self.who}
        return {"sub": self.who, **name, "email": f"{self.who}@lab.example", "email_verified": True}

    def code(self, asked: dict[str, str]) -> str:
        """Where a browser that asked for a login goes on."""
        found = secrets.token_urlsafe()
        self.codes[found] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': found, 'state': asked['state']})}"

    def tokens(self, form: dict[str, str]) -> dict[str, Any] | None:
        """What a code is good for; None for whoever is not the one that it was given to (RFC 7636, section 4.6)."""
        asked = self.codes.pop(form.get("code", ""), None)
        proof = encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET) or asked is None:
            return None
        if asked.get("code_challenge") != proof:
            return None
        now = int(time.time())
        claims = {**self.person(), "iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 120}
        text = unsigned({"alg": "RS256", "kid": "lab"}, {**claims, "nonce": asked.get("nonce")})
        signed = f"{text}.{encoded(self.key.sign(text.encode(), padding.PKCS1v15(), SHA256()))}"
        return {"access_token": "of-the-lab", "token_type": "Bearer", "expires_in": 60, "id_token": signed}

    def keys(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        one = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "lab"}
        return {"keys": [{**one, "n": number(numbers.n), "e": number(numbers.e)}]}


@contextmanager
def gitlab() -> Iterator[GitLab]:
    (port,) = free_ports(1)
    lab = GitLab(f"http://{gateway()}:{port}/git")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, asked = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
            if path == "/git/oauth/authorize" and asked.get("client_id") == CLIENT:
                self.send_response(302)
                self.send_header("Location", lab.code(asked))
                self.end_headers()
            elif path == "/git/oauth/discovery/keys":
                self._tell(200, lab.keys())
            elif path == "/git/oauth/userinfo" and self.headers["Authorization"] == "Bearer of-the-lab":
                self._tell(200, {**lab.person(), "groups": lab.groups})
            else:
                self._tell(404, {"error": "not found"})

        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            tokens = lab.tokens(form) if self.path == "/git/oauth/token" else None
            self._tell(200 if tokens else 400, tokens or {"error": "invalid_grant"})

        def _tell(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: it would stand between the tests."""

    with ThreadingHTTPServer(("", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield lab
        finally:
            server.shutdown()
