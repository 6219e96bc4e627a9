"""A Keycloak's realm in memory, as far as its admin API is asked by what brings a realm to its declaration."""

from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any, cast

from mlflow_sso_client.errors import AccessError

from stackctl.clients.keycloak_admin import KeycloakAdmin, RealmClient
from stackctl.realm.actual import Actual
from stackctl.realm.steps import steps
from tests.unit.fake_flows import Flows

_LISTS = {"/groups": "groups", "/clients": "clients", "/users": "users"}


class FakeRealm:
    """What `Actual` asks of `KeycloakAdmin`. calls: every change, as `METHOD path`."""

    def __init__(self, tree: dict[str, Any]) -> None:
        """tree: a realm import that was imported."""
        self._ids = (f"id-{number}" for number in itertools.count())
        apart = {*_LISTS.values(), "roles", "clientScopeMappings", "identityProviders", "identityProviderMappers"}
        apart |= {"components", "authenticationFlows", "authenticatorConfig", "requiredActions", "localizationTexts"}
        self.settings = {key: deepcopy(value) for key, value in tree.items() if key not in apart}
        self.lists: dict[str, dict[str, dict[str, Any]]] = {part: {} for part in _LISTS.values()}
        self.texts: dict[str, dict[str, str]] = deepcopy(tree.get("localizationTexts", {}))
        self.accounts: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        # The themes that its server has, by their kinds.
        self.looks = {"login": ["base", "keycloak.v2"], "account": ["keycloak.v3"], "email": ["base", "keycloak"]}
        # Roles of clients by their ids; and of a group or a client, `<id> <id of the roles' client>`, their names.
        self.roles: dict[str, dict[str, Any]] = {}
        self.given: dict[str, set[str]] = {}
        # Keycloak's own, whose roles are the rights to the realm.
        self._post("/clients", {"clientId": "realm-management"})
        self._role(self.named("clients", "clientId", "realm-management")["id"], {"name": "view-users"})
        for path, part in _LISTS.items():
            for entry in tree[part]:
                if "serviceAccountClientId" in entry:
                    client = self.named("clients", "clientId", entry["serviceAccountClientId"])
                    account = self.accounts[client["id"]]
                    account["groups"] = list(entry["groups"])
                    for owner, names in entry.get("clientRoles", {}).items():
                        self.given[f"{account['id']} {self.named('clients', 'clientId', owner)['id']}"] = set(names)
                else:
                    self._post(path, deepcopy(entry))
        self._import_roles(tree)
        # Identity providers by their aliases, and what leads their people to groups.
        self.providers = {one["alias"]: deepcopy(one) for one in tree.get("identityProviders", ())}
        self.provider_mappers = [{**m, "id": next(self._ids)} for m in tree.get("identityProviderMappers", ())]
        self.components, self.flows = Components(), Flows(self.settings)
        scopes = {name for client in tree["clients"] for name in client["defaultClientScopes"]}
        self.scopes = {name: f"scope-{name}" for name in sorted(scopes | {"offline_access"})}

    def _import_roles(self, tree: dict[str, Any]) -> None:
        owner = {client["clientId"]: client["id"] for client in self.lists["clients"].values()}
        for client, roles in tree.get("roles", {}).get("client", {}).items():
            for role in roles:
                self._role(owner[client], role)
        for group in tree["groups"]:
            for client, names in group.get("clientRoles", {}).items():
                self.given[f"{self.named('groups', 'name', group['name'])['id']} {owner[client]}"] = set(names)
        for client, mappings in tree.get("clientScopeMappings", {}).items():
            for mapping in mappings:
                self.given[f"{owner[mapping['client']]} {owner[client]}"] = set(mapping["roles"])

    def _role(self, client: str, role: dict[str, Any]) -> None:
        found = next(self._ids)
        self.roles[found] = {**role, "id": found, "containerId": client}

    def named(self, part: str, key: str, name: str) -> dict[str, Any]:
        return next(entry for entry in self.lists[part].values() if entry.get(key) == name)

    # As KeycloakAdmin has them.

    def themes(self) -> dict[str, Any]:
        return {kind: [{"name": name} for name in names] for kind, names in self.looks.items()}

    def realm(self) -> dict[str, Any]:
        return deepcopy(self.settings)

    def clients(self) -> list[RealmClient]:
        return [
            RealmClient(one["id"], one["clientId"], True, bool(one.get("serviceAccountsEnabled")), deepcopy(one))
            for one in self.lists["clients"].values()
        ]

    def memberships(self, user_id: str) -> dict[str, str]:
        everybody = (*self.lists["users"].values(), *self.accounts.values())
        (mine,) = [one.get("groups", ()) for one in everybody if one["id"] == user_id]
        return {path.removeprefix("/"): path for path in mine}

    def pages(self, path: str) -> list[dict[str, Any]]:
        if path == "/groups":
            return list(self.lists["groups"].values())
        group = self.lists["groups"][path.split("/")[2]]["name"]
        return [user for user in self.lists["users"].values() if f"/{group}" in user.get("groups", ())]

    def get(self, path: str, *, what: str = "", **params: Any) -> Any:
        if path == "/client-scopes":
            return [{"name": name, "id": found} for name, found in self.scopes.items()]
        if path == "/users":
            asked = {key: value for key, value in params.items() if key in ("username", "email")}
            return [deepcopy(u) for u in self.lists["users"].values() if asked.items() <= u.items()]
        steps = path.split("/")[1:]
        if steps[0] == "identity-provider":
            return self._shown(steps)
        if steps[0] == "localization":
            return dict(self.texts.get(steps[1], {}))
        if steps[:1] == ["components"]:
            return self.components.shown(**params)
        if steps[0] == "authentication":
            return self.flows.shown(steps[1:])
        if steps[-1] == "federated-identity":
            return self.lists["users"][steps[1]].get("federatedIdentities", [])
        if steps[-1] == "roles":
            return [role for role in self.roles.values() if role["containerId"] == steps[1]]
        if "role-mappings" in steps or "scope-mappings" in steps:
            return [{"name": name} for name in self.given.get(f"{steps[1]} {steps[-1]}", ())]
        return self.accounts[steps[1]]

    def request(self, method: str, path: str, *, what: str = "", json: Any = None) -> None:
        self.calls.append(f"{method} {path}")
        steps = path.split("/")[1:]
        if steps[:1] == ["localization"]:
            self.texts[steps[1]] = {**self.texts.get(steps[1], {}), **json}
        elif steps[:1] == ["components"]:
            self.components.asked(method, steps, deepcopy(json))
        elif steps[:1] == ["authentication"]:
            self.flows.asked(method, steps[1:], deepcopy(json))
        elif method == "POST" and path in _LISTS:
            self._post(path, deepcopy(json))
        elif path.startswith("/identity-provider/"):
            self._provide(method, steps[2:], deepcopy(json))
        elif path == "":
            self.settings.update(deepcopy(json))
        elif steps[-1] == "roles":
            self._role(steps[1], json)
        elif "role-mappings" in steps or "scope-mappings" in steps:
            assert all(role["id"] in self.roles for role in json)
            self.given.setdefault(f"{steps[1]} {steps[-1]}", set()).update(role["name"] for role in json)
        elif steps[0] == "roles-by-id":
            gone = self.roles.pop(steps[1])
            for key, names in self.given.items():
                if key.split()[1] == gone["containerId"]:
                    names.discard(gone["name"])
        elif "protocol-mappers" in steps:
            self._mapper(method, self.lists["clients"][steps[1]], steps, json)
        elif steps[-2] in ("default-client-scopes", "optional-client-scopes"):
            key = f"{steps[-2].split('-')[0]}ClientScopes"
            name = next(name for name, found in self.scopes.items() if found == steps[-1])
            names = self.lists["clients"][steps[1]][key]
            names.append(name) if method == "PUT" else names.remove(name)
        elif len(steps) == 4:
            who = self.lists["users"].get(steps[1]) or next(a for a in self.accounts.values() if a["id"] == steps[1])
            group = f"/{self.lists['groups'][steps[3]]['name']}"
            who["groups"] = [one for one in who.get("groups", ()) if one != group] + [group] * (method == "PUT")
        elif method == "DELETE":
            del self.lists[steps[0]][steps[1]]
            self.accounts.pop(steps[1], None)
        else:
            self._put(steps[0], steps[1], deepcopy(json))

    def try_directory(self, trial: dict[str, str]) -> str:
        return self.components.tried(trial)

    def _shown(self, steps: list[str]) -> list[dict[str, Any]]:
        """Providers without their secrets, or the mappers of one."""
        if steps[-1] == "mappers":
            return [deepcopy(one) for one in self.provider_mappers if one["identityProviderAlias"] == steps[2]]
        hidden = [one["config"].keys() & {"clientSecret"} for one in self.providers.values()]
        return [
            {**one, "config": {**one["config"], **dict.fromkeys(names, "**********")}}
            for one, names in zip(self.providers.values(), hidden, strict=True)
        ]

    def _provide(self, method: str, steps: list[str], document: Any) -> None:
        if "mappers" in steps:
            self.provider_mappers = [one for one in self.provider_mappers if one["id"] != steps[-1]]
            if method != "DELETE":
                self.provider_mappers.append({"id": next(self._ids), **document})
        elif method == "DELETE":
            del self.providers[steps[0]]
        else:
            self.providers[document["alias"]] = document

    def _post(self, path: str, entry: dict[str, Any]) -> None:
        entry["id"] = next(self._ids)
        # Which Keycloak passes over here.
        entry.pop("clientRoles", None)
        for mapper in entry.get("protocolMappers", ()):
            mapper["id"] = next(self._ids)
        self.lists[_LISTS[path]][entry["id"]] = entry
        if entry.get("serviceAccountsEnabled"):
            self.accounts[entry["id"]] = {"id": next(self._ids), "groups": []}

    def _put(self, part: str, found: str, entry: dict[str, Any]) -> None:
        mine = self.lists[part][found]
        # What has requests of its own, Keycloak passes over here.
        apart = {"protocolMappers", "defaultClientScopes", "optionalClientScopes", "groups"}
        mine.update({key: value for key, value in entry.items() if key not in apart})
        mine["attributes"] = {key: value for key, value in mine.get("attributes", {}).items() if value}

    def _mapper(self, method: str, client: dict[str, Any], steps: list[str], document: Any) -> None:
        rest = [mapper for mapper in client["protocolMappers"] if mapper["id"] != steps[-1]]
        if method == "POST":
            rest.append({**deepcopy(document), "id": next(self._ids)})
        elif method == "PUT":
            rest.append(deepcopy(document))
        client["protocolMappers"] = rest


