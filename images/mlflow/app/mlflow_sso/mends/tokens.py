"""Page tokens that tell nothing: sealed for one caller and one search, and of a length that does not depend on counts.

MLflow's tokens are base64 of `{"offset": n}`, and n counts rows that the plugin then hides. Pure logic, without MLflow.
"""

import base64
import json
import re

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# Room for each number of a token, so that 9 and 10 are sealed to the same length. 64 bits have 20 digits.
_ROOM = 20


class Foreign(ValueError):
    """A token that was not sealed here, for this caller, for this search."""


def _length(token: str) -> int:
    """The length that a token may have, with any numbers in it."""
    try:
        inner = base64.b64decode(token, validate=True).decode()
    except ValueError:
        inner = token
    numbers = re.findall(r"\d+", inner)
    fixed = len(re.sub(r"\d+", "", inner).encode())
    return (fixed + sum(max(_ROOM, len(number)) for number in numbers)) * 4 // 3 + 4


class Seal:
    """Seals and opens tokens. secret: the server's own, of any length."""

    def __init__(self, secret: str) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"mlflow-sso page tokens 1").derive(secret.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def close(self, token: str, caller: str, search: str) -> str:
        text = json.dumps([caller, search, token.ljust(_length(token))])
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str, caller: str, search: str) -> str:
        """Raises Foreign."""
        try:
            whose, where, token = json.loads(self._fernet.decrypt(sealed.encode()))
        except (InvalidToken, ValueError) as error:
            raise Foreign(search) from error
        if (whose, where) != (caller, search):
            raise Foreign(search)
        return str(token).rstrip(" ")
