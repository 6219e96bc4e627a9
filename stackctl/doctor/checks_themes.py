"""Does Keycloak have the themes that the realm is to look like?"""

from __future__ import annotations

from collections.abc import Iterator

from components.realm_words import THEMES, unknown_themes
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check


@check(Needs.STACK)
def themes(seen: Observed) -> Iterator[Finding]:
    """The themes that the realm names, declared or not."""
    admin = seen.realm_admin
    if admin is None:
        return
    realm = admin.realm()
    if not any(realm.get(word) for word in THEMES.values()):
        return
    for kind, names in unknown_themes(realm, admin.themes()).items():
        evidence = f"{THEMES[kind]} of the realm is {realm[THEMES[kind]]}, and Keycloak has {names}"
        cause = "there is no such theme in its image, or on its server, and it shows its own in place of it"
        fix = f"realm.themes.{kind} in the settings of stack {seen.stack}, then stackctl up --stack {seen.stack}"
        if seen.spec is None or THEMES[kind] not in seen.spec.realm.themes:
            fix = "another one in Keycloak's console: Realm settings, Themes"
        yield Finding("theme", evidence, cause, fix)
