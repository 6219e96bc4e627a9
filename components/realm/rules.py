"""What Keycloak refuses only while it makes the realm: names and addresses that are one to it.

It spells both in small letters, and gives each service account a user.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.identity import account_username
from components.realm.spec import sample_address
from components.realm_words import BUILT_IN_CLIENTS
from settings import ENCRYPTED, Settings, wants_sample_users
from settings.derived import SAMPLE_USERS
from settings.known import Known
from settings.wrong import Wrong

_ONCE = "expected each {} once: small and large letters are alike, and service accounts have users"
_SAMPLES = "realm.sampleUsers"
# Where each name or address stands, and what Keycloak makes of it.
_Found = Sequence[tuple[str, str]]


def names(settings: Settings, known: Known) -> Iterator[Wrong]:
    """No two users have one name."""
    yield from _twice("user", _names(settings, known))


def clients(settings: Settings, known: Known) -> Iterator[Wrong]:
    """No client has the id of one that Keycloak makes by itself."""
    realm = settings.realm
    given = {"realm.clientId": realm.client_id, "realm.cliClientId": realm.cli_client_id}
    given |= {f"realm.serviceAccounts[{i}].clientId": one.client_id for i, one in enumerate(realm.service_accounts)}
    for key, name in given.items():
        if known.values(key) and (name in BUILT_IN_CLIENTS or name == f"{realm.name}-realm"):
            yield Wrong((key,), name, "expected another id: Keycloak has a client of its own by this one")


def addresses(settings: Settings, known: Known) -> Iterator[Wrong]:
    """No two users have one address, and none has another one's for a name."""
    people, found = _names(settings, known), _addresses(settings, known)
    yield from _twice("address", found)
    existing = settings.keycloak.existing
    if not known.presence("keycloak.existing") or (existing and not existing.create_realm):
        return
    for where, address in found:
        for key, name in people:
            # Keycloak looks for a name with an @ among the addresses first: that user could never log in.
            another = key.rpartition(".")[0] != where.rpartition(".")[0]
            if name == address and another and known.values(key, where):
                yield Wrong((key, where), name, "expected no user whose name is the address of another one")


def _twice(kind: str, found: _Found) -> Iterator[Wrong]:
    for one in sorted({name for _, name in found}):
        keys = tuple(key for key, name in found if name == one)
        if len(keys) > 1:
            yield Wrong(keys, one, _ONCE.format(kind))


def _names(settings: Settings, known: Known) -> _Found:
    realm = settings.realm
    found = [(_SAMPLES, name) for name in _samples(settings, known)]
    found += [(f"realm.users[{i}].username", user.username.lower()) for i, user in enumerate(realm.users)]
    clients = [("realm.clientId", realm.client_id)]
    clients += [(f"realm.serviceAccounts[{i}].clientId", one.client_id) for i, one in enumerate(realm.service_accounts)]
    found += [(key, account_username(client)) for key, client in clients if client != ENCRYPTED]
    return _readable(found, known)


def _addresses(settings: Settings, known: Known) -> _Found:
    found = [(_SAMPLES, sample_address(name)) for name in _samples(settings, known)]
    users = enumerate(settings.realm.users)
    found += [(f"realm.users[{i}].email", user.email.lower()) for i, user in users if user.email]
    return _readable(found, known)


def _readable(found: _Found, known: Known) -> _Found:
    """Those that were not refused, and that do not stand for what the engine alone can read."""
    return [(key, name) for key, name in found if known.values(key) and name != ENCRYPTED]


def _samples(settings: Settings, known: Known) -> Sequence[str]:
    asked = settings.realm.sample_users is not None or known.values("environment")
    return SAMPLE_USERS if asked and wants_sample_users(settings) else ()