class Components:
    """LDAP directories and what is inside of them.

    answers: what a trial of an action says, if it fails. broken: the name of a mapper that Keycloak does not take.
    """

    def __init__(self) -> None:
        self.all: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, str] = {}
        self.broken = ""

    def tried(self, trial: dict[str, str]) -> str:
        return self.answers.get(trial["action"], "")

    def shown(self, type: str = "", parent: str = "") -> list[dict[str, Any]]:
        found = [one for one in self.all.values() if parent in ("", one.get("parentId"))]
        found = deepcopy([one for one in found if type in ("", one["providerType"])])
        for one in found:
            if "bindCredential" in one["config"]:
                one["config"]["bindCredential"] = ["**********"]
        return found

    def asked(self, method: str, steps: list[str], document: Any) -> None:
        if method == "POST":
            if document["name"] == self.broken:
                raise AccessError("Keycloak refused POST /components (500 no)", "see its log")
            name = f"{document.get('parentId', 'component')}-{document['name']}"
            self.all[name] = {**document, "id": name}
            if document["providerId"] == "ldap":
                # One that Keycloak makes by itself.
                own = {"name": "creation date", "providerId": "user-attribute-ldap-mapper", "config": {}}
                self.asked("POST", steps, {**own, "parentId": name, "providerType": "mapper"})
        elif method == "DELETE":
            self.all = {key: one for key, one in self.all.items() if steps[1] not in (key, one.get("parentId"))}
        else:
            mine = self.all[steps[1]]
            config = {**mine["config"], **document["config"]}
            self.all[steps[1]] = {**mine, "config": {key: value for key, value in config.items() if value}}


def apply(realm: FakeRealm, wanted: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """Takes the steps that lead a realm to its declaration, and returns what they say."""
    found = steps(wanted, before, Actual(cast("KeycloakAdmin", realm)))
    said = [f"{step.where}: {'; '.join(step.changes)}" for step in found]
    for step in found:
        step.take()
    return said
