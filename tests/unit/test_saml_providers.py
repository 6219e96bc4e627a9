"""Providers of SAML: what the settings say becomes what Keycloak is told, and what cannot be is refused."""

from __future__ import annotations

import base64
import json
import re
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from components.importing import importing_workloads
from components.stack import stack_spec
from problems import StackError
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.realm.actual import Actual
from stackctl.realm.steps import steps
from tests.samples import settings
from tests.unit.fake_realm import FakeRealm
from tests.unit.test_identity_providers import OIDC, declared, refused

Tree = dict[str, Any]


def certificate() -> x509.Certificate:
    key, now = rsa.generate_private_key(65537, 2048), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "id.acme.example")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return made.sign(key, SHA256())


CERTIFICATE = certificate()
PEM = CERTIFICATE.public_bytes(Encoding.PEM).decode()
IN_METADATA = base64.b64encode(CERTIFICATE.public_bytes(Encoding.DER)).decode()
SAML: Tree = {
    "alias": "acme", "kind": "saml", "displayName": "Acme",
    "saml": {
        "entityId": "https://id.acme.example/saml", "loginUrl": "https://id.acme.example/login", "certificates": [PEM],
    },
    "groupsClaim": "http://schemas.acme.example/groups",
    "groups": {"ML (admins)": "mlflow-admins", "ml": "mlflow-users"},
}  # fmt: skip
META = "https://meta.acme.example:8443/saml"


def saml(**more: Any) -> Tree:
    """The provider with other words below `saml`; None takes one out."""
    words = {key: value for key, value in {**SAML["saml"], **more}.items() if value is not None}
    return {**SAML, "saml": words}


def test_a_provider_is_told_as_keycloak_calls_it() -> None:
    (found,) = declared(SAML)["identityProviders"]
    assert (found["alias"], found["providerId"], found["storeToken"]) == ("acme", "saml", False)
    config = found["config"]
    assert config["idpEntityId"] == "https://id.acme.example/saml"
    assert config["singleSignOnServiceUrl"] == "https://id.acme.example/login"
    assert (config["validateSignature"], config["signingCertificate"]) == ("true", IN_METADATA)
    assert (config["principalType"], config["syncMode"]) == ("SUBJECT", "FORCE")
    unsaid = {"clientSecret", "entityId", "singleLogoutServiceUrl", "metadataDescriptorUrl", "useMetadataDescriptorUrl"}
    assert not unsaid & config.keys()


def test_certificates_are_taken_as_metadata_and_as_files_have_them() -> None:
    wrapped = "\n".join(re.findall(".{1,76}", IN_METADATA))
    (found,) = declared(saml(certificates=[PEM, wrapped, IN_METADATA]))["identityProviders"]
    assert found["config"]["signingCertificate"] == ",".join([IN_METADATA] * 3)


def test_keys_may_be_read_from_metadata() -> None:
    (found,) = declared(saml(certificates=None, metadataUrl=META))["identityProviders"]
    assert found["config"]["metadataDescriptorUrl"] == META
    assert found["config"]["useMetadataDescriptorUrl"] == "true"
    assert "signingCertificate" not in found["config"]


@pytest.mark.parametrize(("more", "asked"), [({"metadataUrl": META, "certificates": None}, True), ({}, False)])
def test_keycloak_goes_to_the_metadata_and_nowhere_else(more: Tree, asked: bool) -> None:
    spec = stack_spec(settings({"realm": {"identityProviders": [saml(**more, logoutUrl="https://id.acme.example/x")]}}))
    server = next(one for one in importing_workloads(spec) if one.name == "keycloak")
    places = {(out.host, out.port) for out in server.outside if out.host.endswith("acme.example")}
    assert places == ({("meta.acme.example", 8443)} if asked else set())


