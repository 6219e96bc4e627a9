"""LDAP directories of a realm, as Keycloak calls what is to be said of them.

Somebody's groups are not copied: Keycloak reads them from the directory, and keeps what it read for `_FRESH_SECONDS`.
A group there that leads to one here stands inside of that one in Keycloak, and so has its role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from components.identity import directory_password
from components.realm_words import CONNECT_SECONDS, MAPPER, PROVIDER
from platforms.secrets import Secret
from settings import reveal
from settings.realm import Ldap
from settings.realm.ldap import LDAP_PORTS

GROUP_MAPPER, EVERYBODY = "group-ldap-mapper", "hardcoded-ldap-group-mapper"
# Seconds for which Keycloak takes somebody for what the directory said last.
_FRESH_SECONDS = 30
# Seconds before a directory that does not answer a question is given up.
_READ_SECONDS = 10
_NEVER = "-1"


@dataclass(frozen=True)
class Mapper:
    """What a directory's entries become: `kind` is Keycloak's, and `config` is as Keycloak has it."""

    kind: str
    config: Mapping[str, str]


@dataclass(frozen=True)
class Directory:
    """config: Keycloak's, but for the password. mappers: by name."""

    name: str
    config: Mapping[str, str]
    password: Secret | None
    mappers: Mapping[str, Mapper]


def directory(settings: Ldap) -> Directory:
    ad = settings.kind == "ad"
    username = settings.username_attribute or ("sAMAccountName" if ad else "uid")
    classes = settings.user_classes or (("person", "organizationalPerson", "user") if ad else ("inetOrgPerson",))
    password = reveal(settings.bind_password)
    bind = {"bindDn": settings.bind_dn} if settings.bind_dn and password is not None else {}
    return Directory(
        name=settings.name,
        config={
            "vendor": "ad" if ad else "other",
            "connectionUrl": " ".join(settings.urls),
            "startTls": _said(settings.start_tls),
            "useTruststoreSpi": "always",
            "authType": "simple" if bind else "none",
            **bind,
            "usersDn": settings.users_dn,
            "searchScope": "2",
            "customUserSearchFilter": _people(settings.user_filter, ad=ad),
            "userObjectClasses": ", ".join(classes),
            "usernameLDAPAttribute": username,
            "rdnLDAPAttribute": settings.rdn_attribute or ("cn" if ad else username),
            "uuidLDAPAttribute": settings.id_attribute or ("objectGUID" if ad else "entryUUID"),
            "editMode": "WRITABLE" if settings.writable else "READ_ONLY",
            "importEnabled": "true",
            # Else a changed password is written as it was typed, and OpenLDAP keeps it so (RFC 3062).
            "usePasswordModifyExtendedOp": _said(not ad),
            "trustEmail": _said(settings.trust_email),
            "pagination": "true",
            # Keycloak refuses both: a connection that was encrypted later cannot be handed on.
            "connectionPooling": _said(not settings.start_tls),
            "connectionTimeout": str(CONNECT_SECONDS * 1000),
            "readTimeout": str(_READ_SECONDS * 1000),
            "cachePolicy": "MAX_LIFESPAN",
            "maxLifespan": str(_FRESH_SECONDS * 1000),
            "fullSyncPeriod": str(settings.full_sync_seconds or _NEVER),
            "changedSyncPeriod": str(settings.changed_sync_seconds or _NEVER),
        },
        password=directory_password(settings.name, password) if bind and password is not None else None,
        mappers=dict(_mappers(settings, username)),
    )


def _people(condition: str | None, *, ad: bool) -> str:
    """The filter of those who may log in. Computers have the classes of people in Active Directory."""
    if not ad:
        return condition or "(objectClass=*)"
    return f"(&(objectCategory=person){condition})" if condition else "(objectCategory=person)"


def servers(settings: Ldap) -> Iterator[tuple[str, int]]:
    """The hosts and ports that Keycloak asks."""
    for url in settings.urls:
        parts = urlsplit(url)
        yield parts.hostname or "", parts.port or LDAP_PORTS[parts.scheme]


