"""A realm as a provider of SAML, and what a browser does with its answers."""

from __future__ import annotations

import base64
import re
from html import unescape
from typing import Any

import requests

from tests.e2e.harness import TIMEOUT

# A name of a kind that Microsoft has.
NAME = "http://schemas.acme.example/claims/name"


def client(told: dict[str, str]) -> dict[str, Any]:
    """Keycloak as a client of the provider, which takes signed requests of it alone. told: the stack's output."""
    attributes = {
        "saml.client.signature": "true",
        "saml.signing.certificate": certificate(told["metadata_url"]),
        "saml.server.signature": "true",
        "saml.assertion.signature": "true",
        "saml.authnstatement": "true",
        "saml_single_logout_service_url_redirect": told["redirect_uri"],
    }
    groups = {
        "name": "groups",
        "protocol": "saml",
        "protocolMapper": "saml-group-membership-mapper",
        "config": {"attribute.name": "urn:acme:groups", "single": "true", "full.path": "false"},
    }
    properties = [
        {
            "name": name,
            "protocol": "saml",
            "protocolMapper": "saml-user-property-mapper",
            "config": {"user.attribute": name, "attribute.name": name},
        }
        for name in ("email", "firstName", "lastName")
    ]
    named = {"user.attribute": "username", "attribute.name": NAME}
    properties.append({**properties[0], "name": "username", "config": named})
    return {
        "clientId": told["entity_id"], "protocol": "saml", "redirectUris": [told["redirect_uri"]],
        "frontchannelLogout": True, "attributes": attributes, "protocolMappers": [groups, *properties],
    }  # fmt: skip


def certificate(metadata_url: str) -> str:
    """What somebody signs with, as their metadata has it."""
    answer = requests.get(metadata_url, timeout=TIMEOUT)
    answer.raise_for_status()
    found = re.search(r"<(?:\w+:)?X509Certificate>([^<]+)<", answer.text)
    assert found, answer.text
    return found[1]


def form(page: requests.Response) -> tuple[str, dict[str, str]]:
    """Where a page that sends itself goes, and with what."""
    action = re.search(r'action="([^"]+)"', page.text, re.IGNORECASE)
    fields = re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', page.text, re.IGNORECASE)
    assert action, page.text[:3000]
    assert "SAMLResponse" in dict(fields), page.text[:3000]
    return unescape(action[1]), {name: unescape(value) for name, value in fields}


def altered(fields: dict[str, str], pattern: str, instead: str) -> dict[str, str]:
    """The answer with other words in it."""
    text = base64.b64decode(fields["SAMLResponse"]).decode()
    found = re.sub(pattern, instead, text, flags=re.DOTALL)
    assert found != text, text
    return {**fields, "SAMLResponse": base64.b64encode(found.encode()).decode()}
