"""Durations as Go's programs spell them: Docker's engine and Keycloak's provider among them."""

from __future__ import annotations


def go_duration(seconds: int) -> str:
    """The canonical spelling (Go, time.Duration.String): 90 is 1m30s, 5400 is 1h30m0s.

    What is read back from the program is spelt this way, so any other spelling is a difference at every `up`.
    """
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"
