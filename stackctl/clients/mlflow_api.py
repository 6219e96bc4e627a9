"""A typed client of MLflow's and mlflow-oidc-auth's REST endpoints for users, tokens and sessions.

Source of every path and field: the plugin's own users router (mlflow_oidc_auth/routers/users.py). A line of versions
without one of these endpoints lacks an ability, which is refused by name before anything is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import requests
from mlflow_sso_client import bounds
from mlflow_sso_client.errors import AccessError, NotAdminError, NotLoggedInError, RefusedError, UnknownNameError
from mlflow_sso_client.web import MLFLOW, Web

from components.plugin.lines import newest_line
from components.plugin.profile import Ability, PluginLine

USERS = "/api/2.0/mlflow/users"


@dataclass(frozen=True)
class PluginUser:
    """A user as the plugin knows it."""

    username: str
    is_admin: bool
    is_service_account: bool
    active: bool | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class PersonalToken:
    """A personal access token. Times are ISO 8601 in UTC.

    secret: only at creation, and never again; kept out of `repr`.
    """

    id: int
    name: str
    prefix: str
    created_at: str
    created_by: str
    expires_at: str
    last_used_at: str
    active: bool
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class UiSession:
    """A browser's session with the plugin. `pk` addresses it; its real id is a credential and never shown."""

    pk: int
    username: str
    prefix: str
    created_at: str
    last_seen_at: str
    expires_at: str


class MlflowApi:
    """Speaks to MLflow with one credential: a bearer token, or a user's personal access token (Basic).

    token: the bearer, or what gives one that is good now: a command may take longer than a token lives.
    plugin: the line of versions of the plugin that answers; the newest where it is not known.
    Every method raises the exceptions of `mlflow_sso_client.errors`.
    """

    def __init__(
        self,
        base_url: str,
        token: str | Callable[[], str] = "",
        *,
        basic: tuple[str, str] | None = None,
        http: requests.Session | None = None,
        plugin: PluginLine | None = None,
    ) -> None:
        self.web = Web(MLFLOW, base_url, http, bounds.LIST)
        self.plugin = plugin or newest_line()
        self._auth: dict[str, Any] = {"auth": basic} if basic else {}
        self._token = token

    def require(self, *abilities: Ability) -> None:
        """Raise RefusedError, naming every ability that the plugin lacks."""
        lacking = self.plugin.lacks(*abilities)
        if lacking:
            raise RefusedError(lacking, "`mlflow.pluginVersion` in the settings chooses another version")

    def request(self, method: str, path: str, *, what: str = "", **more: Any) -> requests.Response:
        """Ask `path`; `what` names the thing asked for, in the message of a refusal."""
        answer = self.web.ask(method, path, headers=self._headers(), **self._auth, **more)
        status, detail = answer.status_code, _detail(answer)
        if status == 401:
            raise NotLoggedInError(
                "MLflow does not accept this login (401)",
                "run `stackctl login`, and `stackctl doctor` if it stays so: audience, issuer or group may be wrong",
            )
        if status == 403:
            raise NotAdminError(
                f"MLflow does not allow this login {what or path} (403 {detail})", "log in as an MLflow administrator"
            )
        if status == 404:
            raise UnknownNameError(f"MLflow has no {what or path} ({detail or 'not found'})", "check the name or id")
        if status in (400, 409):
            raise RefusedError(f"MLflow refused {what or path}: {detail}", "nothing was changed")
        if status >= 300:
            raise AccessError(f"MLflow answered {status} to {method} {path} ({detail})", "see its log")
        return answer

    def status(self, path: str = f"{USERS}/current") -> int:
        """The status code of a GET with this credential: the plain question whether it is alive."""
        return self.web.ask("GET", path, headers=self._headers(), **self._auth).status_code

    def me(self) -> PluginUser:
        return _user(self._get(f"{USERS}/current", "the current user"))

    # Users, for administrators.

    def users(self) -> list[PluginUser]:
        """Every account with its state; groups are read one by one with `user`."""
        return [_user(row) for row in self._get(f"{USERS}/details", "to list users")]

    def user(self, username: str) -> PluginUser:
        return _user(self._get(f"{USERS}/{quote(username, safe='')}", f"user {username}"))

    def set_active(self, username: str, *, active: bool) -> None:
        """Deactivating also ends the account's sessions and deletes its tokens."""
        self.require(Ability.ACCOUNT_STATES)
        path = f"{USERS}/{quote(username, safe='')}/active"
        self.request("PATCH", path, what=f"user {username}", json={"active": active})

    # Personal access tokens: the login's own, or those of `user`.

    def tokens(self, user: str | None = None) -> list[PersonalToken]:
        document = self._get(self._tokens(user), f"tokens of {user or 'this login'}")
        return [_token(row) for row in document["tokens"]]

    def create_token(self, name: str, expires_at: str, user: str | None = None) -> PersonalToken:
        """A new token. expires_at: ISO 8601, at most a year from now (the plugin's limit)."""
        body = {"name": name, "expiration": expires_at}
        answer = self.request("POST", self._tokens(user), what=f"a token for {user or 'this login'}", json=body)
        return _token(self.web.json(answer))

    def delete_token(self, token_id: int, user: str | None = None) -> None:
        self.request("DELETE", f"{self._tokens(user)}/{token_id}", what=f"token {token_id} of {user or 'this login'}")

    def delete_tokens(self, user: str) -> int:
        """Delete every token of a user; returns how many there were."""
        return int(self.web.json(self.request("DELETE", self._tokens(user), what=f"tokens of {user}"))["revoked"])

    # Browser sessions, for administrators.

    def sessions(self, user: str) -> list[UiSession]:
        document = self._get(self._sessions(user), f"sessions of {user}")
        return [_session(row, user) for row in document["sessions"]]

    def revoke_session(self, user: str, pk: int) -> None:
        self.request("DELETE", f"{self._sessions(user)}/{pk}", what=f"session {user}/{pk}")

    def revoke_sessions(self, user: str) -> int:
        """End every session of a user; returns how many there were."""
        return int(self.web.json(self.request("DELETE", self._sessions(user), what=f"sessions of {user}"))["revoked"])

    def _tokens(self, user: str | None) -> str:
        self.require(Ability.PERSONAL_TOKENS)
        return f"{USERS}/{quote(user, safe='') if user else 'current'}/tokens"

    def _sessions(self, user: str) -> str:
        self.require(Ability.PAGE_SESSIONS)
        return f"{USERS}/{quote(user, safe='')}/sessions"

    def _headers(self) -> dict[str, str]:
        token = self._token if isinstance(self._token, str) else self._token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _get(self, path: str, what: str) -> Any:
        return self.web.json(self.request("GET", path, what=what))


