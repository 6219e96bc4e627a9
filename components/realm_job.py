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
# It waits for Keycloak as well, whose first start waits for images and for Postgres.
_SECONDS = 1800


class _Place(str):
    """Where a secret stands in an import, until it is known which place that is."""

    secret: Secret


def realm_job_workloads(settings: Settings, realm: RealmSpec) -> tuple[Workload, ...]:
    """The job; none where the settings want none."""
    if not settings.kubernetes.realm_job:
        return ()
    tree = realm_import(realm, _place)
    places = dict(_places(tree))
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
    return json.dumps({"realm": _bare(tree), "secrets": secrets}, indent=2, sort_keys=True) + "\n"


def _variable(secret: Secret) -> str:
    return f"REALM_{secret.variable}"


def _place(secret: Secret) -> str:
    found = _Place(secret.name)
    found.secret = secret
    return found


def _places(tree: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Secret]]:
    if isinstance(tree, _Place):
        yield above, tree.secret
    for key, one in tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ():
        yield from _places(one, (*above, key))


def _bare(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _bare(one) for key, one in tree.items()}
    if isinstance(tree, list | tuple):
        return [_bare(one) for one in tree]
    return "" if isinstance(tree, _Place) else tree
