"""The secrets of a stack: named, generated once, and put into text by the platform alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar
from urllib.parse import quote, unquote

# What a reader makes of one part of a text.
Part = TypeVar("Part")


@dataclass(frozen=True)
class Kept:
    """A place in the target's own store of secrets, filled by somebody else: an object, and a key in it."""

    name: str
    key: str


class Change(StrEnum):
    """What a new value of a secret costs."""

    # The programs that hold it start anew with it.
    RESTART = "restart"
    # Two programs hold it, and both have to learn it.
    COORDINATED = "coordinated"
    # Who is logged in has to log in again.
    ENDS_SESSIONS = "ends-sessions"
    # What was written with it can no longer be read.
    LOSES_DATA = "loses-data"


@dataclass(frozen=True)
class Mixture:
    """The least of each kind of sign in a generated value, and the signs beside letters and digits.

    They mean nothing in URLs, SQL, env files and JSON either (RFC 3986, section 2.3).
    """

    lower: int = 3
    upper: int = 3
    digits: int = 3
    special: int = 2
    specials: str = "-_."


MIXTURE = Mixture()


@dataclass(frozen=True)
class Secret:
    """A named secret, generated once per stack unless the operator gives its value.

    name: unique in the stack, kebab-case; the physical name on every platform derives from it.
    length: characters of [A-Za-z0-9] when generated (62^32 is about 190 bits). Letters and digits
        alone need no quoting in URLs, SQL, env files or JSON.
    value: the operator's own value. Kept out of `repr`, so a traceback cannot show it.
    kept: where the target keeps the value. Programs are given it there, and the stack never learns it.
    version: another number is another generated value. The first is 1.
    change: what that costs.
    mixed: whether a generated value has signs of every kind (`MIXTURE`), as rules about people's passwords want them.
    """

    name: str
    length: int = 32
    value: str | None = field(default=None, repr=False)
    kept: Kept | None = None
    version: int = 1
    change: Change = Change.RESTART
    mixed: bool = False

    @property
    def stored(self) -> str:
        """The name under which a generated value is kept: another one for each version."""
        return self.name if self.version == 1 else f"{self.name}@{self.version}"

    @property
    def variable(self) -> str:
        """An environment variable to carry it. Distinct secrets have distinct variables."""
        plain = re.sub(r"[^A-Z0-9]", "_", self.name.upper())
        if re.fullmatch(r"[a-z0-9-]+", self.name):
            return plain
        return f"{plain}_{hashlib.sha256(self.name.encode()).hexdigest()[:6].upper()}"


@dataclass(frozen=True)
class Written:
    """A secret in the spelling of whoever reads it, so that it arrives there as it is.

    Letters and digits are spelt as they are in each of them. Where the target alone knows the value, the place that
    it runs in spells it.
    """

    secret: Secret

    def spelt(self, value: str) -> str:
        """The value in this spelling."""
        raise NotImplementedError

    @staticmethod
    def read(text: str) -> str:
        """The value that a reader of this spelling sees in a text."""
        raise NotImplementedError


@dataclass(frozen=True)
class UrlQuoted(Written):
    """As a part of a URL: percent-encoded (RFC 3986, section 2.1).

    Where the target alone knows it, the image puts it in: variables that STACK_URLS names hold ${NAME} in its place.
    """

    def spelt(self, value: str) -> str:
        return quote(value, safe="")

    @staticmethod
    def read(text: str) -> str:
        return unquote(text)


@dataclass(frozen=True)
class ExpressionQuoted(Written):
    r"""As a value of Keycloak's configuration, which reads $$ and \$ as one sign and ${ as the begin of a reference.

    Source: `ExpressionConfigSourceInterceptor` of SmallRye Config; tried with Keycloak 26.7.3.
    """

    def spelt(self, value: str) -> str:
        return value.replace("$", r"\$") if re.search(r"\$[${]|\\\$", value) else value

    @staticmethod
    def read(text: str) -> str:
        return text.replace(r"\$", "$$").replace("$$", "$")


@dataclass(frozen=True)
class ImportQuoted(Written):
    """As text in the JSON of a realm, where Keycloak puts variables in before it reads the document.

    What it has put in it searches for ${ again (`StringPropertyReplacer`; tried with Keycloak 26.7.3).
    """

    def spelt(self, value: str) -> str:
        return json.dumps(value, ensure_ascii=False)[1:-1].replace("${", r"\u0024{")

    @staticmethod
    def read(text: str) -> str:
        return str(json.loads(f'"{text}"'))


@dataclass(frozen=True)
class ConfigQuoted(Written):
    """As one word of a line in Redis' configuration (`sdssplitargs`, Redis 8.0)."""

    def spelt(self, value: str) -> str:
        if value and not re.search(r"[\s\"']", value):
            return value
        return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'

    @staticmethod
    def read(text: str) -> str:
        return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


@dataclass(frozen=True)
class SecretText:
    """Text with secrets in it, put together by the platform and never by a component."""

    parts: tuple[str | Secret | Written, ...]

    @staticmethod
    def of(*parts: str | Secret | Written) -> SecretText:
        return SecretText(parts)

    def fold(
        self, plain: Callable[[str], Part], secret: Callable[[Secret], Part], written: Callable[[Written], Part]
    ) -> list[Part]:
        """Every part in its order, as one of three functions makes it.

        plain: of text without a secret. secret: of a secret as it is. written: of one in another spelling.
        """
        made = []
        for part in self.parts:
            if isinstance(part, Written):
                made.append(written(part))
            else:
                made.append(secret(part) if isinstance(part, Secret) else plain(part))
        return made

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Its secrets, in their order."""

        def itself(secret: Secret) -> Secret | None:
            return secret

        found = self.fold(lambda _: None, itself, lambda written: written.secret)
        return tuple(secret for secret in found if secret is not None)

    @property
    def only(self) -> Secret | Written | None:
        """The secret that it is, in whatever spelling, with nothing beside it; None for every other text."""
        part = self.parts[0] if len(self.parts) == 1 else None
        return None if isinstance(part, str) else part

    @property
    def alone(self) -> Secret | None:
        """The secret that it is, with nothing beside it and as it is; None for every other text."""
        return self.only if isinstance(self.only, Secret) else None

    @property
    def expressed(self) -> Secret | None:
        """The secret that it is, with nothing beside it and spelt for Keycloak; None for every other text."""
        return self.only.secret if isinstance(self.only, ExpressionQuoted) else None

    @property
    def written(self) -> tuple[Written, ...]:
        """Its secrets in other spellings than their own, in their order."""

        def itself(part: Written) -> Written | None:
            return part

        return tuple(part for part in self.fold(lambda _: None, lambda _: None, itself) if part is not None)

    @property
    def spells(self) -> bool:
        """Whether a part of it is in another spelling than that of URLs."""
        return any(not isinstance(part, UrlQuoted) for part in self.written)

    @property
    def quotes(self) -> bool:
        """Whether a part of it is percent-encoded."""
        return any(isinstance(part, UrlQuoted) for part in self.written)

    @property
    def kept(self) -> bool:
        """Whether the target alone can put it together."""
        return any(secret.kept for secret in self.secrets)
