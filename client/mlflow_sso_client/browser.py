"""A login in this machine's browser: authorization code with PKCE, answered on a loopback port (RFC 8252)."""

from __future__ import annotations

import html
import secrets
import time
import webbrowser
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from mlflow_sso_client.errors import NotLoggedInError
from mlflow_sso_client.oidc import Provider, Tokens, code_grant, pkce, scope
from mlflow_sso_client.words import say

WAIT_SECONDS = 300
PATH = "/callback"


class _Callback(HTTPServer):
    """Waits for the one request that Keycloak sends the browser back with, whoever else asks meanwhile."""

    answer: dict[str, str] | None = None

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state

    def wait(self, seconds: float = WAIT_SECONDS) -> dict[str, str]:
        """What Keycloak answered. Raises NotLoggedInError when it did not within that time."""
        deadline = time.monotonic() + seconds
        while self.answer is None:
            self.timeout = deadline - time.monotonic()
            if self.timeout <= 0:
                raise NotLoggedInError("nobody logged in within five minutes", "run `mlflow-sso login --browser` again")
            self.handle_request()
        return self.answer


class _Handler(BaseHTTPRequestHandler):
    # Seconds: browsers open connections that they may need, and send nothing over them.
    timeout = 2
    server: _Callback

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != PATH:
            self.send_error(404)
            return
        answer = {key: values[0] for key, values in parse_qs(parts.query).items()}
        # Any page in the browser can send an answer to somebody else's question (RFC 6749, section 10.12).
        if not secrets.compare_digest(answer.get("state", "").encode(), self.server.state.encode()):
            self.send_error(400, "This is no answer to the login that is under way")
            return
        self.server.answer = answer
        failed = "error" in answer
        text = "The login failed; see the terminal." if failed else "You are logged in. You may close this window."
        body = f"<!doctype html><title>mlflow-sso</title><p>{html.escape(text)}</p>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The request line holds the code: nothing of it is logged."""


def browser_login(
    provider: Provider, client_id: str, *, offline: bool, open_url: Callable[[str], bool] = webbrowser.open
) -> Tokens:
    """Raises NotLoggedInError when nobody logs in, or Keycloak refuses."""
    state = secrets.token_urlsafe(24)
    with _Callback(state) as server:
        redirect = f"http://127.0.0.1:{server.server_port}{PATH}"
        verifier, challenge = pkce()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": client_id,
                "redirect_uri": redirect,
                "scope": scope(offline=offline),
                "state": state,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        url = f"{provider.authorization_endpoint}?{query}"
        say(f"Log in at\n{url}")
        open_url(url)
        answer = server.wait()
    if "code" not in answer:
        raise NotLoggedInError(
            f"Keycloak refused the login ({answer.get('error', '')})", "run `mlflow-sso login` again"
        )
    return code_grant(provider, client_id, answer["code"], redirect, verifier)
