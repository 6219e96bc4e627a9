"""What brings the realm to its declaration where files are applied by another program than `stackctl up`.

The import of a realm counts once; after that somebody has to speak to Keycloak.
See docs/decisions/realm/0031-realm-job.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from components.identity import REALM_JOB
from components.keycloak import admin_login, keycloak_address
from components.realm.document import realm_import
from components.realm.spec import RealmSpec
from components.realm_words import Declared
from platforms.secrets import Secret, SecretText
from platforms.workload import File, OnDemand, Resources, Workload
from settings import Settings
from settings.versions import image

# A number that no account of a host has (docs/decisions/0008-docker-isolation.md).
UID = 60906
# Agreed with images/realm.
PROGRAM = ("python3", "-m", "stackctl.realm.job")
DECLARED_PATH = "/etc/realm/declared.json"
# `components.importing` puts it there.
IMPORTED_PATH = "/etc/realm/imported.json"
# It waits for Keycloak as well, and for a directory or a theme that comes with another Keycloak. To wait costs nothing,
# and nobody runs it again by itself.
_SECONDS = 86400


class _Place(str):
    """Where a secret stands in an import, until it is known which place that is."""

    secret: Secret

    def __new__(cls, secret: Secret) -> _Place:
        made = super().__new__(cls, secret.name)
        made.secret = secret
        return made


def realm_job_workloads(settings: Settings, realm: RealmSpec) -> tuple[Workload, ...]:
    """The job; none where the settings want none."""
    if not settings.kubernetes.realm_job:
        return ()
    named: set[str] = set()

    def place(secret: Secret) -> str:
        named.add(secret.name)
        return _Place(secret)

    tree = realm_import(realm, place)
    places = dict(_places(tree))
    if named != {secret.name for secret in places.values()}:
        raise ValueError("the import holds the text of a secret's place, which would be taken for the secret")
    provisioner = admin_login(settings)
    return (
        Workload(
            name=REALM_JOB,
            image=image(settings, "realm"),
            uid=UID,
            resources=Resources(memory_mib=128, cpus=0.5),
            args=PROGRAM,
            env={
                Declared.FILE.value: DECLARED_PATH,
                Declared.IMPORTED.value: IMPORTED_PATH,
                Declared.URL.value: keycloak_address(settings).internal_url,
                Declared.CLIENT.value: provisioner.client_id,
                Declared.REALM.value: provisioner.realm,
            },
            secret_env={
                Declared.SECRET.value: SecretText.of(provisioner.client_secret),
                **{_variable(secret): SecretText.of(secret) for secret in places.values()},
            },
            files=(File(DECLARED_PATH, _written(tree, places, realm)),),
            runs=OnDemand(timeout_seconds=_SECONDS, at_change=True),
        ),
    )


def _written(tree: Mapping[str, Any], places: Mapping[tuple[str | int, ...], Secret], realm: RealmSpec) -> str:
    """What is declared, without a secret in it."""
    secrets = [
        {"at": place, "variable": _variable(secret), "forOthers": secret in realm.for_others}
        for place, secret in places.items()
    ]
    return json.dumps({"realm": _bare(tree), "secrets": secrets}, sort_keys=True) + "\n"


def _variable(secret: Secret) -> str:
    return f"REALM_{secret.variable}"


def _places(tree: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Secret]]:
    if isinstance(tree, _Place):
        yield above, tree.secret
    rows = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    for key, one in rows:
        yield from _places(one, (*above, key))


def _bare(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _bare(one) for key, one in tree.items()}
    if isinstance(tree, list | tuple):
        return [_bare(one) for one in tree]
    return "" if isinstance(tree, _Place) else tree
