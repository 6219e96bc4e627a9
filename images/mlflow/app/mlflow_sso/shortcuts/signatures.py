"""The signature of a token is computed once for each key set, and its claims are looked at for each request.

A signature is right or wrong for ever; what ends is the token (`exp`), or the trust in a key, which is then absent
from the next key set. Both are asked each time: the plugin validates the claims of what `decode` returns.
"""

import hashlib
import threading
from collections.abc import Callable
from typing import Any

from cachetools import LRUCache

from mlflow_sso.shortcuts import keys

# Tokens that are remembered, and the length of the longest, so that they need no more than 16 MiB.
TOKENS, LONGEST = 2048, 4096
_Decode = Callable[..., Any]


def remembered(original: _Decode, claims_of: Callable[[dict[str, Any], dict[str, Any], Any], Any]) -> _Decode:
    """`_TokenDecoder.decode`, which computes only what it did not find right before.

    claims_of: makes what decode returns of claims, header and the rules for them.
    """
    right: LRUCache[bytes, tuple[Any, dict[str, Any], dict[str, Any]]] = LRUCache(TOKENS)
    lock = threading.Lock()

    def decode(decoder: Any, token: Any, jwks: Any, claims_options: dict[str, Any] | None = None) -> Any:
        if not isinstance(token, str) or len(token) > LONGEST:
            return original(decoder, token, jwks, claims_options)
        key = hashlib.sha256(repr((decoder.algorithms, token)).encode()).digest()
        with lock:
            known, claims, header = right.get(key, (None, {}, {}))
        # The key set itself, since the plugin has another one whenever it asked for it.
        if known is jwks and jwks is not None:
            return claims_of(dict(claims), dict(header), claims_options)
        found = original(decoder, token, jwks, claims_options)
        with lock:
            right[key] = (jwks, dict(found), dict(found.header))
        return found

    return decode


def install() -> None:
    """Puts the shortcut in place."""
    from joserfc.errors import BadSignatureError
    from mlflow_oidc_auth import auth

    from mlflow_sso import upstream

    upstream.reads(auth, "_load_jwks", "626049c347e0a312")
    upstream.reads(auth, "validate_token", "a8ade08238ede7bf")
    upstream.replace(auth, "_get_provider_jwks", "f453e18859d75a9b", keys.seldom)
    upstream.reads(auth, "_select_jwk", "2fd6d9f5c90e3759")
    upstream.replace(
        auth._TokenDecoder,
        "decode",
        "7f63aaa5c3a55358",
        lambda original: keys.telling(remembered(original, auth._ValidatedClaims), BadSignatureError),
    )
