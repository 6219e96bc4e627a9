"""mlflow-oidc-auth before 7, which no stack runs: what the doctor has to know of one that somebody else brought up.

Source: the plugin's configuration module, 5.7.0. Sessions are in Redis or in files, and there is no shared cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from components.connection import Login
from components.plugin.profile import Ability, Fault, PluginLine
from components.plugin.since7 import SINCE_7
from components.redis import PORT as REDIS_PORT

_SESSIONS = "SESSION_TYPE"
_HOST, _PORT, _DB, _PASSWORD = "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"


class _Before7(PluginLine):
    def redis(self, env: Mapping[str, str]) -> Login | None:
        if env.get(_SESSIONS) != "redis" or _HOST not in env:
            return None
        port = env.get(_PORT, "")
        number = int(port) if port.isdecimal() else REDIS_PORT
        return Login(env[_HOST], number, env.get(_DB, "0"), "", env.get(_PASSWORD, ""))

    def contradictions(self, env: Mapping[str, str], redis: Login) -> Iterator[str]:
        # Each part of the address stands in one variable alone.
        return iter(())

    def cache_faults(self, env: Mapping[str, str]) -> Iterator[Fault]:
        if env.get(_SESSIONS) == "redis" and _HOST not in env:
            cause = f"sessions are to be kept in Redis, and {_HOST} does not say where that is"
            yield Fault(f"{_SESSIONS}=redis without {_HOST}", cause)


BEFORE_7 = _Before7(
    name="mlflow-oidc-auth before 7",
    # Those for OpenID Connect have the names of later versions; nothing checks audience and issuer.
    variables=replace(SINCE_7.variables, audience="", issuer="", cache=""),
    abilities=frozenset({Ability.GROUPS_FROM_CLAIM, Ability.SEVERAL_ADMIN_GROUPS}),
    ignored={},
    misspelt=SINCE_7.misspelt,
)
