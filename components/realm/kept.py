"""Resources of Keycloak that keep what nobody declared.

pulumi-keycloak writes a whole resource whenever one input of it changes. What the inputs do not name goes back to the
provider's own default (`getRealmFromData`, `getOpenidClientFromData`, `mapFromDataToUser`), and with it what somebody
set in Keycloak's console: the password policy, the mail server, an account that is disabled. So an update asks
Keycloak first, and names what is there. A preview asks no server; it leaves those inputs out of the comparison.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

import pulumi
import pulumi_keycloak as keycloak
from pulumi_keycloak import ldap, openid
from pydantic.alias_generators import to_camel

_Made = TypeVar("_Made", bound=pulumi.CustomResource)
# What the provider writes of what it is not told, in WebAuthn's policies as well.
_DEFAULTS: tuple[Any, ...] = ("", [], {}, None, "not specified")
# Inputs that say how a resource is made, and not what it is.
_MANNERS = frozenset({"import_", "internal_id", "terraform_deletion_protection"})
# How the provider tells of an answer 404 (v6.13, keycloak_client.go). Some of its functions search, and have words of
# their own for what they do not find.
_NOT_FOUND = re.compile(r"error sending GET request to \S+: 404 ")


class Part(dict[str, Any]):
    """An input with inputs in it, by the provider's names, of which others stay as Keycloak has them.

    A preview, which does not know those, leaves it out of the comparison.
    """


@dataclass(frozen=True)
class Kind(Generic[_Made]):
    """A kind of resource that the provider can also look up.

    read: the token of the function that does; empty where somebody else does. keys: the inputs that it is asked by.
    asked: whether Keycloak is asked. It need not be where all that is declared never changes: no update writes it.
    missing: what it says of one that it does not find, with these inputs in it; empty where that is the answer 404.
    blocks: inputs with inputs in them, by the names that the function returns them under, and their arguments.
    apart: inputs that are never taken from there.
    first: inputs that are written once, and are those of Keycloak from then on.
    beside: inputs that somebody else looks up.
    """

    resource: type[_Made]
    arguments: type
    read: str
    keys: tuple[str, ...]
    missing: str = ""
    blocks: Mapping[str, tuple[str, type]] = field(default_factory=dict)
    apart: frozenset[str] = frozenset()
    first: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    asked: bool = True

    def undeclared(self, declared: Mapping[str, Any]) -> tuple[str, ...]:
        """The inputs that a declaration does not name."""
        known = list(inspect.signature(self.arguments).parameters)
        others = self.apart | self.first | self.beside | _MANNERS
        return tuple(name for name in known if name not in declared and name not in others)


REALM = Kind(
    keycloak.Realm,
    keycloak.RealmArgs,
    "keycloak:index/getRealm:getRealm",
    ("realm",),
    blocks={
        "internationalization": ("internationalizations", keycloak.RealmInternationalizationArgs),
        "otp_policy": ("otpPolicy", keycloak.RealmOtpPolicyArgs),
        "web_authn_policy": ("webAuthnPolicy", keycloak.RealmWebAuthnPolicyArgs),
        "web_authn_passwordless_policy": ("webAuthnPasswordlessPolicy", keycloak.RealmWebAuthnPasswordlessPolicyArgs),
    },
    # `Asked.mail_server` reads it.
    beside=frozenset({"smtp_server"}),
)
CLIENT = Kind(
    openid.Client,
    openid.ClientArgs,
    "keycloak:openid/getClient:getClient",
    # `Looks` knows where.
    ("client_id",),
    "openid client with name {clientId} does not exist",
    {
        "authorization": ("authorizations", openid.ClientAuthorizationArgs),
        "authentication_flow_binding_overrides": (
            "authenticationFlowBindingOverrides",
            openid.ClientAuthenticationFlowBindingOverridesArgs,
        ),
    },
    # Further attributes are not written over: Keycloak keeps those that it is not told of.
    apart=frozenset(
        {
            "client_secret_regenerate_when_changed",
            "client_secret_wo",
            "client_secret_wo_version",
            "extra_config",
        }
    ),
    # Whoever changed it in Keycloak did so because it leaked.
    first=frozenset({"client_secret"}),
)
# The stack's own, which has roles and nothing else.
OWNER = replace(CLIENT, asked=False, first=frozenset[str]())
GROUP = Kind(keycloak.Group, keycloak.GroupArgs, "", ("realm_id", "name"), asked=False)
ROLE = Kind(keycloak.Role, keycloak.RoleArgs, "", ("realm_id", "client_id", "name"), asked=False)
# `Asked.person` looks it up, while the realm is looked up as well.
USER = Kind(keycloak.User, keycloak.UserArgs, "", ("username",))
# `Asked.directory` looks it up. A login that is not declared is none: Keycloak shows asterisks for a password.
FEDERATION = Kind(
    ldap.UserFederation,
    ldap.UserFederationArgs,
    "",
    ("realm_id", "name"),
    apart=frozenset({"bind_dn", "bind_credential"}),
    # The order in which directories are asked for somebody.
    first=frozenset({"priority"}),
)
# `Asked.action` looks it up.
ACTION = Kind(keycloak.RequiredAction, keycloak.RequiredActionArgs, "", ("realm_id", "alias"))
# `Asked.texts` looks them up, since its provider deletes those that it is not told of.
TEXTS = Kind(keycloak.RealmLocalization, keycloak.RealmLocalizationArgs, "", ("realm_id", "locale"))
# Looks a resource up, by the inputs that it is asked by.
Look = Callable[[Kind[Any], Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


def make(
    kind: Kind[_Made],
    logical: str,
    options: pulumi.ResourceOptions,
    look: Look,
    ready: pulumi.Output[Any] | None,
    /,
    **declared: Any,
) -> _Made:
    """A resource as it is declared, and for the rest as Keycloak has it.

    ready: what has to be known before a server is asked. declared: inputs; one that is None is not declared.
    Fails as the provider does where Keycloak cannot be asked.
    """
    declared = {name: value for name, value in declared.items() if value is not None}
    names = (*kind.undeclared(declared), *sorted(kind.first & declared.keys()))
    if pulumi.runtime.is_dry_run() or not kind.asked:
        others = sorted(kind.beside - declared.keys())
        others += [name for name, value in declared.items() if isinstance(value, Part)]
        ignored = pulumi.ResourceOptions(ignore_changes=[to_camel(name) for name in (*names, *others)])
        return kind.resource(logical, opts=pulumi.ResourceOptions.merge(options, ignored), **declared)
    keys = pulumi.Output.all(**{to_camel(key): declared[key] for key in kind.keys})
    asked = pulumi.Output.all(keys, ready)
    there: pulumi.Output[Mapping[str, Any]] = asked.apply(lambda both: look(kind, both[0]))
    found = {name: there.apply(partial(_value, kind, name)) for name in names}
    for name, part in declared.items():
        if isinstance(part, Part):
            found[name] = there.apply(partial(_completed, kind, name, part))
    for once in kind.first & declared.keys():
        found[once] = pulumi.Output.all(found[once], declared[once]).apply(lambda values: values[0] or values[1])
    return kind.resource(logical, opts=options, **{**declared, **found})


async def look_up(kind: Kind[Any], provider: pulumi.ProviderResource, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """What Keycloak has, by the provider's names; nothing where it has none."""
    try:
        found = await pulumi.runtime.invoke_async(kind.read, dict(asked), pulumi.InvokeOptions(provider=provider))
    except Exception as error:  # The SDK raises no other one.
        words = str(error)
        if _NOT_FOUND.search(words) or (kind.missing and kind.missing.format_map(asked) in words):
            return {}
        raise
    return dict(found or {})


def _value(kind: Kind[Any], name: str, there: Mapping[str, Any]) -> Any:
    """An input as Keycloak has it; None for what is empty, which the provider writes by itself."""
    if name in kind.blocks:
        returned, arguments = kind.blocks[name]
        return _block(there.get(returned), arguments) or None
    found = there.get(to_camel(name))
    return None if found in _DEFAULTS else found


def _completed(kind: Kind[Any], name: str, part: Part, there: Mapping[str, Any]) -> dict[str, Any]:
    return {**(_value(kind, name, there) or {}), **part}


def _block(found: Any, arguments: type) -> dict[str, Any]:
    """What is in an input. The functions return a block as a list of one, in the plural, and more than can be given."""
    one = found[0] if isinstance(found, list) and found else found
    if not isinstance(one, Mapping):
        return {}
    names = {to_camel(name.rstrip("_")) for name in inspect.signature(arguments).parameters}
    inside = {key.removesuffix("s"): value[0] for key, value in one.items() if _is_block(value)}
    plain = {key: value for key, value in one.items() if not _is_block(value) and value not in _DEFAULTS}
    return {key: value for key, value in {**plain, **inside}.items() if key in names}


def _is_block(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
