"""A provider's keys are asked for anew when a token names one that is not among them, and for no other reason.

The plugin asks again after a wrong signature alone. A token of a new key has none, since there is no key to check it
by: for the five minutes that it keeps keys it refuses everything that is signed since Keycloak's key was changed. And
a wrong signature is what anybody can make, while a key that is known has not changed (RFC 7517, section 4.5).
"""

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from cachetools import TTLCache

# Seconds in which the same name is not looked up again.
REST = 30.0
# Lookups at once, and the seconds after which there is one more: names cost whoever makes them up nothing.
MOST, EVERY = 10, 5.0
# Seconds that keys are good for while there are no newer ones, as long as the plugin keeps them.
LAST = 300.0
# Seconds that a request waits for the lookup of another one.
WAIT = 2.0
_LONGEST = 256
_Function = Callable[..., Any]
# What the token named that this thread decoded last.
_named = threading.local()


def telling(original: _Function, wrong: type[Exception]) -> _Function:
    """`_TokenDecoder.decode`, which takes an unknown key for a wrong signature: then the plugin asks for keys anew.

    wrong: what it raises for a wrong signature.
    """

    def decode(decoder: Any, token: Any, jwks: Any, claims_options: dict[str, Any] | None = None) -> Any:
        _named.key = None
        try:
            return original(decoder, token, jwks, claims_options)
        except ValueError as error:
            name = unknown(token, jwks)
            if name is None:
                raise
            _named.key = name
            raise wrong("the token is of an unknown key") from error

    return decode


def unknown(token: Any, jwks: Any) -> str | None:
    """The key that a token names and a key set has not; None where that is not so."""
    try:
        head = str(token).partition(".")[0]
        name = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
        known = {key.get("kid") for key in jwks["keys"]}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None
    return name if isinstance(name, str) and len(name) <= _LONGEST and name not in known else None


class _Lookups:
    """What was looked up at one provider. Its methods are called under its lock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.lock = threading.Lock()
        self._now = now
        self._asked: TTLCache[str, bool] = TTLCache(4096, REST, timer=now)
        self._left, self._since = float(MOST), now()

    def due(self, name: str) -> bool:
        """Whether a name is to be looked up; then it was."""
        if name in self._asked:
            return False
        now = self._now()
        self._left = min(float(MOST), self._left + (now - self._since) / EVERY)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        self._asked[name] = True
        return True


def seldom(original: _Function, now: Callable[[], float] = time.monotonic) -> _Function:
    """`_get_provider_jwks`, which asks once for each unknown key, and for a few of them at most.

    Requests with the same new key at once wait for the first one's answer.
    """
    lookups: dict[Any, _Lookups] = {}
    # The last keys of each provider, and until when: asking anew begins with forgetting them.
    good: dict[Any, tuple[Any, float]] = {}

    def known(provider: Any, *, anew: bool = False) -> Any:
        kept, until = good.get(provider.id, (None, 0.0))
        try:
            found = original(provider, force_refresh=anew)
        except Exception:
            if now() >= until:
                raise
            return kept
        if found is not kept:
            good[provider.id] = (found, now() + LAST)
        return found

    def keys(provider: Any, force_refresh: bool = False) -> Any:
        name = getattr(_named, "key", None)
        if not force_refresh or name is None:
            return known(provider)
        mine = lookups.get(provider.id) or lookups.setdefault(provider.id, _Lookups(now))
        if not mine.lock.acquire(timeout=WAIT):
            return known(provider)
        try:
            return known(provider, anew=mine.due(name))
        finally:
            mine.lock.release()

    return keys
