"""Does Keycloak reach the directories of the settings, and do they let it in?"""

from __future__ import annotations

from collections.abc import Iterator

from components.realm_words import PROVIDER, REACHED, STORAGE, flat, kept_login, trials
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check


@check(Needs.STACK)
def directory(seen: Observed) -> Iterator[Finding]:
    """Each LDAP directory, as Keycloak has it now. Nobody is looked up there."""
    declared = seen.settings.realm.ldap if seen.settings is not None else ()
    if not declared or seen.realm_admin is None:
        return
    rows = seen.realm_admin.get("/components", type=STORAGE)
    there = {row["name"]: row for row in rows if row["providerId"] == PROVIDER}
    for i, one in enumerate(declared):
        where, found = f"realm.ldap[{i}] ({one.name})", there.get(one.name)
        if found is None:
            evidence = f"Keycloak has no directory {one.name}"
            cause = "the last `up` could not use it, or somebody removed it in Keycloak; nobody of it can log in"
            yield Finding("directory", evidence, cause, f"stackctl up --stack {seen.stack}")
            continue
        config = flat(found["config"])
        for trial in trials(config, ""):
            reason = seen.realm_admin.try_directory({**trial, **kept_login(found["id"])})
            if not reason:
                continue
            if trial["action"] == REACHED:
                evidence = f"Keycloak does not reach {config['connectionUrl']}: {reason}"
                cause = "no server answers there, its certificate is not trusted, or something between stops it"
                fix = f"the servers, or {where} in the settings, and `caBundle` for a CA of your own"
            else:
                evidence = f"{config['connectionUrl']} does not let {config.get('bindDn', '')} in: {reason}"
                cause = "the password there is another one, or the entry is gone or locked"
                fix = f"{where}.bindPassword in the settings, then `stackctl up --stack {seen.stack}`"
            yield Finding("directory", evidence, cause, fix)
            break
