"""What a token says of its owner, and which of two tokens is believed."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

# Why somebody is refused: in no group that may come in; or the account stays an administrator, against its owner's
# groups, since the plugin keeps the last one.
STRANGER, LAST = "no_allowed_group", "last_administrator"
# The issuer knows its owner no more, or lets them log in no more.
GONE = "not_at_issuer"
# With these nobody has a session.
OUT = (STRANGER, GONE)
# Seconds by which the clocks of the issuer and of this server may differ.
LEEWAY = 120


class Rank(IntEnum):
    """What the groups make of somebody."""

    STRANGER = 0
    USER = 1
    ADMINISTRATOR = 2


@dataclass(frozen=True)
class Words:
    """What a token says: its owner's groups and what they make of them, when it was issued, and until when it holds.

    stranger: why a stranger is one.
    """

    groups: tuple[str, ...]
    rank: Rank
    issued: int
    until: float
    stranger: str = STRANGER

    @classmethod
    def of(cls, claims: Mapping[str, Any], groups: Iterable[str], rank: Rank) -> "Words":
        return cls(tuple(groups), rank, _seconds(claims.get("iat")), _seconds(claims.get("exp")))

    @property
    def refusal(self) -> str:
        """Why nobody comes in as this says, or nothing."""
        return self.stranger if self.rank is Rank.STRANGER else ""

    @property
    def digest(self) -> str:
        text = json.dumps([self.rank, sorted(set(self.groups))])
        return hashlib.sha256(text.encode()).hexdigest()

    def is_due(self, kept: "Kept", now: float) -> bool:
        """Whether an account is to be brought to this, in place of what is kept of it.

        Of two tokens of one second nobody can say which is newer, and all processes have to come to one end: the one
        that gives less is believed, until the next one. A record from the future is of a clock that went wrong.
        """
        if self.until <= now or not self.issued:
            return False
        if self.is_tried_again(kept):
            return True
        if (self.issued, self.digest) == (kept.issued, kept.digest):
            return False
        mine, other = (self.issued, -self.rank, self.digest), (kept.issued, -kept.rank, kept.digest)
        return mine > other or kept.issued > now + LEEWAY

    def is_tried_again(self, kept: "Kept") -> bool:
        """Whether this says what is kept already, and the plugin kept its owner from becoming it.

        A token of before the record counts too: Keycloak may have been asked since, and said the same.
        """
        return kept.refusal == LAST and self.digest == kept.digest and self.issued <= kept.issued


@dataclass(frozen=True)
class Kept:
    """The newest token's word on an account, as the database has it. refusal: why nobody comes in as it; or empty."""

    issued: int = 0
    rank: int = 0
    digest: str = ""
    refusal: str = ""


def _seconds(value: Any) -> int:
    """A time of a token (RFC 7519, NumericDate); one that is none is older than all."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def subject(token: str | None) -> str | None:
    """The `sub` of a token that was validated when it was kept."""
    try:
        part = (token or "").split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sub"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return found if isinstance(found, str) else None
