"""Rules about other identity providers: what Keycloak takes, and nobody could log in with."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from components.realm.elsewhere import declared_groups, each_once, is_for_others, named_groups
from components.realm.providers import issuer_of
from settings import Settings
from settings.known import Known
from settings.realm import IdentityProvider, Saml
from settings.realm.saml import entity_id
from settings.wrong import Wrong

# What only a provider of the kind oidc is told, by its name in `IdentityProvider`.
_NEEDED = {
    "issuer": "issuer",
    "authorizationUrl": "authorization_url",
    "tokenUrl": "token_url",
    "jwksUrl": "jwks_url",
}
_OPTIONAL = {"userInfoUrl": "user_info_url", "logoutUrl": "logout_url"}
# What each kind but saml is told.
_CLIENT = {"clientId": "client_id", "clientSecret": "client_secret"}
_SAML_URLS = {"loginUrl": "login_url", "logoutUrl": "logout_url", "metadataUrl": "metadata_url"}
# Where everybody may have an account, by the host of the issuer, and what tells a company's people from others there.
_EVERYBODYS = {"accounts.google.com": ("Google", "your-domain.example"), "gitlab.com": ("gitlab.com", "your-group")}


def providers(settings: Settings, known: Known) -> Iterator[Wrong]:
    found = settings.realm.identity_providers
    for i, one in enumerate(found):
        where = f"realm.identityProviders[{i}]"
        if known.values(f"{where}.kind"):
            yield from _addresses(one, where, settings, known)
            yield from _client(one, where, known)
            yield from _saml(one, where, settings, known)
        yield from _groups(one, where, settings, known)
    yield from each_once("realm.identityProviders", "alias", [one.alias for one in found], known)


def _addresses(one: IdentityProvider, where: str, settings: Settings, known: Known) -> Iterator[Wrong]:
    for name, field in {**_NEEDED, **_OPTIONAL}.items():
        key, value = f"{where}.{name}", getattr(one, field)
        if not known.presence(key):
            continue
        if one.kind == "saml" and value is not None:
            yield Wrong((key,), value, "expected none with kind: saml, whose URLs are below saml")
        elif one.kind != "oidc" and value is not None and (one.kind, name) != ("gitlab", "issuer"):
            yield Wrong((key,), value, f"expected none with kind: {one.kind}, which has URLs of its own")
        elif one.kind == "oidc" and value is None and name in _NEEDED:
            yield Wrong((key,), "", "required with kind: oidc, and not given")
        else:
            yield from _plain(key, value, settings, known)
    if known.presence(f"{where}.tenant"):
        if one.kind == "entra" and one.tenant is None:
            yield Wrong((f"{where}.tenant",), "", "required with kind: entra, and not given")
        if one.kind != "entra" and one.tenant is not None:
            yield Wrong((f"{where}.tenant",), one.tenant, "expected none: only entra has tenants")


def _plain(key: str, url: str | None, settings: Settings, known: Known) -> Iterator[Wrong]:
    """A URL that tells in clear text what is nobody else's."""
    if url and urlsplit(url).scheme == "http" and is_for_others(settings, known) and known.values(key):
        yield Wrong((key,), url, "expected https outside dev: people, tokens, keys and secrets go there")


def _client(one: IdentityProvider, where: str, known: Known) -> Iterator[Wrong]:
    for name, field in _CLIENT.items():
        key, given = f"{where}.{name}", getattr(one, field) is not None
        if known.presence(key) and not given and one.kind != "saml":
            yield Wrong((key,), "", f"required with kind: {one.kind}, and not given")
    if one.kind == "saml" and one.client_id is not None and known.values(f"{where}.clientId"):
        try:
            entity_id(one.client_id)
        except ValueError as error:
            yield Wrong((f"{where}.clientId",), one.client_id, str(error))
    if one.kind == "saml" and one.client_secret is not None:
        yield Wrong((f"{where}.clientSecret",), "", "expected none with kind: saml, where keys are in its place")
    if one.kind == "saml" and one.scopes != type(one).model_fields["scopes"].default:
        yield Wrong((f"{where}.scopes",), one.scopes, "expected none with kind: saml, where the provider decides")


def _saml(one: IdentityProvider, where: str, settings: Settings, known: Known) -> Iterator[Wrong]:
    where = f"{where}.saml"
    if not known.presence(where):
        return
    if one.saml is None:
        if one.kind == "saml":
            yield Wrong((where,), "", "required with kind: saml, and not given")
        return
    if one.kind != "saml":
        yield Wrong((where,), "", f"expected none with kind: {one.kind}")
        return
    for name, field in _SAML_URLS.items():
        yield from _plain(f"{where}.{name}", getattr(one.saml, field), settings, known)
    yield from _keys(one.saml, where, known)
    if one.saml.name_id_format == "transient" and one.saml.subject_attribute is None:
        keys = (f"{where}.nameIdFormat", f"{where}.subjectAttribute")
        if known.values(keys[0]) and known.presence(keys[1]):
            yield Wrong(keys, "transient", "expected subjectAttribute beside it: such a NameID is another each time")


def _keys(saml: Saml, where: str, known: Known) -> Iterator[Wrong]:
    keys = (f"{where}.certificates", f"{where}.metadataUrl")
    if not known.values(*keys):
        return
    if saml.certificates and saml.metadata_url:
        yield Wrong(keys, saml.metadata_url, "expected one of both: Keycloak reads no certificates beside metadata")
    if not saml.certificates and not saml.metadata_url:
        yield Wrong(keys, "", "expected one of both: without a key anybody could sign what it says")


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
