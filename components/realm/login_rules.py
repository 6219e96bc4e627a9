"""Rules about logins to the realm: its passwords, mail and texts, and a realm that is somebody else's."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from itertools import cycle, islice
from urllib.parse import urlsplit

from components.identity import PEOPLES_LENGTH
from components.realm.spec import sample_address
from platforms.secrets import MIXTURE
from settings import ENCRYPTED, Settings, reveal, wants_sample_users
from settings.derived import SAMPLE_USERS, groups_client
from settings.known import Known
from settings.model import Platform
from settings.realm.policy import unmet
from settings.realm.texts import ENGLISH, is_message_key, language_tag, text_languages, without_region, wrong_in
from settings.types import is_address, is_loopback
from settings.wrong import Wrong

_POLICY = "realm.passwordPolicy"
MOST_DOTS = 24
# Of all texts together, as they stand in the import: an object of a cluster has room for a mebibyte.
_LONGEST = 600_000
_SHOWN = 60
# What is written to the realm itself, by what it is called in `Realm`.
_OF_THE_REALM = {
    "displayName": "display_name",
    "passwordPolicy": "password_policy",
    "rememberMe": "remember_me",
    "resetPassword": "reset_password",
    "languages": "languages",
    "themes": "themes",
    "texts": "texts",
    "terms": "terms",
    "mail": "mail",
    "events": "events",
    "ldap": "ldap",
    "secondFactor": "second_factor",
    "sessionLimit": "session_limit",
}
_MIXED = (
    f"{PEOPLES_LENGTH} signs with {MIXTURE.lower} small letters, {MIXTURE.upper} capitals, {MIXTURE.digits} digits and "
    f"{MIXTURE.special} of {' '.join(MIXTURE.specials)} at least"
)


def passwords(settings: Settings, known: Known) -> Iterator[Wrong]:
    """First passwords, given and generated, are such as the policy takes: Keycloak refuses another one halfway."""
    realm = settings.realm
    policy = realm.password_policy
    if policy is None or policy == ENCRYPTED or not known.values(_POLICY):
        return
    people = list(SAMPLE_USERS) if known.values("environment") and wants_sample_users(settings) else []
    addresses = {name: sample_address(name) for name in people}
    for i, user in enumerate(realm.users):
        key = f"realm.users[{i}]"
        if not known.values(f"{key}.username", f"{key}.password"):
            continue
        given = reveal(user.password)
        if given is None:
            people.append(user.username)
            addresses[user.username] = user.email or ""
        elif given != ENCRYPTED and (part := unmet(policy, given, user.username, user.email or "")):
            yield Wrong((f"{key}.password",), "[secret]", f"expected one that {_POLICY} takes; it is not {part}")
    for name in people:
        part = _unmet_by_generated(policy, name, addresses[name])
        if part:
            expected = (
                f"expected one that first passwords meet, which are generated: {_MIXED}; they are not {part}. Or a "
                "password for each of realm.users, and no sample users"
            )
            yield Wrong((_POLICY,), policy, expected)
            return


def _unmet_by_generated(policy: str, name: str, address: str) -> str:
    """The first part that a generated password may not meet. None is sure to match an expression."""
    found = next((part for sample in _GENERATED if (part := unmet(policy, sample, name, address))), "")
    return found or ("certain to match regexPattern" if "regexPattern(" in policy else "")


def mail(settings: Settings, known: Known) -> Iterator[Wrong]:
    realm, server = settings.realm, settings.realm.mail
    if realm.reset_password and server is None and known.values("realm.resetPassword") and known.presence("realm.mail"):
        yield Wrong(("realm.resetPassword",), "true", "expected realm.mail with it: the link is sent by mail")
    if server is None:
        return
    login = {"username": server.username, "password": server.password}
    missing = [name for name, value in login.items() if not value]
    if len(missing) == 1 and known.presence(*(f"realm.mail.{name}" for name in login)):
        yield Wrong((f"realm.mail.{missing[0]}",), "", "required with the other part of the login, and not given")
    if server.password and server.encryption == "none" and known.values("realm.mail.encryption"):
        yield Wrong(("realm.mail.encryption",), "none", "expected starttls or tls: the password would be readable")
    if settings.keycloak.existing is None and is_loopback(server.host) and known.values("realm.mail.host"):
        expected = "expected a name that containers reach: localhost is each container itself"
        yield Wrong(("realm.mail.host",), server.host, expected)


def texts(settings: Settings, known: Known) -> Iterator[Wrong]:
    """What Keycloak would not find, would show without a part of it, or would fail at."""
    realm = settings.realm
    length = len(json.dumps(realm.texts))
    if length > _LONGEST:
        expected = f"expected {_LONGEST} bytes of JSON at most in all: a cluster takes no longer import"
        yield Wrong(("realm.texts",), f"{length} bytes", expected)
    for language, declared in realm.texts.items():
        key = f"realm.texts.{language}"
        expected = _of_language(language, realm.languages, known)
        if expected:
            yield Wrong((key,), "", expected)
        elif not declared and known.values(key):
            yield Wrong((key,), "", "expected at least one text")
        for message, text in declared.items():
            expected = _of_key(message) or wrong_in(text)
            if expected:
                yield Wrong((f"{key}.{message}",), text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ...", expected)


def _of_language(language: str, languages: tuple[str, ...], known: Known) -> str:
    if language_tag(language) != language:
        return "expected a language as Keycloak finds texts by it, such as de, pt-BR or zh-Hans"
    found = text_languages(languages)
    if language not in found and known.values("realm.languages"):
        return f"expected one of {', '.join(found)}: realm.languages names no other one"
    return ""


def _of_key(message: str) -> str:
    if is_message_key(message):
        return ""
    return "expected a key of Keycloak's messages, such as loginAccountTitle: letters, digits and . _ -"


def terms(settings: Settings, known: Known) -> Iterator[Wrong]:
    """There are terms in every language of the login page: those of Keycloak say that there are none yet."""
    realm = settings.realm
    if realm.terms != "newcomers" or not known.values("realm.terms"):
        return
    for i, one in enumerate(realm.ldap):
        key = f"realm.ldap[{i}].writable"
        if not one.writable and known.values(key):
            expected = (
                "expected writable, or realm.terms: nobody: Keycloak asks everybody who comes from there for the first "
                "time, cannot write down that they accept, and lets none of them in"
            )
            yield Wrong((key, "realm.terms"), "false", expected)
    if not known.values("realm.texts", "realm.languages"):
        return
    tags = [language_tag(language) for language in realm.languages] or [ENGLISH]
    for tag in filter(None, tags):
        if not any("termsText" in realm.texts.get(one, {}) for one in (tag, without_region(tag))):
            yield Wrong((f"realm.texts.{tag}.termsText",), "", "expected the text of realm.terms: Keycloak has none")


def second_factor(settings: Settings, known: Known) -> Iterator[Wrong]:
    declared = settings.realm.second_factor
    if declared is None:
        return
    codes, keys, required = (f"realm.secondFactor.{name}" for name in ("oneTimeCodes", "passkeys", "required"))
    host = urlsplit(settings.keycloak.url).hostname or ""
    # Browsers make an address of 127.1 as well. WebAuthn Level 3, section 5.1.3: the page's domain has to be valid.
    address = is_address(host) or host.rpartition(".")[2].isdigit()
    if declared.passkeys and address and known.values("keycloak.url", keys):
        expected = "expected a host name in keycloak.url, such as localhost: browsers make no passkeys for an address"
        yield Wrong(("keycloak.url", keys), settings.keycloak.url, expected)
    if declared.required == "nobody" or not known.values(required):
        return
    if not declared.one_time_codes and not declared.passkeys and known.values(codes, keys):
        yield Wrong((required,), declared.required, f"expected {codes} or {keys} true with it: nobody could set one up")
    if settings.realm.identity_providers:
        expected = (
            "expected nobody with realm.identityProviders: at a first login there Keycloak links an account here by "
            "its password or by mail, without the factor"
        )
        yield Wrong((required,), declared.required, expected)
    grants = "realm.directAccessGrants"
    alone = declared.required == "everybody" and not declared.one_time_codes
    if alone and settings.realm.direct_access_grants and known.values(grants, codes):
        yield Wrong((grants,), "true", f"expected false with {required} and without {codes}: a passkey needs a browser")
    if declared.required == "administrators":
        yield from _unknown_roles(settings, known)


def session_limit(settings: Settings, known: Known) -> Iterator[Wrong]:
    realm = settings.realm
    if realm.session_limit and realm.identity_providers and known.presence("realm.sessionLimit"):
        expected = "expected none with realm.identityProviders: whoever comes from there would not be counted"
        yield Wrong(("realm.sessionLimit",), "", expected)


def _unknown_roles(settings: Settings, known: Known) -> Iterator[Wrong]:
    """Roles that Keycloak would take for another client's, or for none: then nobody is asked for a factor.

    It tries every dot of `client.role`, from the right, 25 times at most (`KeycloakModelUtils.getRoleFromString`).
    """
    realm = settings.realm
    owner = groups_client(realm.client_id)
    many = [group for group in realm.groups.admins if f"{owner}.{group}".count(".") > MOST_DOTS]
    if many and known.values("realm.groups.admins", "realm.clientId"):
        expected = f"expected names with fewer dots: {MOST_DOTS} at most with the client {owner} before them"
        yield Wrong(("realm.groups.admins",), ", ".join(many), expected)
    for i, account in enumerate(realm.service_accounts):
        key = f"realm.serviceAccounts[{i}].clientId"
        if account.client_id.startswith(f"{owner}.") and known.values(key, "realm.clientId"):
            yield Wrong((key,), account.client_id, f"expected a name that does not begin with {owner}.")


def fetched(settings: Settings, known: Known) -> Iterator[Wrong]:
    """Where each secret is fetched from a store outside the cluster, none is given here."""
    if settings.platform is not Platform.KUBERNETES or settings.kubernetes.external_secrets is None:
        return
    expected = (
        "expected none with kubernetes.externalSecrets: its secret would be given here, and kept in the cluster; "
        "Keycloak's console can have it"
    )
    realm = settings.realm
    if realm.identity_providers and known.values("realm.identityProviders"):
        yield Wrong(("realm.identityProviders",), "", expected)
    for i, one in enumerate(realm.ldap):
        if one.bind_password and known.values(f"realm.ldap[{i}].bindPassword"):
            yield Wrong((f"realm.ldap[{i}].bindPassword",), "[secret]", expected)
    if realm.mail and realm.mail.password and known.values("realm.mail.password"):
        yield Wrong(("realm.mail.password",), "[secret]", expected)


def somebody_elses(settings: Settings, known: Known) -> Iterator[Wrong]:
    """What would be ignored is refused."""
    existing = settings.keycloak.existing
    if existing is None or existing.create_realm or not known.values("keycloak.existing.createRealm"):
        return
    for name, field in _OF_THE_REALM.items():
        if getattr(settings.realm, field) not in (None, (), {}) and known.presence(f"realm.{name}"):
            expected = "expected none with keycloak.existing.createRealm: false, which leaves the realm as it is"
            yield Wrong((f"realm.{name}",), "", expected)


def _generated() -> tuple[str, ...]:
    """For each kind of sign a password with as many of it as there may be, and so with the least of all others."""
    kinds = (
        (string.ascii_lowercase, MIXTURE.lower),
        (string.ascii_uppercase, MIXTURE.upper),
        (string.digits, MIXTURE.digits),
        (MIXTURE.specials, MIXTURE.special),
    )
    rest = PEOPLES_LENGTH - sum(least for _, least in kinds)
    found = []
    for most, _ in kinds:
        signs = [sign for kind, least in kinds for sign in islice(cycle(kind), least + (rest if kind == most else 0))]
        # Mixed, as chance would.
        found.append("".join(signs[place * 7 % PEOPLES_LENGTH] for place in range(PEOPLES_LENGTH)))
    return tuple(found)


_GENERATED = _generated()
