"""Rules about LDAP directories: what Keycloak takes, and nobody could log in with, or everybody could read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from components.realm.elsewhere import declared_groups, each_once, is_for_others, named_groups
from settings import Settings
from settings.known import Known
from settings.realm import Ldap, dn
from settings.types import is_loopback
from settings.wrong import Wrong


def directories(settings: Settings, known: Known) -> Iterator[Wrong]:
    found = settings.realm.ldap
    for i, one in enumerate(found):
        where = f"realm.ldap[{i}]"
        yield from _servers(one, where, settings, known)
        yield from _login(one, where, known)
        yield from _groups(one, where, settings, known)
        if one.writable and one.trust_email and known.values(f"{where}.writable", f"{where}.trustEmail"):
            expected = "expected none with writable: people would verify addresses by writing them"
            yield Wrong((f"{where}.trustEmail",), "true", expected)
    yield from each_once("realm.ldap", "name", [one.name for one in found], known)


def _servers(one: Ldap, where: str, settings: Settings, known: Known) -> Iterator[Wrong]:
    key = f"{where}.urls"
    if not known.values(key):
        return
    secure = {urlsplit(url).scheme == "ldaps" for url in one.urls}
    hosts = [urlsplit(url).hostname or "" for url in one.urls]
    ours = settings.keycloak.existing is None and known.presence("keycloak.existing")
    if ours and any(map(is_loopback, hosts)):
        yield Wrong((key,), ", ".join(one.urls), "expected names that containers reach: localhost is each one itself")
    if len(secure) > 1:
        yield Wrong((key,), ", ".join(one.urls), "expected ldaps:// for all of them, or ldap:// for all")
    elif not known.values(f"{where}.startTls"):
        return
    elif secure == {True} and one.start_tls:
        yield Wrong((f"{where}.startTls",), "true", "expected none with ldaps://, which is TLS from the first byte")
    elif secure == {False} and not one.start_tls and is_for_others(settings, known):
        expected = "expected ldaps://, or startTls, outside dev: every password would be readable on the way"
        yield Wrong((key,), ", ".join(one.urls), expected)


def _login(one: Ldap, where: str, known: Known) -> Iterator[Wrong]:
    parts = {"bindDn": one.bind_dn, "bindPassword": one.bind_password}
    missing = [name for name, value in parts.items() if value is None]
    if not known.presence(*(f"{where}.{name}" for name in parts)):
        return
    if len(missing) == 1:
        yield Wrong((f"{where}.{missing[0]}",), "", "required with the other part of the login, and not given")
    elif not missing and one.kind == "ldap" and "=" not in (one.bind_dn or "") and known.values(f"{where}.kind"):
        expected = "expected a distinguished name: only with kind: ad there are others"
        yield Wrong((f"{where}.bindDn",), one.bind_dn or "", expected)
    elif missing and one.kind == "ad" and known.values(f"{where}.kind"):
        yield Wrong((f"{where}.bindDn",), "", "required with kind: ad, which tells nobody nothing, and not given")
    elif missing and one.writable and known.values(f"{where}.writable"):
        yield Wrong((f"{where}.bindDn",), "", "required with writable, and not given")


def _groups(one: Ldap, where: str, settings: Settings, known: Known) -> Iterator[Wrong]:
    if one.groups and one.groups_dn is None and known.values(f"{where}.groups") and known.presence(f"{where}.groupsDn"):
        yield Wrong((f"{where}.groupsDn",), "", "required with groups, and not given")
    if one.member_attribute.casefold() == "memberuid" and one.members_by == "dn" and known.values(f"{where}.membersBy"):
        yield Wrong((f"{where}.membersBy",), "dn", "expected name with memberUid, which holds login names")
    if one.kind == "ad" and one.members_by == "name" and known.values(f"{where}.kind", f"{where}.membersBy"):
        yield Wrong((f"{where}.membersBy",), "name", "expected dn with kind: ad, whose groups name members so")
    declared = declared_groups(settings, known)
    if declared is not None:
        yield from _names(one, where, {group.casefold() for group in declared}, known)
        named = {"groups": one.groups.values(), "defaultGroups": one.default_groups}
        yield from named_groups(where, named, declared, known)


def _names(one: Ldap, where: str, declared: Collection[str], known: Known) -> Iterator[Wrong]:
    """The names that groups have there."""
    key = f"{where}.groups"
    if not known.values(key):
        return
    for name, leads in one.groups.items():
        last = dn.parts(name)[0][1] if "=" in name else name.casefold()
        # Where its place is gone, Keycloak takes it for the one of its name at the top (`GroupLDAPStorageMapper`).
        if last in declared and last != leads.casefold():
            yield Wrong((key,), name, f"expected no group called as another one here: {last}, which leads to {leads}")
        place = one.groups_dn if known.values(f"{where}.groupsDn") else None
        if "=" in name and place and not dn.leads_below(name, place):
            yield Wrong((key,), name, f"expected a name, or a distinguished name below groupsDn ({place})")
