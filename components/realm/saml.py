"""A provider of SAML 2.0, as Keycloak calls what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from settings.realm import Saml

GROUP_MAPPER = "saml-advanced-group-idp-mapper"
_ATTRIBUTE, _USERNAME = "saml-user-attribute-idp-mapper", "saml-username-idp-mapper"
# OASIS, "Assertions and Protocols for SAML 2.0", section 8.3.
_FORMATS = {
    "unspecified": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
    "persistent": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "email": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "transient": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
}


def config(saml: Saml, entity_id: str | None) -> dict[str, str]:
    """What Keycloak keeps of it. entity_id: Keycloak's own there; None: its realm's URL.

    Keycloak takes an answer whose message or assertion is signed, and no other, with `validateSignature`.
    """
    found = {
        "entityId": entity_id or "",
        "idpEntityId": saml.entity_id,
        "singleSignOnServiceUrl": saml.login_url,
        "singleLogoutServiceUrl": saml.logout_url or "",
        "signingCertificate": ",".join(saml.certificates),
        "metadataDescriptorUrl": saml.metadata_url or "",
        "useMetadataDescriptorUrl": "true" if saml.metadata_url else "",
        "principalAttribute": saml.subject_attribute or "",
    }
    return {
        **{key: value for key, value in found.items() if value},
        "validateSignature": "true",
        # Requests say nothing secret, and go in the address; answers are too long for one.
        "postBindingAuthnRequest": "false",
        "postBindingLogout": "false",
        "postBindingResponse": "true",
        # A provider that checks no signature passes over one.
        "wantAuthnRequestsSigned": "true",
        "signatureAlgorithm": "RSA_SHA256",
        "xmlSigKeyInfoKeyNameTransformer": "NONE",
        "nameIDPolicyFormat": _FORMATS[saml.name_id_format],
        # Whether the provider may name somebody by an identifier that it makes for this.
        "allowCreate": "true",
        # Seconds by which its clock may be wrong.
        "allowedClockSkew": "60",
        "principalType": "ATTRIBUTE" if saml.subject_attribute else "SUBJECT",
        "syncMode": "FORCE",
    }


def mappers(saml: Saml) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """By name and kind what tells of a person beside their groups."""
    named = {
        "email": saml.email_attribute,
        "firstName": saml.first_name_attribute,
        "lastName": saml.last_name_attribute,
    }
    for ours, theirs in named.items():
        yield ours, _ATTRIBUTE, {"syncMode": "FORCE", "attribute.name": theirs, "user.attribute": ours}
    if saml.username_attribute:
        template = f"${{ATTRIBUTE.{saml.username_attribute}}}"
        # A name stays, since MLflow knows people by it.
        yield "username", _USERNAME, {"syncMode": "IMPORT", "target": "LOCAL", "template": template}