def _mappers(settings: Ldap, username: str) -> Iterator[tuple[str, Mapper]]:
    fields = {"username": username, "email": settings.email_attribute, "firstName": "givenName", "lastName": "sn"}
    names = {"firstName": "first name", "lastName": "last name"}
    for ours, theirs in fields.items():
        config = {
            "ldap.attribute": theirs,
            "user.model.attribute": ours,
            "read.only": _said(not settings.writable),
            # A name is what people are known by, here and in MLflow: Keycloak renames them at a login or a sync.
            "always.read.value.from.ldap": _said(ours != "username"),
            "is.mandatory.in.ldap": _said(ours == "username"),
            "attribute.force.default": "false",
            "is.binary.attribute": "false",
        }
        yield names.get(ours, ours), Mapper("user-attribute-ldap-mapper", config)
    if settings.kind == "ad":
        # Who is disabled there, or has to change their password (userAccountControl, pwdLastSet). Without the second
        # setting Keycloak reads the first of these as it copies somebody, and never again.
        config = {"ldap.password.policy.hints.enabled": "false", "always.read.enabled.value.from.ldap": "true"}
        yield "MSAD account controls", Mapper("msad-user-account-control-mapper", config)
    for group in sorted(set(settings.groups.values())):
        names_there = sorted(name for name, leads in settings.groups.items() if leads == group)
        yield f"group {group}", Mapper(GROUP_MAPPER, _group(settings, username, group, names_there))
    for group in sorted(settings.default_groups):
        yield f"everybody {group}", Mapper(EVERYBODY, {"group": f"/{group}"})


def _group(settings: Ldap, username: str, group: str, names: list[str]) -> dict[str, str]:
    ad = settings.kind == "ad"
    # Never by what names somebody's groups (memberOf): of these Keycloak compares the last name alone (26.7,
    # `GetRolesFromUserMemberOfAttribute`), and whoever may make a group somewhere would be in any other of its name.
    strategy = f"LOAD_GROUPS_BY_MEMBER_ATTRIBUTE{'_RECURSIVELY' if ad else ''}"
    return {
        "groups.path": f"/{group}",
        "groups.dn": settings.groups_dn or "",
        "groups.ldap.filter": _any_of(settings, names),
        "group.name.ldap.attribute": settings.group_name_attribute,
        "group.object.classes": settings.group_class or ("group" if ad else "groupOfNames"),
        "membership.ldap.attribute": settings.member_attribute,
        "membership.attribute.type": "DN" if settings.members_by == "dn" else "UID",
        # Those of a posixGroup name the uid, whatever people log in with (RFC 2307, section 3).
        "membership.user.ldap.attribute": username if settings.members_by == "dn" else "uid",
        "memberof.ldap.attribute": "memberOf",
        "user.roles.retrieve.strategy": strategy,
        # Nothing here changes a group there.
        "mode": "READ_ONLY",
        "preserve.group.inheritance": "false",
        "ignore.missing.groups": "false",
        "drop.non.existing.groups.during.sync": "false",
    }


def _any_of(settings: Ldap, names: list[str]) -> str:
    """The filter of the groups of these names. Every other group there has to be none here.

    A distinguished name is compared as RFC 5020 has it; Active Directory has an attribute of its own for that.
    """
    entry = "distinguishedName" if settings.kind == "ad" else "entryDN"
    parts = [f"({entry if '=' in name else settings.group_name_attribute}={_quoted(name)})" for name in names]
    return parts[0] if len(parts) == 1 else f"(|{''.join(parts)})"


def _quoted(value: str) -> str:
    r"""A value in a filter (RFC 4515, section 3): these signs are written as \ and their number."""
    return "".join(f"\\{ord(sign):02x}" if sign in "\\*()\0" else sign for sign in value)


def _said(value: bool) -> str:
    return "true" if value else "false"


def as_component(found: Directory, password: str) -> dict[str, Any]:
    """A directory in the words of the admin API and of an import. password: or what stands for it."""
    secret = {"bindCredential": password} if found.password else {}
    return {
        "name": found.name,
        "providerId": PROVIDER,
        "config": {key: [value] for key, value in {**found.config, **secret}.items()},
        "subComponents": {
            MAPPER: [
                {
                    "name": name,
                    "providerId": mapper.kind,
                    "config": {key: [value] for key, value in mapper.config.items()},
                }
                for name, mapper in found.mappers.items()
            ]
        },
    }
