"""The doctor's look at identity providers: that they are there, and that what they sign with can be used."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from stackctl.doctor.checks_providers import identity_provider
from stackctl.doctor.observed import Observed
from tests.unit.doctor import with_realm
from tests.unit.fake_realm import FakeRealm

NONE = base64.b64encode(b"no certificate").decode()


def certificate(start: int, end: int) -> str:
    """One that can be used between two days from now, as metadata has it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "id.acme.example")])
    days = (now + timedelta(days=start), now + timedelta(days=end))
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, *days).sign(key, SHA256())
    return base64.b64encode(made.public_bytes(Encoding.DER)).decode()


def stack(*certificates: str) -> tuple[Observed, FakeRealm]:
    """A stack with a provider of SAML, and its realm after `up`."""
    saml: dict[str, Any] = {"entityId": "https://id.acme.example/saml", "loginUrl": "https://id.acme.example/login"}
    saml |= {"certificates": [*certificates]} if certificates else {"metadataUrl": "https://id.acme.example/meta"}
    provider = {"alias": "acme", "kind": "saml", "displayName": "Acme", "saml": saml, "defaultGroups": ["mlflow-users"]}
    return with_realm({"identityProviders": [provider]})


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ([(-1, 100)], None),
        ([(-1, 100), (-100, -1)], None),
        ([], None),
        ([(-100, 3), (2, 100)], None),
        ([(-100, -1)], "ended on"),
        ([(-100, 3)], "ends on"),
        ([(-100, 3), (5, 100)], "ends on"),
        ([(-100, -1), (2, 100)], "ended on {}; its certificate can be used from {} on"),
    ],
    ids=["fine", "rotated", "metadata", "in turn", "ended", "soon", "with a gap", "none now"],
)
def test_a_certificate_that_ends_is_told_in_time(days: list[tuple[int, int]], told: str | None) -> None:
    seen, _ = stack(*(certificate(*one) for one in days))
    found = list(identity_provider(seen))
    assert [one.id for one in found] == ["identity-provider"] * (told is not None)
    if told is not None:
        first, second = days[0][1], days[-1][0]
        dates = [f"{datetime.now(UTC) + timedelta(days=day):%Y-%m-%d}" for day in (first, second)]
        assert told.format(*dates) in found[0].evidence
        assert dates[0] in found[0].evidence
        assert "realm.identityProviders[0].saml.certificates" in found[0].fix
        assert (f"from {dates[0]} on Keycloak" in found[0].cause) == (told == "ends on")


def test_one_that_somebody_put_into_keycloak_is_looked_at_too() -> None:
    seen, realm = stack(certificate(-1, 100))
    realm.providers["acme"]["config"]["signingCertificate"] = NONE
    realm.providers["other"] = {
        "alias": "other", "enabled": True, "providerId": "saml",
        "config": {"validateSignature": "true", "signingCertificate": certificate(-9, -2)},
    }  # fmt: skip
    ours, other = identity_provider(seen)
    assert "acme: what it signs with is no certificate" in ours.evidence
    assert other.evidence.startswith("other: its certificate ended on")
    assert "page in Keycloak" in other.fix


def test_a_provider_that_is_gone_or_off_is_told() -> None:
    seen, realm = stack(certificate(-1, 100))
    realm.providers["acme"]["enabled"] = False
    (off,) = identity_provider(seen)
    assert "acme is switched off" in off.evidence
    assert "Identity providers, acme, Enabled" in off.fix, "`up` leaves it so"
    del realm.providers["acme"]
    (gone,) = identity_provider(seen)
    assert "no provider acme" in gone.evidence
    assert gone.fix == f"pulumi up --refresh --stack {seen.stack}", "the engine does not look for it by itself"
