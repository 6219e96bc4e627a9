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


def seldom(original: _Function, now: Callable[[], float] = time.monotonic) -> _Function:
    """`_get_provider_jwks`, which asks once for each unknown key, and for a few of them at most.

    Requests with the same new key at once wait for the first one's answer.
    """
    asked: TTLCache[tuple[Any, str], bool] = TTLCache(4096, REST, timer=now)
    # The last keys of each provider: asking anew begins with forgetting them.
    good: TTLCache[Any, Any] = TTLCache(32, LAST, timer=now)
    left: dict[Any, tuple[float, float]] = {}
    locks: dict[Any, threading.Lock] = {}

    def may(provider: Any, name: str) -> bool:
        """Whether a lookup is due. Under the lock of its provider."""
        if (provider, name) in asked:
            return False
        count, since = left.get(provider, (float(MOST), now()))
        count = min(float(MOST), count + (now() - since) / EVERY)
        left[provider] = (count - 1 if count >= 1 else count, now())
        if count < 1:
            return False
        asked[provider, name] = True
        return True

    def known(provider: Any, *, anew: bool = False) -> Any:
        try:
            found = original(provider, force_refresh=anew)
        except Exception:
            if provider.id not in good:
                raise
            return good[provider.id]
        if good.get(provider.id) is not found:
            good[provider.id] = found
        return found

    def keys(provider: Any, force_refresh: bool = False) -> Any:
        name = getattr(_named, "key", None)
        if not force_refresh or name is None:
            return known(provider)
        lock = locks.setdefault(provider.id, threading.Lock())
        if not lock.acquire(timeout=WAIT):
            return known(provider)
        try:
            return known(provider, anew=may(provider.id, name))
        finally:
            lock.release()

    return keys
