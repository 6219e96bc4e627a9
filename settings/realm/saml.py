"""The settings of a provider of SAML 2.0, beside those that every identity provider has."""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from settings.types import Group, Url

_PEM = re.compile(r"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")


def _certificate(value: str) -> str:
    """A certificate as metadata has it: its DER in base64, on one line."""
    found = _PEM.fullmatch(value)
    text = "".join((found[1] if found else value).split())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=base64.b64decode(text, validate=True))
        count = context.cert_store_stats()["x509"]
    except (binascii.Error, ssl.SSLError, ValueError):
        count = 0
    if count != 1:
        raise ValueError("expected one certificate: PEM, or the text of X509Certificate in the provider's metadata")
    return text


def entity_id(value: str) -> str:
    """An entity ID: a URI, which Keycloak reads as one (RFC 3986; without a comma, by which it splits)."""
    if not re.fullmatch(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+;=%-]{1,1024}", value):
        raise ValueError("expected an entity ID, such as https://id.acme.example/saml, without blanks and commas")
    return value


Certificate = Annotated[str, AfterValidator(_certificate)]
# OASIS, "Assertions and Protocols for SAML 2.0", section 8.3.6: at most 1024 characters.
EntityId = Annotated[str, AfterValidator(entity_id)]
# Keycloak's template of a user name ends a name at the other signs.
Attribute = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=r"^[^{}|]+$")]


class Saml(Group):
    """A provider of SAML 2.0, and what it tells of people."""

    entity_id: EntityId = Field(description="Its entity ID, which its answers have to come from")
    login_url: Url = Field(description="Where browsers log in: its SingleSignOnService with HTTP-Redirect")
    logout_url: Url | None = Field(
        None, description="Where a logout goes on: its SingleLogoutService with HTTP-Redirect; none: it ends here"
    )
    certificates: tuple[Certificate, ...] = Field(
        (), description="What it signs with; two while one takes the other's place"
    )
    metadata_url: Url | None = Field(
        None,
        description="In place of certificates: where its metadata is, and no other's, which Keycloak reads them from",
    )
    name_id_format: Literal["unspecified", "persistent", "email", "transient"] = Field(
        "unspecified", description="The kind of NameID that Keycloak asks for; unspecified: the provider chooses"
    )
    subject_attribute: Attribute | None = Field(
        None, description="What never changes of a person, by its Name; default: the NameID; needed with transient"
    )
    username_attribute: Attribute | None = Field(
        None, description="Their login name here, at the first login; default: what never changes of them"
    )
    email_attribute: Attribute = Field("email", description="Their address")
    first_name_attribute: Attribute = Field("firstName", description="Their given name")
    last_name_attribute: Attribute = Field("lastName", description="Their family name")
