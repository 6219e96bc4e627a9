"""The settings of other identity providers, whose people log in through Keycloak."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from settings.types import Group, GroupName, Password, Scope, Url

# A part of the redirect URI, and what the console calls the provider by.
Alias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


def _tenant(value: str) -> str:
    """A directory of Microsoft Entra, by its id or a domain. What stands for several lets in people of all of them."""
    if value in ("common", "organizations", "consumers"):
        raise ValueError("expected one directory, by its id or domain: this name lets in people of any")
    return value


Tenant = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$"), AfterValidator(_tenant)]
Claim = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]


class IdentityProvider(Group):
    """A provider of OpenID Connect whose people may log in here."""

    alias: Alias = Field(description="Its name in Keycloak, and in the redirect URI that it has to know")
    kind: Literal["oidc", "entra", "google"] = Field(
        "oidc", description="entra and google know their URLs; oidc is told them"
    )
    display_name: str = Field("", description="What its button on the login page says; default: the alias")
    tenant: Tenant | None = Field(None, description="With entra: the directory, by its id or domain")
    issuer: Url | None = Field(None, description="With oidc: the `iss` of its tokens")
    authorization_url: Url | None = Field(None, description="With oidc: where browsers log in")
    token_url: Url | None = Field(None, description="With oidc: where Keycloak gets tokens")
    jwks_url: Url | None = Field(None, description="With oidc: its keys")
    user_info_url: Url | None = Field(None, description="With oidc: what it tells of people besides; none: nothing")
    logout_url: Url | None = Field(None, description="With oidc: where a logout goes on; none: it ends here")
    client_id: Annotated[str, StringConstraints(min_length=1)] = Field(description="Keycloak's client there")
    client_secret: Password = Field(description="Its secret")
    scopes: Scope = Field("openid email profile", description="What Keycloak asks for, separated by spaces")
    trust_email: bool = Field(False, description="Take its e-mail addresses for verified ones")
    groups_claim: Claim | None = Field(
        None, description="The claim that decides; default: groups, with entra roles, with google hd"
    )
    groups: dict[str, GroupName] = Field(
        {}, description="Values of that claim, each with the group of realm.groups that it leads to"
    )
    default_groups: tuple[GroupName, ...] = Field((), description="Groups of everybody who comes from there")
