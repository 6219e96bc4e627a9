"""The login flows of a Keycloak that is none, and what its people can be asked to do at a login."""

from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any
from urllib.parse import unquote

from mlflow_sso_client.errors import AccessError

BROWSER = {"browserFlow": "browser", "directGrantFlow": "direct grant", "resetCredentialsFlow": "reset credentials"}


class Flows:
    """settings: of the realm, which says what each flow is used for. broken: a step that Keycloak does not take.

    used: flows that clients use.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._ids = (f"flow-{number}" for number in itertools.count())
        self._settings = settings
        for binding, alias in BROWSER.items():
            settings.setdefault(binding, alias)
        self.broken = ""
        self.used: set[str] = set()
        # By id: flows, those inside of another one with it for a parent; their steps in order; configurations.
        self.all: dict[str, dict[str, Any]] = {}
        self.steps: dict[str, list[dict[str, Any]]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.actions = {
            alias: {"alias": alias, "name": alias, "enabled": enabled, "defaultAction": False, "priority": 10}
            for alias, enabled in (
                ("CONFIGURE_TOTP", True),
                ("webauthn-register-passwordless", True),
                ("TERMS_AND_CONDITIONS", False),
            )
        }
        for alias in BROWSER.values():
            self._add(alias, top=True)

    def shown(self, steps: list[str]) -> Any:
        """steps: the parts of a path below /authentication."""
        match steps:
            case ["flows"]:
                return deepcopy([flow for flow in self.all.values() if flow["topLevel"]])
            case ["flows", alias, "executions"]:
                return deepcopy(self._rows(self._named(unquote(alias)), 0))
            case ["flows", found]:
                return deepcopy(self.all[found])
            case ["config", found]:
                return deepcopy(self.configs[found])
            case ["required-actions"]:
                return deepcopy(list(self.actions.values()))
        raise AssertionError(steps)

    def asked(self, method: str, steps: list[str], document: Any) -> None:
        match method, steps:
            case "POST", ["flows"]:
                self._add(document["alias"], top=True)
            case "POST", ["flows", alias, "executions", "flow"]:
                inner = self._add(document["alias"], top=False)
                self._step(alias, {"displayName": document["alias"], "authenticationFlow": True, "flowId": inner})
            case "POST", ["flows", alias, "executions", "execution"]:
                self._step(alias, {"displayName": "Some words", "providerId": document["provider"]})
            case "PUT", ["flows", _, "executions"]:
                self._row(document["id"])["requirement"] = document["requirement"]
            case "POST", ["executions", step, "config"]:
                found = self._configured(document)
                self._row(step)["authenticationConfig"] = found
            case "PUT", ["config", found]:
                assert found in self.configs
                self.configs[found] = document
            case "PUT", ["flows", found]:
                self.all[found] = document
                for row in itertools.chain(*self.steps.values()):
                    if row.get("flowId") == found:
                        row["displayName"] = document["alias"]
            case "DELETE", ["flows", found]:
                assert self.all[found]["alias"] not in [self._settings[one] for one in BROWSER], "it is in use"
                if self.all[found]["alias"] in self.used:
                    raise AccessError("Keycloak refused DELETE (400 in use)", "see its log")
                self._drop(found)
            case "PUT", ["required-actions", alias]:
                self.actions[alias] = document
            case _:
                raise AssertionError((method, steps))

    def named(self, alias: str) -> list[dict[str, Any]]:
        """The steps of a flow themselves, for a test that changes them as the console would."""
        return self.steps[self._named(alias)]

    def _named(self, alias: str) -> str:
        return next(found for found, flow in self.all.items() if flow["alias"] == alias)

    def _add(self, alias: str, *, top: bool) -> str:
        assert alias not in [flow["alias"] for flow in self.all.values()], f"409 {alias}"
        found = next(self._ids)
        self.all[found], self.steps[found] = {"id": found, "alias": alias, "topLevel": top}, []
        return found

    def _step(self, alias: str, row: dict[str, Any]) -> None:
        if row.get("providerId") == self.broken:
            raise AccessError("Keycloak refused POST executions (500 no)", "see its log")
        self.steps[self._named(unquote(alias))].append({**row, "id": next(self._ids), "requirement": "DISABLED"})

    def _configured(self, document: dict[str, Any]) -> str:
        assert document["alias"] not in [one["alias"] for one in self.configs.values()], f"409 {document['alias']}"
        found = next(self._ids)
        self.configs[found] = {**document, "id": found}
        return found

    def _row(self, found: str) -> dict[str, Any]:
        return next(row for row in itertools.chain(*self.steps.values()) if row["id"] == found)

    def _rows(self, flow: str, level: int) -> list[dict[str, Any]]:
        rows = []
        for row in self.steps[flow]:
            rows.append({**row, "level": level})
            if row.get("authenticationFlow"):
                rows += self._rows(row["flowId"], level + 1)
        return rows

    def _drop(self, flow: str) -> None:
        for row in self.steps.pop(flow):
            self.configs.pop(row.get("authenticationConfig", ""), None)
            if row.get("authenticationFlow"):
                self._drop(row["flowId"])
        del self.all[flow]
