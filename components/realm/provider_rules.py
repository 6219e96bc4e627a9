"""Rules about other identity providers: what Keycloak takes, and nobody could log in with."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from components.realm.elsewhere import declared_groups, each_once, is_for_others, named_groups
from components.realm.providers import issuer_of
from settings import Settings
from settings.known import Known
from settings.realm import IdentityProvider
from settings.wrong import Wrong

# What only a provider of the kind oidc is told, by its name in `IdentityProvider`.
_NEEDED = {
    "issuer": "issuer",
    "authorizationUrl": "authorization_url",
    "tokenUrl": "token_url",
    "jwksUrl": "jwks_url",
}
_OPTIONAL = {"userInfoUrl": "user_info_url", "logoutUrl": "logout_url"}
# Where everybody may have an account, by the host of the issuer, and what tells a company's people from others there.
_EVERYBODYS = {"accounts.google.com": ("Google", "your-domain.example"), "gitlab.com": ("gitlab.com", "your-group")}


def providers(settings: Settings, known: Known) -> Iterator[Wrong]:
    found = settings.realm.identity_providers
    for i, one in enumerate(found):
        where = f"realm.identityProviders[{i}]"
        yield from _addresses(one, where, settings, known)
        yield from _groups(one, where, settings, known)
    yield from each_once("realm.identityProviders", "alias", [one.alias for one in found], known)


def _addresses(one: IdentityProvider, where: str, settings: Settings, known: Known) -> Iterator[Wrong]:
    if not known.values(f"{where}.kind"):
        return
    for name, field in {**_NEEDED, **_OPTIONAL}.items():
        key, value = f"{where}.{name}", getattr(one, field)
        if not known.presence(key):
            continue
        if one.kind != "oidc" and value is not None and (one.kind, name) != ("gitlab", "issuer"):
            yield Wrong((key,), value, f"expected none with kind: {one.kind}, which has URLs of its own")
        elif one.kind == "oidc" and value is None and name in _NEEDED:
            yield Wrong((key,), "", "required with kind: oidc, and not given")
        elif (
            value is not None
            and urlsplit(value).scheme == "http"
            and is_for_others(settings, known)
            and known.values(key)
        ):
            yield Wrong((key,), value, "expected https outside dev: tokens and the client's secret go there")
    if known.presence(f"{where}.tenant"):
        if one.kind == "entra" and one.tenant is None:
            yield Wrong((f"{where}.tenant",), "", "required with kind: entra, and not given")
        if one.kind != "entra" and one.tenant is not None:
            yield Wrong((f"{where}.tenant",), one.tenant, "expected none: only entra has tenants")


def _groups(one: IdentityProvider, where: str, settings: Settings, known: Known) -> Iterator[Wrong]:
    declared = declared_groups(settings, known)
    if declared is not None:
        named = {"groups": one.groups.values(), "defaultGroups": one.default_groups}
        yield from named_groups(where, named, declared, known)
    default = f"{where}.defaultGroups"
    if not one.default_groups or not known.values(f"{where}.kind", f"{where}.issuer", default):
        return
    host = urlsplit(issuer_of(one)).hostname
    name, instead = _EVERYBODYS.get(str(host).rstrip("."), ("", ""))
    if name:
        expected = f"expected none with {name}, where everybody may have an account; groups: {{{instead}: ...}}"
        yield Wrong((default,), ", ".join(one.default_groups), expected)