def test_a_persons_values_lead_to_groups() -> None:
    """An attribute is called as it is: a dot in its name leads nowhere."""
    found = {one["name"]: one for one in declared(SAML)["identityProviderMappers"]}
    for group, fitting in (("mlflow-admins", "ML (admins)"), ("mlflow-users", "ml")):
        mapper = found[f"group {group}"]
        assert mapper["identityProviderMapper"] == "saml-advanced-group-idp-mapper"
        assert (mapper["config"]["group"], mapper["config"]["are.attribute.values.regex"]) == (f"/{group}", "true")
        (attribute,) = json.loads(mapper["config"]["attributes"])
        assert attribute["key"] == "http://schemas.acme.example/groups"
        for value in ("ML (admins)", "ml", "mlx", "ML admins", ""):
            assert bool(re.fullmatch(attribute["value"], value)) == (value == fitting)


def test_attributes_tell_of_people() -> None:
    names = {"usernameAttribute": "uid", "emailAttribute": "mail", "firstNameAttribute": "urn:oid:2.5.4.42"}
    found = {one["name"]: one["config"] for one in declared(saml(**names))["identityProviderMappers"]}
    read = {name: found[name]["attribute.name"] for name in ("email", "firstName", "lastName")}
    assert read == {"email": "mail", "firstName": "urn:oid:2.5.4.42", "lastName": "lastName"}
    assert found["username"] == {"syncMode": "IMPORT", "target": "LOCAL", "template": "${ATTRIBUTE.uid}"}
    assert "username" not in {one["name"] for one in declared(SAML)["identityProviderMappers"]}


def test_keycloak_reads_a_template_as_it_is() -> None:
    """It would take the name of an attribute for that of a variable, and what follows a colon for a value."""
    name = "http://schemas.acme.example/name"
    spec = stack_spec(
        settings({"realm": {"identityProviders": [saml(usernameAttribute=name)], "displayName": "${HOME}"}})
    )
    server = next(one for one in importing_workloads(spec) if one.name == "keycloak")
    (text,) = [file.content for file in server.files if file.path.endswith("realm.json")]
    assert not re.findall(r"\$\{(?!REALM_\w+\})", text)
    tree = json.loads(text)
    templates = [one["config"].get("template") for one in tree["identityProviderMappers"]]
    assert f"${{ATTRIBUTE.{name}}}" in templates
    assert tree["displayName"] == "${HOME}"
    # One that was kept, and written again without a client.
    tree["clients"].append({"clientId": "gone", "secret": "${REALM_GONE_SECRET}"})
    kept = json.dumps(tree).replace("${HOME", r"\u0024{HOME").replace("${ATTRIBUTE", r"\u0024{ATTRIBUTE")
    server = next(one for one in importing_workloads(spec, kept, imported=True) if one.name == "keycloak")
    (again,) = [file.content for file in server.files if file.path.endswith("realm.json")]
    assert again == text


def test_people_may_be_known_by_an_attribute() -> None:
    (found,) = declared(saml(nameIdFormat="transient", subjectAttribute="urn:oid:1.3.6.1.4.1.5923.1.1.1.6"))[
        "identityProviders"
    ]
    assert (found["config"]["principalType"], found["config"]["principalAttribute"]) == (
        "ATTRIBUTE",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.6",
    )


@pytest.mark.parametrize(
    ("more", "entity"),
    [({}, "http://localhost:8080/realms/mlflow"), ({"clientId": "urn:acme:keycloak"}, "urn:acme:keycloak")],
)
def test_what_a_provider_has_to_know_is_an_output(more: Tree, entity: str) -> None:
    shown = stack_spec(settings({"realm": {"identityProviders": [{**SAML, **more}]}})).outputs()["identity_providers"]
    endpoint = "http://localhost:8080/realms/mlflow/broker/acme/endpoint"
    told = {"redirect_uri": endpoint, "entity_id": entity, "metadata_url": f"{endpoint}/descriptor"}
    assert shown == {"acme": told}


