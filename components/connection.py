"""A login at a database or cache, read back from the URL that a program was given."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit


@dataclass(frozen=True)
class Login:
    """A program's login at a database or cache, taken from its URL."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.user + '@' if self.user else ''}{self.host}:{self.port}/{self.database}"


def login_in(url: str, default_port: int) -> Login | None:
    """The login that a URL holds; None where there is none."""
    if "://" not in url:
        return None
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port or default_port
    except ValueError:
        return None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Login(parts.hostname or "", port, parts.path.lstrip("/"), user, password)
