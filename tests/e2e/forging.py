"""Tokens that say what a true one says, and are signed in ways that nobody should take."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.e2e.keycloak import claims


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def unsigned(header: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    return ".".join(encoded(json.dumps(part).encode()) for part in (header, payload))


class Forger:
    """Signs the claims of a true token. public: the realm's keys, as its `jwks_uri` has them (RFC 7517)."""

    def __init__(self, token: str, public: list[dict[str, Any]]) -> None:
        # What is refused was not refused for having ended.
        self._payload = {**claims(token), "exp": int(time.time()) + 86400}
        self._header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
        self._true = next(key for key in public if key["kid"] == self._header["kid"])
        self._own = rsa.generate_private_key(65537, 2048)
        numbers = self._own.public_key().public_numbers()
        self._jwk = {"kty": "RSA", "alg": "RS256", "use": "sig", "n": number(numbers.n), "e": number(numbers.e)}

    def _by_own_key(self, **header: Any) -> str:
        text = unsigned({**self._header, **header}, self._payload)
        return f"{text}.{encoded(self._own.sign(text.encode(), padding.PKCS1v15(), SHA256()))}"

    def _by_public_key(self, secret: bytes, alg: str) -> str:
        """The realm's public key as a secret that both sides share."""
        text = unsigned({**self._header, "alg": alg}, self._payload)
        return f"{text}.{encoded(hmac.digest(secret, text.encode(), hashlib.sha256))}"

    def _secrets(self) -> Iterator[tuple[str, bytes]]:
        n, e = (int.from_bytes(base64.urlsafe_b64decode(self._true[part] + "=="), "big") for part in ("n", "e"))
        key = rsa.RSAPublicNumbers(e, n).public_key()
        for encoding in (Encoding.PEM, Encoding.DER):
            for form in (PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1):
                yield f"{encoding} {form}", key.public_bytes(encoding, form)
        yield "the modulus", self._true["n"].encode()
        yield "the key's JSON", json.dumps(self._true).encode()
        yield "nothing", b""

    def all(self) -> Iterator[tuple[str, str]]:
        """Each forged token, by what is wrong with it."""
        for alg in ("none", "None", "NONE", "nOnE", "", None, 0, ["RS256"]):
            text = unsigned({**self._header, "alg": alg}, self._payload)
            yield f"alg {alg!r}, no signature", f"{text}."
            yield f"alg {alg!r}, some signature", f"{text}.AAAA"
        for name, secret in self._secrets():
            yield f"HS256 with {name}", self._by_public_key(secret, "HS256")
            yield f"RS256 in name, an HMAC with {name}", self._by_public_key(secret, "RS256")
        kid = self._true["kid"]
        yield "an own key under the true kid", self._by_own_key()
        yield "an own key in the header", self._by_own_key(jwk={**self._jwk, "kid": kid})
        yield (
            "an own key in the header, with a kid of its own",
            self._by_own_key(jwk={**self._jwk, "kid": "own"}, kid="own"),
        )
        yield "an own key at an address", self._by_own_key(jku="https://evil.example/jwks", kid="own")
        yield "an own certificate at an address", self._by_own_key(x5u="https://evil.example/x5c")
        yield "a certificate in the header", self._by_own_key(x5c=["MIIB"])
        for trick in (
            "",
            "../../../../dev/null",
            "/dev/null",
            "' OR 1=1 --",
            "own",
            0,
            None,
            ["own"],
            {"a": 1},
            f"{kid}\0",
        ):
            yield f"kid {trick!r}", self._by_own_key(kid=trick)
        yield "an extension that has to be understood", self._by_own_key(crit=["exp"], b64=False)
        yield "another type", self._by_own_key(typ="at+jwt", cty="JWT")
        yield "an empty signature", unsigned(self._header, self._payload) + "."
        yield "two parts", unsigned(self._header, self._payload)
        yield "five parts", unsigned(self._header, self._payload) + ".a.b.c"
