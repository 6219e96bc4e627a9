"""What the shortcuts of the MLflow image remember, and what they do not."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow_sso.shortcuts import runs, signatures


class _Claims(dict[str, Any]):
    """Of the plugin: claims, with the header of their token and the rules for them."""

    def __init__(self, claims: dict[str, Any], header: dict[str, Any], options: Any) -> None:
        super().__init__(claims)
        self.header, self.options = header, options


class _Decoder:
    """Of the plugin. keys: a key set takes the tokens that are in it."""

    algorithms = ("RS256",)
    computed = 0

    def decode(self, token: str, jwks: Any, options: Any = None) -> _Claims:
        self.computed += 1
        if token not in jwks["keys"]:
            raise ValueError("no key")
        return _Claims({"sub": token}, {"kid": "1"}, options)


@pytest.fixture
def decoder() -> _Decoder:
    return _Decoder()


@pytest.fixture
def decode(decoder: _Decoder) -> Any:
    original = signatures.remembered(_Decoder.decode, _Claims)
    return lambda token, jwks, options=None: original(decoder, token, jwks, options)


def test_a_signature_is_computed_once_for_a_key_set(decoder: _Decoder, decode: Any) -> None:
    jwks = {"keys": ["a"]}
    assert [decode("a", jwks) for _ in range(3)] == [{"sub": "a"}] * 3
    assert decoder.computed == 1


def test_each_request_has_claims_of_its_own_with_its_own_rules(decode: Any) -> None:
    jwks = {"keys": ["a"]}
    first = decode("a", jwks, {"exp": 1})
    first["sub"], first.header["kid"] = "somebody else", "2"
    again = decode("a", jwks, {"exp": 2})
    assert (again, again.header, again.options) == ({"sub": "a"}, {"kid": "1"}, {"exp": 2})


def test_a_token_of_a_key_that_is_gone_is_refused(decode: Any) -> None:
    decode("a", {"keys": ["a"]})
    with pytest.raises(ValueError, match="no key"):
        decode("a", {"keys": ["b"]})


def test_a_wrong_signature_is_never_remembered_as_right(decoder: _Decoder, decode: Any) -> None:
    jwks = {"keys": ["a"]}
    for _ in range(2):
        with pytest.raises(ValueError, match="no key"):
            decode("b", jwks)
    assert decoder.computed == 2


def test_what_one_decoder_finds_right_another_with_other_algorithms_does_not(decoder: _Decoder) -> None:
    other = _Decoder()
    other.algorithms = ("ES256",)
    decode = signatures.remembered(_Decoder.decode, _Claims)
    jwks = {"keys": ["a"]}
    for each in (decoder, other):
        decode(each, "a", jwks)
    assert other.computed == 1


def test_tokens_do_not_fill_memory(decoder: _Decoder, decode: Any) -> None:
    long = "x" * (signatures.LONGEST + 1)
    jwks = {"keys": [long, *map(str, range(signatures.TOKENS + 1))]}
    for token in [long, *map(str, range(signatures.TOKENS + 1))]:
        decode(token, jwks)
    before = decoder.computed
    decode(long, jwks)
    decode("0", jwks)
    assert decoder.computed == before + 2
    decode(str(signatures.TOKENS), jwks)
    assert decoder.computed == before + 2


def test_the_experiment_of_a_run_is_looked_up_once() -> None:
    asked = []

    def lookup(_store: Any, run: str) -> str:
        asked.append(run)
        if run == "none":
            raise LookupError(run)
        return f"experiment of {run}"

    of = runs.remembered(lookup)
    assert {of(None, "a") for _ in range(3)} == {"experiment of a"}
    for _ in range(2):
        with pytest.raises(LookupError):
            of(None, "none")
    assert asked == ["a", "none", "none"]
