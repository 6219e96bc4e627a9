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
from problems import Problem, StackError
from stackctl.realm.actual import Actual
from stackctl.realm.fingerprint import MARK
from stackctl.realm.people import FIELDS
from stackctl.realm.step import Tree

ATTRIBUTE = "mlflow-sso.declared"
# Of scrypt (RFC 7914): 16 MiB and some 50 ms for each guess at a key that a person chose.
_COST = {"n": 2**14, "r": 8, "p": 1}


class Memory:
    """Every method raises as `KeycloakAdmin` does.

    owner: the client. key: of this stack alone. Whoever sees clients sees the attribute, and cannot try which secret a
    fingerprint in it is of. Whoever changes clients changes it, and it is refused then: it would say whom to remove.
    """

    def __init__(self, actual: Actual, owner: str, key: str) -> None:
        self._actual, self._owner = actual, owner
        self._key = hashlib.scrypt(key.encode(), salt=ATTRIBUTE.encode(), **_COST)

    def read(self, declared: Tree) -> dict[str, Any]:
        """What is remembered; nothing of a realm that was never brought anywhere.

        declared: what is declared now, by whose fingerprints those that are remembered are known.
        Raises StackError for what another one wrote there.
        """
        # Its client had another name before MLflow's was given one.
        clients = sorted(self._actual.clients.items(), key=lambda item: item[0] != self._owner)
        found = [text for _, client in clients if (text := _attributes(client).get(ATTRIBUTE, ""))]
        tree = next((self._opened(text) for text in found if self._is_mine(text)), None)
        if tree is None and found:
            expected = (
                "expected what this stack's Job wrote, by the secret that its service account has now; find out who "
                "changed either. Without that attribute the realm is taken for the one that was imported"
            )
            problem = Problem(f"attribute {ATTRIBUTE} of client {self._owner}", "", expected)
            raise StackError("What was declared before is not known; nothing was changed.", [problem])
        known = {self._keyed(text): text for text in _texts(declared) if text.startswith(MARK)}
        return dict(_each(tree or {}, lambda text: known.get(text, text)))

    def keep(self, tree: Tree) -> None:
        """Remembers it, unless it does so already."""
        keyed = _each(tree, lambda text: self._keyed(text) if text.startswith(MARK) else text)
        plain = json.dumps(keyed, sort_keys=True, separators=(",", ":")).encode()
        packed = base64.b64encode(zlib.compress(plain, 9)).decode()
        text = f"{self._seal(packed)} {packed}"
        client = self._actual.clients.get(self._owner)
        if client is None or _attributes(client).get(ATTRIBUTE) == text:
            return
        _write(self._actual, client, text)

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
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def forgotten(actual: Actual) -> None:
    """Takes away what a Job remembers, which would be out of date once the realm was changed by another program."""
    for client in actual.clients.values():
        if _attributes(client).get(ATTRIBUTE):
            _write(actual, client, "")


def _write(actual: Actual, client: Mapping[str, Any], text: str) -> None:
    """An attribute without a text is removed (`org.keycloak.models.utils.RepresentationToModel`)."""
    document = {**client, "attributes": {**_attributes(client), ATTRIBUTE: text}}
    document.pop("secret", None)
    actual.send("PUT", f"/clients/{client['id']}", document)
    actual.forget()


def adopted(wanted: Tree, imported: Tree, actual: Actual) -> dict[str, Any]:
    """What is taken for declared before, of a realm of which nothing is remembered.

    imported: what Keycloak imported at its first start. It counts for whoever of it is still there. Others who are
    there are taken for declared as they are declared now, so that nobody is put back into a group that they were taken
    out of. Providers and directories under declared names are the stack's own.
    """
    was = [_told(user) for user in imported.get("users", ()) if _there(user, actual)]
    known = {user["username"] for user in was}
    now = [_told(u) for u in wanted["users"] if u["username"] not in known and _there(u, actual, linked=False)]
    aliases = {one["alias"] for one in imported.get(PROVIDERS, ())}
    providers = [
        {"alias": one["alias"], "config": {}}
        for one in wanted.get(PROVIDERS, ())
        if one["alias"] not in aliases and one["alias"] in actual.providers
    ]
    directories = [
        {"name": one["name"], "config": {}}
        for one in wanted.get(COMPONENTS, {}).get(STORAGE, ())
        if actual.directories.get(one["name"], {}).get("providerId") == PROVIDER
    ]
    return {
        "realm": wanted["realm"],
        **imported,
        "users": [*was, *now],
        PROVIDERS: [*imported.get(PROVIDERS, ()), *providers],
        COMPONENTS: {STORAGE: directories},
    }


def _there(user: Tree, actual: Actual, *, linked: bool = True) -> bool:
    """Whether somebody is there under that name who is Keycloak's own. linked: also one who came from a provider."""
    client = user.get("serviceAccountClientId")
    if client:
        return bool(actual.clients.get(client, {}).get("serviceAccountsEnabled"))
    found = actual.person(user["username"])
    return found is not None and not found.get("federationLink") and (linked or not actual.links(found["id"]))


def _told(user: Tree) -> dict[str, Any]:
    """What is declared of somebody, without a password."""
    return {key: user[key] for key in ("username", "serviceAccountClientId", "groups", *FIELDS) if key in user}


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
