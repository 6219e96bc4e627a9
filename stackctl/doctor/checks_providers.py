"""Can people of the identity providers come in?"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from mlflow_sso_client.errors import NotAdminError

from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check

# How long before its last day a certificate is told of: providers announce a new one weeks before they use it.
SOON = timedelta(days=14)


@check(Needs.STACK)
def identity_provider(seen: Observed) -> Iterator[Finding]:
    """Each declared provider, as Keycloak has it now, and what every provider of SAML signs with."""
    admin = seen.realm_admin
    if admin is None:
        return
    declared = seen.settings.realm.identity_providers if seen.settings is not None else ()
    try:
        there = {row["alias"]: row for row in admin.get("/identity-provider/instances")}
    except NotAdminError:
        # A realm of somebody else's, whose providers this account need not see.
        if declared:
            raise
        return
    for one in declared:
        found = there.get(one.alias)
        if found is None:
            cause = "somebody removed it in Keycloak, or the last `up` ended early; nobody of it can log in"
            yield Finding("identity-provider", f"Keycloak has no provider {one.alias}", cause, seen.remake(""))
        elif not found.get("enabled", True):
            cause = "somebody switched it off in Keycloak, and `up` leaves it so; nobody of it can log in"
            fix = f"Keycloak's console: Identity providers, {one.alias}, Enabled; or take it out of the settings"
            yield Finding("identity-provider", f"{one.alias} is switched off", cause, fix)
    numbers = {one.alias: i for i, one in enumerate(declared)}
    for alias, row in there.items():
        if row.get("enabled", True) and row["providerId"] == "saml":
            yield from _certificates(seen.stack, alias, row["config"], numbers.get(alias))


def _certificates(stack: str, alias: str, config: dict[str, Any], number: int | None) -> Iterator[Finding]:
    """Keycloak passes over a certificate whose time it is not (`SAMLEndpoint.Binding.getIDPKeyLocator`)."""
    texts = [text for text in str(config.get("signingCertificate") or "").split(",") if text.strip()]
    # Those of metadata are read again by Keycloak itself.
    if config.get("useMetadataDescriptorUrl") == "true" or config.get("validateSignature") != "true" or not texts:
        return
    now = datetime.now(UTC)
    times = sorted(map(_times, texts))
    covered = now
    for start, end in times:
        # One takes the other's place.
        covered = max(covered, end) if start <= covered else covered
    if covered > now + SOON:
        return
    said = "; ".join(_told(start, end, now) for start, end in times)
    when = f"from {covered:%Y-%m-%d} on " if covered > now else ""
    cause = f"{when}Keycloak takes no answer that is signed with it: nobody of the provider can log in"
    where = "the provider's page in Keycloak" if number is None else f"realm.identityProviders[{number}].saml"
    fix = f"add the provider's next certificate to {where}"
    if number is not None:
        fix += f".certificates, then `stackctl up --stack {stack}`"
    yield Finding("identity-provider", f"{alias}: {said}", cause, fix)


def _times(text: str) -> tuple[datetime, datetime]:
    """From when and until when a certificate can be used; never, if it is none."""
    try:
        found = x509.load_der_x509_certificate(base64.b64decode("".join(text.split())))
    except (binascii.Error, ValueError):
        never = datetime.min.replace(tzinfo=UTC)
        return never, never
    return found.not_valid_before_utc, found.not_valid_after_utc


def _told(start: datetime, end: datetime, now: datetime) -> str:
    if start == end:
        return "what it signs with is no certificate"
    if start > now:
        return f"its certificate can be used from {start:%Y-%m-%d} on"
    return f"its certificate {'ended' if end <= now else 'ends'} on {end:%Y-%m-%d}"
