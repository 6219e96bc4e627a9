"""Somebody of a realm, with each kind of credentials, and what MLflow takes them for."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import requests

from tests.e2e.asking import V2
from tests.e2e.harness import TIMEOUT, Client, unbroken
from tests.e2e.keycloak import KeycloakAdmin
from tests.e2e.people import Browser

CURRENT = f"{V2}/users/current"
REFUSED = "refused"


def standing(answer: requests.Response) -> str:
    """What MLflow takes for whoever asked for their own account: `administrator`, their groups, or `refused`."""
    if answer.status_code in (302, 401):
        return REFUSED
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:500]}"
    about = answer.json()
    groups = " ".join(sorted(group["group_name"] for group in about["groups"]))
    return "administrator" if about["is_admin"] else groups


@dataclass
class Somebody:
    """A person (`service` is empty) or the service account of the client `service`."""

    client: Client
    keycloak: KeycloakAdmin
    name: str
    id: str
    secret: str
    service: str = ""
    shown: str = ""

    @classmethod
    def person(cls, client: Client, keycloak: KeycloakAdmin, group: str) -> Somebody:
        name, password = f"p-{secrets.token_hex(4)}", secrets.token_hex(8)
        more = {"email": f"{name}@example.com", "emailVerified": True, "firstName": "P", "lastName": "X"}
        credentials = [{"type": "password", "value": password, "temporary": False}]
        path = f"/{keycloak.realm}/users"
        number = keycloak.make(path, username=name, enabled=True, groups=[f"/{group}"], credentials=credentials, **more)
        return cls(client, keycloak, name, number, password)

    @classmethod
    def account(cls, client: Client, keycloak: KeycloakAdmin, group: str, like: str = "ci") -> Somebody:
        """The service account of a new client, which is made like the client `like` of the stack's."""
        path = f"/{keycloak.realm}/clients"
        (found,) = keycloak.get(f"{path}?clientId={like}")
        name, secret = f"c-{secrets.token_hex(4)}", secrets.token_hex(16)
        kept = ("serviceAccountsEnabled", "standardFlowEnabled", "fullScopeAllowed", "publicClient")
        mappers = [{k: v for k, v in mapper.items() if k != "id"} for mapper in found["protocolMappers"]]
        service = keycloak.make(
            path, clientId=name, secret=secret, protocolMappers=mappers, **{key: found[key] for key in kept}
        )
        # The roles that its tokens may name.
        for owner in keycloak.get(f"{path}/{found['id']}/scope-mappings").get("clientMappings", {}).values():
            keycloak.call("POST", f"{path}/{service}/scope-mappings/clients/{owner['id']}", json=owner["mappings"])
        number = keycloak.get(f"{path}/{service}/service-account-user")["id"]
        made = cls(client, keycloak, f"service-account-{name}", number, secret, service)
        made.join(group)
        return made

    def token(self) -> str:
        """A new token; the one before where Keycloak gives none any more."""
        outputs = self.client.outputs
        if self.service:
            form = {"grant_type": "client_credentials", "client_id": self.name.removeprefix("service-account-")}
            form |= {"client_secret": self.secret}
        else:
            form = {"grant_type": "password", "client_id": outputs["client_id"], "scope": "openid"}
            form |= {"username": self.name, "password": self.secret, "client_secret": outputs["client_secret"]}
        # A first login and a look of MLflow's may both bring somebody of a directory in: Keycloak answers one 500.
        answer = unbroken(lambda: self.client.grant(**form))
        self.shown = str(answer.json().get("access_token", self.shown))
        return self.shown

    def bearer(self, token: str = "") -> str:
        return standing(self.client.mlflow(CURRENT, token or self.token()))

    def personal(self, token: str) -> str:
        url = f"{self.client.outputs['mlflow_url']}{CURRENT}"
        return standing(requests.get(url, auth=(self.name, token), timeout=TIMEOUT, allow_redirects=False))

    def personal_token(self) -> str:
        expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        body = {"name": f"t-{secrets.token_hex(4)}", "expiration": expires}
        made = self.client.mlflow(f"{V2}/users/current/tokens", self.token(), "POST", json=body)
        assert made.status_code in (200, 201), made.text
        return str(made.json()["token"])

    def offline(self) -> Callable[[], str]:
        """What an offline token makes of its owner, as a program finds it that renews its token at each call."""
        login = {"client_id": str(self.client.outputs["cli_client_id"])}
        form = {"grant_type": "password", "username": self.name, "password": self.secret}
        kept = self.client.grant(scope="openid offline_access", **login, **form).json()["refresh_token"]

        def ask() -> str:
            answer = self.client.grant(grant_type="refresh_token", refresh_token=kept, **login)
            return self.bearer(answer.json()["access_token"]) if answer.status_code == 200 else REFUSED

        return ask

    def browser(self) -> Browser:
        """A browser with MLflow's pages open."""
        return Browser().log_in(self.client.outputs["mlflow_url"], self.name, self.secret)

    def pages(self, browser: Browser) -> str:
        return standing(browser.ask(f"{self.client.outputs['mlflow_url']}{CURRENT}"))

    # What happens to them in Keycloak.

    def join(self, group: str) -> None:
        self.keycloak.call("PUT", self._membership(group))

    def leave(self, group: str) -> None:
        self.keycloak.remove(self._membership(group))

    def _membership(self, group: str) -> str:
        (found,) = self.keycloak.get(f"/{self.keycloak.realm}/groups?search={group}&exact=true")
        return f"/{self.keycloak.realm}/users/{self.id}/groups/{found['id']}"

    def disable(self) -> None:
        what = f"clients/{self.service}" if self.service else f"users/{self.id}"
        self.keycloak.call("PUT", f"/{self.keycloak.realm}/{what}", json={"enabled": False})

    def enable(self) -> None:
        self.keycloak.call("PUT", f"/{self.keycloak.realm}/users/{self.id}", json={"enabled": True})

    def delete(self) -> None:
        what = f"clients/{self.service}" if self.service else f"users/{self.id}"
        self.keycloak.remove(f"/{self.keycloak.realm}/{what}")