def _detail(answer: requests.Response) -> str:
    if answer.status_code < 300:
        return ""
    try:
        document = answer.json()
    except requests.exceptions.JSONDecodeError:
        return ""
    detail = document.get("detail") or document.get("message") if isinstance(document, dict) else ""
    return detail if isinstance(detail, str) else ""


def _user(row: Mapping[str, Any]) -> PluginUser:
    return PluginUser(
        username=row["username"],
        is_admin=bool(row["is_admin"]),
        is_service_account=bool(row["is_service_account"]),
        active=row.get("active"),
        groups=tuple(sorted(group["group_name"] for group in row.get("groups") or ())),
    )


def _token(row: Mapping[str, Any]) -> PersonalToken:
    return PersonalToken(
        id=int(row["id"]),
        name=row["name"],
        prefix=row.get("token_prefix") or "",
        created_at=_time(row["created_at"]),
        created_by=row.get("created_by") or "",
        expires_at=_time(row["expires_at"]),
        last_used_at=_time(row.get("last_used_at")),
        active=bool(row["active"]),
        secret=row.get("token") or "",
    )


def _session(row: Mapping[str, Any], username: str) -> UiSession:
    return UiSession(
        pk=int(row["pk"]),
        username=username,
        prefix=row["session_id_prefix"],
        created_at=_time(row.get("created_at")),
        last_seen_at=_time(row.get("last_seen_at")),
        expires_at=_time(row.get("expires_at")),
    )


def _time(text: str | None) -> str:
    """ISO 8601 in UTC to the second; the plugin leaves out the offset of some of its times, which are UTC."""
    if not text:
        return ""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")
