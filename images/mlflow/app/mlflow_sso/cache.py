"""Redis away means slower, and not an error: permissions are then looked up in the database each time.

The plugin lets errors of its cache through (`mlflow_oidc_auth.cache.redis_backend`, 11.0.2), so nobody but an admin
was answered, and it waits for Redis without a bound. An entry that could not be removed while Redis was away must not
be believed afterwards: the cache is emptied before it is asked again.
"""

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow_oidc_auth.cache.redis_backend import RedisCacheBackend
from redis.exceptions import RedisError

from mlflow_sso import upstream

_log = logging.getLogger(__name__)
# Seconds that Redis has for an answer, and those for which it is not asked again after it gave none.
_PATIENCE = 0.5
_REST = 5.0
_KNOWN = {
    "__init__": "72867906d64e52a6",
    "get": "553524241a7cc018",
    "set": "14e1e32ad9175520",
    "delete": "d8570d0bf73cc44e",
    "delete_prefix": "590a9022808b53b4",
    "clear": "10c064e87f1db601",
}


def install() -> None:
    """Puts the mend in place."""
    upstream.replace(RedisCacheBackend, "__init__", _KNOWN["__init__"], _started)
    for name in ("get", "set"):
        upstream.replace(RedisCacheBackend, name, _KNOWN[name], _passed_over)
    for name in ("delete", "delete_prefix", "clear"):
        upstream.replace(RedisCacheBackend, name, _KNOWN[name], _made_good)


def _started(original: Callable[..., None]) -> Callable[..., None]:
    def start(cache: Any, url: str, prefix: str, ttl: int) -> None:
        cache._until = 0.0
        # The last removal that failed, and the one after which the cache was emptied: while they differ, nothing in it
        # is believed. One word for both would lose a removal that fails while another thread empties the cache.
        cache._failed = cache._made_good = None
        bounds = f"socket_timeout={_PATIENCE}&socket_connect_timeout={_PATIENCE}"
        try:
            original(cache, f"{url}{'&' if '?' in url else '?'}{bounds}", prefix, ttl)
        except (ConnectionError, RedisError) as error:
            _rest(cache, error)

    return start


def _passed_over(original: Callable[..., Any]) -> Callable[..., Any]:
    """A look into the cache, or an entry for it, that may fail: there is nothing in it then."""

    def ask(cache: Any, *words: Any) -> Any:
        if cache._until > time.monotonic():
            return None
        try:
            failed = cache._failed
            if failed is not cache._made_good:
                RedisCacheBackend.clear.__wrapped__(cache)
                cache._made_good = failed
            return original(cache, *words)
        except RedisError as error:
            return _rest(cache, error)

    return ask


def _made_good(original: Callable[..., None]) -> Callable[..., None]:
    """An entry that has to go: if it cannot go now, nothing in the cache is believed before all of it has gone."""

    @wraps(original)
    def remove(cache: Any, *words: Any) -> None:
        if cache._until > time.monotonic():
            cache._failed = object()
            return
        try:
            original(cache, *words)
        except RedisError as error:
            cache._failed = object()
            _rest(cache, error)

    return remove


def _rest(cache: Any, error: Exception) -> None:
    if cache._until <= time.monotonic() - _REST:
        _log.warning("Redis cannot be asked (%s): permissions are looked up each time", type(error).__name__)
    cache._until = time.monotonic() + _REST
