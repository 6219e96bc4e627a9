"""The settings of LDAP directories and Active Directory, whose people log in with their passwords there."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from settings.realm import dn
from settings.realm.providers import Alias, ClientSecret
from settings.types import Group, GroupName

# The ports of URLs that name none (RFC 4516, section 2; IANA's registry of service names for ldaps).
LDAP_PORTS = {"ldap": 389, "ldaps": 636}


_SERVER = re.compile(
    r"(?P<scheme>ldaps?)://([a-z0-9._-]+|\[(?P<address>[0-9a-f:.]+)\])(:(?P<port>[0-9]{1,5}))?/?", re.IGNORECASE
)


def _server(value: str) -> str:
    """A server, in small letters, without what a URL of LDAP may say besides, which Keycloak would take for a part."""
    found = _SERVER.fullmatch(value)
    if (
        found is None
        or (found["address"] and not _is_ipv6(found["address"]))
        or not 0 < int(found["port"] or LDAP_PORTS[found["scheme"].lower()]) < 65536
    ):
        raise ValueError("expected a server such as ldaps://ldap.acme.example or ldap://ldap.acme.example:389")
    return value.rstrip("/").lower()


def _is_ipv6(value: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(value))
    except ValueError:
        return False


def _dn(value: str) -> str:
    """A distinguished name (RFC 4514)."""
    try:
        dn.parts(value)
    except ValueError:
        raise ValueError("expected a distinguished name such as ou=people,dc=acme,dc=example") from None
    return value


def _bind(value: str) -> str:
    """As whom Keycloak searches: Active Directory knows two other ways to say it (MS-ADTS, section 5.1.1.1.1)."""
    if re.fullmatch(r"[^@\\\s]+@[^@\\\s]+|[^@\\\s]+\\[^@\\\s]+", value):
        return value
    try:
        dn.parts(value)
    except ValueError:
        expected = "expected a distinguished name; with kind: ad also name@acme.example or ACME\\name"
        raise ValueError(expected) from None
    return value


def _filter(value: str) -> str:
    """A search filter (RFC 4515, section 3) in one line."""
    joined = "".join(line.strip() for line in value.splitlines())
    if not joined.isprintable() or not dn.is_filter(joined):
        raise ValueError(
            "expected one filter in parentheses, such as (&(objectClass=person)(l=Berlin)); a parenthesis in a value "
            "is written \\28 or \\29"
        )
    return joined


def _groups(value: dict[str, str]) -> dict[str, str]:
    """Names of groups there, or distinguished names. A directory takes small letters and capitals for one."""
    known: dict[object, str] = {}
    for name in value:
        if not name or not name.isprintable() or name != name.strip():
            raise ValueError(f"expected names without space around them, and not {name!r}")
        try:
            same: object = tuple(dn.parts(name)) if "=" in name else name.casefold()
        except ValueError:
            expected = "expected a name, or a distinguished name (a name with = in it has to be written as one)"
            raise ValueError(f"{expected}, and not {name}") from None
        if same in known:
            raise ValueError(f"expected each group there once: {known[same]} and {name} are one")
        known[same] = name
    return value


LdapUrl = Annotated[str, AfterValidator(_server)]
Dn = Annotated[str, AfterValidator(_dn)]
BindName = Annotated[str, AfterValidator(_bind)]
Filter = Annotated[str, AfterValidator(_filter)]
GroupsThere = Annotated[dict[str, GroupName], AfterValidator(_groups)]
# A name of an attribute or of an object class (RFC 4512, section 1.4).
Descriptor = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,126}$")]
Period = Annotated[int, Field(ge=60, le=31536000)]


class Ldap(Group):
    """A directory whose people may log in here, found by their names there and checked by their passwords there."""

    name: Alias = Field(description="Its name in Keycloak")
    kind: Literal["ldap", "ad"] = Field(
        "ldap", description="ad: Active Directory, with its names of attributes and its nested groups"
    )
    urls: Annotated[tuple[LdapUrl, ...], Field(min_length=1)] = Field(
        description="Its servers, the next where one does not answer: ldaps://, or ldap:// with startTls"
    )
    start_tls: bool = Field(False, description="With ldap://: TLS before anything is said")
    bind_dn: BindName | None = Field(
        None, description="As whom Keycloak searches; with ad also name@domain; none: as nobody"
    )
    bind_password: ClientSecret | None = Field(None, description="The password with it")
    users_dn: Dn = Field(description="People are below this entry")
    user_filter: Filter | None = Field(
        None, description="Which of them may log in; default: all. With ad always people alone (objectCategory=person)"
    )
    user_classes: tuple[Descriptor, ...] = Field(
        (), description="Object classes of people; default: inetOrgPerson, with ad user"
    )
    username_attribute: Descriptor | None = Field(None, description="Their login name; default: uid, ad sAMAccountName")
    rdn_attribute: Descriptor | None = Field(
        None, description="What their distinguished names begin with; default: their login name, with ad cn"
    )
    id_attribute: Descriptor | None = Field(
        None, description="What never changes of them; default: entryUUID, with ad objectGUID"
    )
    email_attribute: Descriptor = Field("mail", description="Their address")
    trust_email: bool = Field(False, description="Take its e-mail addresses for verified ones")
    writable: bool = Field(False, description="Whether a changed password, name or address is written to it")
    groups_dn: Dn | None = Field(None, description="Groups are below this entry; needed for groups")
    group_class: Descriptor | None = Field(None, description="Their object class; default: groupOfNames, with ad group")
    group_name_attribute: Descriptor = Field("cn", description="Their name")
    member_attribute: Descriptor = Field("member", description="What names their members")
    members_by: Literal["dn", "name"] = Field(
        "dn", description="name: members are named by their login name (memberUid)"
    )
    groups: GroupsThere = Field(
        {}, description="Groups there, by name or distinguished name, each with the group of realm.groups it leads to"
    )
    default_groups: tuple[GroupName, ...] = Field((), description="Groups of everybody who comes from there")
    full_sync_seconds: Period | None = Field(
        None, description="How often Keycloak reads everybody; default: nobody before they come"
    )
    changed_sync_seconds: Period | None = Field(
        None, description="How often it reads those who changed; default: never"
    )