@pytest.mark.parametrize(
    ("provider", "keys"),
    [
        ({key: value for key, value in SAML.items() if key != "saml"}, ["[0].saml"]),
        ({**OIDC, "saml": SAML["saml"]}, ["[0].saml"]),
        (saml(entityId=None, loginUrl=None), ["[0].saml.entityId", "[0].saml.loginUrl"]),
        (saml(certificates=None), ["[0].saml.certificates and [0].saml.metadataUrl"]),
        (saml(metadataUrl=META), ["[0].saml.certificates and [0].saml.metadataUrl"]),
        (saml(certificates=["nonsense"]), ["[0].saml.certificates[0]"]),
        (saml(certificates=[""]), ["[0].saml.certificates[0]"]),
        (saml(certificates=[PEM + PEM]), ["[0].saml.certificates[0]"]),
        (saml(certificates=[PEM.replace("CERTIFICATE", "PRIVATE KEY")]), ["[0].saml.certificates[0]"]),
        (saml(certificates=[IN_METADATA[:-40]]), ["[0].saml.certificates[0]"]),
        (saml(entityId="a, b"), ["[0].saml.entityId"]),
        (saml(loginUrl="id.acme.example/login"), ["[0].saml.loginUrl"]),
        (saml(nameIdFormat="kerberos"), ["[0].saml.nameIdFormat"]),
        (saml(nameIdFormat="transient"), ["[0].saml.nameIdFormat and [0].saml.subjectAttribute"]),
        (saml(usernameAttribute="uid}${NAMEID"), ["[0].saml.usernameAttribute"]),
        ({**SAML, "clientSecret": "x"}, ["[0].clientSecret"]),
        ({**SAML, "clientId": "acme keycloak"}, ["[0].clientId"]),
        ({**SAML, "clientId": "<acme>"}, ["[0].clientId"]),
        (saml(entityId="https://id.acme.example/{x}"), ["[0].saml.entityId"]),
        ({**SAML, "scopes": "openid email"}, ["[0].scopes"]),
        ({**SAML, "issuer": "https://id.acme.example", "logoutUrl": META}, ["[0].issuer", "[0].logoutUrl"]),
        ({**SAML, "tenant": "11111111-2222-3333-4444-555555555555"}, ["[0].tenant"]),
        ({**SAML, "groups": {"x": "nosuch"}}, ["[0].groups"]),
        ({k: v for k, v in OIDC.items() if not k.startswith("client")}, ["[0].clientId", "[0].clientSecret"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(provider: Tree, keys: list[str]) -> None:
    assert refused(provider) == keys


@pytest.mark.parametrize("name", ["loginUrl", "logoutUrl", "metadataUrl"])
def test_people_and_keys_go_over_https_outside_dev(name: str) -> None:
    certificates = None if name == "metadataUrl" else [PEM]
    plain = saml(certificates=certificates, **{name: "http://id.acme.example/there"})
    assert refused(plain) == []
    assert refused(plain, environment="staging", realm={"sampleUsers": False}) == [f"[0].saml.{name}"]


class TestSteps:
    @staticmethod
    def changes(wanted: Tree, before: Tree, fake: FakeRealm) -> list[str]:
        found = steps(wanted, deepcopy(before), Actual(cast(KeycloakAdmin, fake)))
        for step in found:
            step.take()
        return [f"{step.where}: {change}" for step in found for change in step.changes]

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ((), (SAML,)),
            ((SAML,), ()),
            ((SAML,), ({**SAML, "groups": {"x": "mlflow-users"}},)),
            ((saml(usernameAttribute="uid"),), (SAML,)),
        ],
    )
    def test_steps_lead_to_what_is_declared_and_are_then_none(self, before: Any, after: Any) -> None:
        then, wanted = declared(*before), declared(*after)
        fake = FakeRealm(then)
        assert self.changes(wanted, then, fake)
        assert self.changes(wanted, wanted, fake) == []

    def test_metadata_takes_the_place_of_certificates(self) -> None:
        then, wanted = declared(SAML), declared(saml(certificates=None, metadataUrl=META))
        fake = FakeRealm(then)
        said = self.changes(wanted, then, fake)
        assert "identity provider acme: config.signingCertificate is removed" in said
        assert fake.providers["acme"]["config"] == wanted["identityProviders"][0]["config"]

    @pytest.mark.parametrize(("before", "after"), [(OIDC, SAML), (SAML, OIDC)])
    def test_a_provider_does_not_become_one_of_another_kind(self, before: Tree, after: Tree) -> None:
        fake = FakeRealm(declared(before))
        with pytest.raises(StackError) as caught:
            self.changes(declared(after), declared(before), fake)
        assert [one.where for one in caught.value.problems] == ["realm.identityProviders[0].alias"]
        assert fake.calls == []
