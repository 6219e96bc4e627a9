"""Whether a secret of a realm is the one that was written last: Keycloak shows none, and nothing here keeps one."""

from __future__ import annotations

import hashlib

from stackctl.realm.step import Tree, said, same

# What Keycloak shows as asterisks, by what it is in.
_SECRETS = frozenset({("smtpServer", "password"), ("config", "clientSecret"), ("config", "bindCredential")})
# What each fingerprint starts with.
MARK = "scrypt:"
# Slow, since a person may have chosen it (RFC 7914, section 2; the parameters are those of its section 12).
_COST = {"n": 16384, "r": 8, "p": 1}


def fingerprint(realm: str, text: str) -> str:
    """What is kept of a secret."""
    return MARK + hashlib.scrypt(text.encode(), salt=f"mlflow-sso/{realm}".encode(), **_COST).hex()


def was_written(kept: object, realm: str, text: str) -> bool:
    """Whether this secret is the one that a fingerprint is of. Of what an import has put there, nobody knows."""
    return kept == fingerprint(realm, text)


def inner(key: str, now: Tree, new: Tree, then: Tree, realm: str) -> tuple[Tree, list[str]]:
    """A setting with settings in it as it is to be, and what is changed in it.

    A secret is compared by fingerprint. One that was not declared anew stays as Keycloak has it: it takes the asterisks
    that it shows for that one.
    """
    told, words = dict(new), []
    for name in sorted(new):
        if (key, name) in _SECRETS:
            if now.get(name) and was_written(then.get(name), realm, new[name]):
                told[name] = now[name]
            else:
                words.append(f"{key}.{name} is written")
        elif not same(now.get(name), new[name]):
            words.append(said(f"{key}.{name}", now.get(name), new[name]))
    dropped = sorted(then.keys() & now.keys() - new.keys())
    words += [f"{key}.{name} is removed" for name in dropped]
    return {**{name: value for name, value in now.items() if name not in dropped}, **told}, words
