"""The settings of other identity providers, whose people log in through Keycloak."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from settings.realm.saml import Saml
from settings.types import Group, GroupName, Password, Scope, Url

# A part of the redirect URI, and what the console calls the provider by.
Alias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


# The directory of everybody's own Microsoft account (Microsoft, "OpenID Connect on the Microsoft identity platform").
_CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"


def _tenant(value: str) -> str:
    """A directory of Microsoft Entra by its id, as its tokens have it: a domain, or another spelling, is no issuer."""
    found = value.lower()
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found):
        raise ValueError("expected a directory's id, such as 11111111-2222-3333-4444-555555555555")
    if found == _CONSUMERS:
        raise ValueError("expected a company's directory: everybody is in this one")
    return found


def _issuer(value: str) -> str:
    if "," in value:
        raise ValueError("expected one issuer: Keycloak takes a comma for the end of one")
    return value


def _given(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise ValueError("expected a text that is not empty")
    return value


def _leads(value: dict[str, str]) -> dict[str, str]:
    if not all(value):
        raise ValueError("expected values that are not empty: an empty claim is one of nobody's groups")
    return value


Tenant = Annotated[str, AfterValidator(_tenant)]
Issuer = Annotated[Url, AfterValidator(_issuer)]
ClientSecret = Annotated[Password, AfterValidator(_given)]
Leads = Annotated[dict[str, GroupName], AfterValidator(_leads)]
Claim = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]


class IdentityProvider(Group):
    """A provider of OpenID Connect or SAML whose people may log in here."""

    alias: Alias = Field(description="Its name in Keycloak, and in the redirect URI that it has to know")
    kind: Literal["oidc", "entra", "google", "gitlab", "saml"] = Field(
        "oidc", description="entra, google and gitlab know their URLs; oidc is told them; saml is told all by saml"
    )
    display_name: str = Field("", description="What its button on the login page says; default: the alias")
    tenant: Tenant | None = Field(None, description="With entra: the id of the directory")
    issuer: Issuer | None = Field(
        None, description="With oidc: the `iss` of its tokens; with gitlab: its URL, default https://gitlab.com"
    )
    authorization_url: Url | None = Field(None, description="With oidc: where browsers log in")
    token_url: Url | None = Field(None, description="With oidc: where Keycloak gets tokens")
    jwks_url: Url | None = Field(None, description="With oidc: its keys")
    user_info_url: Url | None = Field(None, description="With oidc: what it tells of people besides; none: nothing")
    logout_url: Url | None = Field(None, description="With oidc: where a logout goes on; none: it ends here")
    client_id: Annotated[str, StringConstraints(min_length=1)] | None = Field(
        None, description="Keycloak's client there; with saml: its entity ID there, default the realm's URL"
    )
    client_secret: ClientSecret | None = Field(None, description="Its secret; with saml: none")
    scopes: Scope = Field(
        "openid email profile", description="What Keycloak asks for, separated by spaces; with saml: nothing"
    )
    saml: Saml | None = Field(None, description="With saml: where it is, and what it tells of people")
    trust_email: bool = Field(False, description="Take its e-mail addresses for verified ones")
    groups_claim: Claim | None = Field(
        None, description="The claim or attribute that decides; default: groups, with entra roles, with google hd"
    )
    groups: Leads = Field({}, description="Values of that claim, each with the group of realm.groups that it leads to")
    default_groups: tuple[GroupName, ...] = Field((), description="Groups of everybody who comes from there")
