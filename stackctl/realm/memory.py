"""What was declared as a realm was last brought there, kept in Keycloak itself.

For what has no directory of its own to keep it in (`stackctl.realm.job`). It is an attribute of the client whose roles
stand for the groups: the stack's own, which nobody logs in by and nobody edits.
See docs/decisions/realm/0031-realm-job.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.realm_words import COMPONENTS, PROVIDER, PROVIDERS, STORAGE
from stackctl.realm.actual import Actual
from stackctl.realm.fingerprint import MARK
from stackctl.realm.people import FIELDS
from stackctl.realm.step import Tree

ATTRIBUTE = "mlflow-sso.declared"


class Memory:
    """Every method raises as `KeycloakAdmin` does.

    owner: the client. key: of this stack alone. Whoever sees clients sees the attribute, and cannot try which secret a
    fingerprint in it is of. Whoever changes clients changes it, and it is none then: it would say whom to remove.
    """

    def __init__(self, actual: Actual, owner: str, key: str) -> None:
        self._actual, self._owner, self._key = actual, owner, key

    def read(self, declared: Tree) -> dict[str, Any]:
        """What is remembered; nothing of a realm that was never brought anywhere.

        declared: what is declared now, by whose fingerprints those that are remembered are known.
        """
        # Its client had another name before MLflow's was given one.
        clients = sorted(self._actual.clients.items(), key=lambda item: item[0] != self._owner)
        found = (_attributes(client).get(ATTRIBUTE, "") for _, client in clients)
        tree = next((self._opened(text) for text in found if self._is_mine(text)), {})
        known = {self._keyed(text): text for text in _texts(declared) if text.startswith(MARK)}
        return dict(_each(tree, lambda text: known.get(text, text)))

    def keep(self, tree: Tree) -> None:
        """Remembers it, unless it does so already."""
        keyed = _each(tree, lambda text: self._keyed(text) if text.startswith(MARK) else text)
        plain = json.dumps(keyed, sort_keys=True, separators=(",", ":")).encode()
        packed = base64.b64encode(zlib.compress(plain, 9)).decode()
        text = f"{self._seal(packed)} {packed}"
        client = self._actual.clients.get(self._owner)
        if client is None or _attributes(client).get(ATTRIBUTE) == text:
            return
        document = {**client, "attributes": {**_attributes(client), ATTRIBUTE: text}}
        document.pop("secret", None)
        self._actual.send("PUT", f"/clients/{client['id']}", document)
        self._actual.forget()

    def _is_mine(self, text: str) -> bool:
        seal, _, packed = text.partition(" ")
        return hmac.compare_digest(seal.encode(), self._seal(packed).encode())

    @staticmethod
    def _opened(text: str) -> dict[str, Any]:
        return dict(json.loads(zlib.decompress(base64.b64decode(text.partition(" ")[2]))))

    def _seal(self, packed: str) -> str:
        return self._hmac(f"memory {packed}")

    def _keyed(self, fingerprint: str) -> str:
        return MARK + self._hmac(fingerprint)

    def _hmac(self, text: str) -> str:
        return hmac.new(self._key.encode(), text.encode(), hashlib.sha256).hexdigest()


def adopted(wanted: Tree, actual: Actual) -> dict[str, Any]:
    """What is taken for declared before, of a realm of which nothing is remembered: what it has of what is declared.

    It is the stack's own, which imported it or brought it there by another engine. What people have now is what was
    declared for them; their other groups are somebody's choice, as always.
    """
    return {
        "realm": wanted["realm"],
        "users": [found for user in wanted["users"] if (found := _as_it_is(user, actual))],
        PROVIDERS: [
            {"alias": one["alias"], "config": {}}
            for one in wanted.get(PROVIDERS, ())
            if one["alias"] in actual.providers
        ],
        COMPONENTS: {
            STORAGE: [
                {"name": one["name"], "config": {}}
                for one in wanted.get(COMPONENTS, {}).get(STORAGE, ())
                if actual.directories.get(one["name"], {}).get("providerId") == PROVIDER
            ]
        },
    }


def _as_it_is(user: Tree, actual: Actual) -> dict[str, Any]:
    """Somebody who is declared, as they are; nothing where nobody is, or somebody from elsewhere."""
    client = user.get("serviceAccountClientId")
    if client:
        there = actual.clients.get(client, {}).get("serviceAccountsEnabled")
        found = actual.account(client) if there else None
    else:
        found = actual.person(user["username"])
    if found is None or found.get("federationLink") or (not client and actual.links(found["id"])):
        return {}
    inside = {f"/{path}" for path in actual.admin.memberships(found["id"])}
    return {
        "username": user["username"],
        **({"serviceAccountClientId": client} if client else {}),
        **{key: found[key] for key in FIELDS if key in user and key in found},
        "groups": [group for group in user.get("groups", ()) if group in inside],
    }


def _attributes(client: Mapping[str, Any]) -> Mapping[str, str]:
    return client.get("attributes") or {}


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    for one in tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list) else ():
        yield from _texts(one)


def _each(tree: Any, change: Callable[[str], str]) -> Any:
    """A tree with each text in it changed."""
    if isinstance(tree, str):
        return change(tree)
    if isinstance(tree, Mapping):
        return {key: _each(one, change) for key, one in tree.items()}
    return [_each(one, change) for one in tree] if isinstance(tree, list) else tree
