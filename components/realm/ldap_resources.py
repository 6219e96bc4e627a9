"""LDAP directories of a realm, written as pulumi-keycloak resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pulumi_keycloak as keycloak
from pulumi_keycloak import ldap

from components.realm.kept import FEDERATION, Look, make
from components.realm.ldap import Directory
from components.realm_words import MAPPER
from platforms.quantities import go_duration


def make_directory(
    found: Directory,
    name: str,
    realm: pulumi.Output[str],
    password: pulumi.Output[str] | None,
    groups: Mapping[str, keycloak.Group],
    child: pulumi.ResourceOptions,
    inside: Callable[[pulumi.Resource], pulumi.ResourceOptions],
    look: Look,
    ready: pulumi.Output[Any] | None,
    place: int,
) -> ldap.UserFederation:
    """A directory and its mappers. child: options of what is in the realm. inside: those of what is in a resource.

    look: asks Keycloak what it has of the directory, after it has tried it. place: among the directories.
    """
    config = found.config
    made = make(
        FEDERATION,
        name,
        child,
        look,
        ready,
        realm_id=realm,
        name=found.name,
        vendor=config["vendor"].upper(),
        connection_url=config["connectionUrl"],
        start_tls=config["startTls"] == "true",
        use_truststore_spi="ALWAYS",
        bind_dn=config.get("bindDn"),
        bind_credential=password,
        users_dn=config["usersDn"],
        search_scope="SUBTREE",
        custom_user_search_filter=config["customUserSearchFilter"],
        user_object_classes=config["userObjectClasses"].split(", "),
        username_ldap_attribute=config["usernameLDAPAttribute"],
        rdn_ldap_attribute=config["rdnLDAPAttribute"],
        uuid_ldap_attribute=config["uuidLDAPAttribute"],
        edit_mode=config["editMode"],
        import_enabled=True,
        trust_email=config["trustEmail"] == "true",
        use_password_modify_extended_op=config["usePasswordModifyExtendedOp"] == "true",
        pagination=True,
        connection_pooling=config["connectionPooling"] == "true",
        connection_timeout=_duration(config["connectionTimeout"]),
        read_timeout=_duration(config["readTimeout"]),
        cache=ldap.UserFederationCacheArgs(policy=config["cachePolicy"], max_lifespan=_duration(config["maxLifespan"])),
        full_sync_period=int(config["fullSyncPeriod"]),
        changed_sync_period=int(config["changedSyncPeriod"]),
        delete_default_mappers=True,
        priority=place,
    )
    _make_mappers(found, name, realm, made, groups, inside(made))
    return made


def _make_mappers(
    found: Directory,
    name: str,
    realm: pulumi.Output[str],
    made: ldap.UserFederation,
    groups: Mapping[str, keycloak.Group],
    options: pulumi.ResourceOptions,
) -> None:
    for mapper, about in found.mappers.items():
        settings: dict[str, Any] = dict(about.config)
        for key in settings.keys() & {"group", "groups.path"}:
            # By way of the group, which has to be there before.
            settings[key] = groups[settings[key][1:]].name.apply(lambda last: f"/{last}")
        ldap.CustomMapper(
            f"{name}-{mapper}",
            realm_id=realm,
            ldap_user_federation_id=made.id,
            name=mapper,
            provider_id=about.kind,
            provider_type=MAPPER,
            config=settings,
            opts=options,
        )


def _duration(milliseconds: str) -> str:
    return go_duration(int(milliseconds) // 1000)
