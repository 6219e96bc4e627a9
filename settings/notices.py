"""What of the settings is right for few stacks alone: it is told to whoever brings one up, and not refused."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from settings.derived import behind_proxy, ends_leavers, public_programs, published_port, run_elsewhere
from settings.model import PROJECT, Settings
from settings.types import is_loopback, port_of

_NAMES = {"mlflow": "MLflow", "keycloak": "Keycloak"}


def notices(settings: Settings) -> Iterator[str]:
    """A line for each."""
    if not ends_leavers(settings):
        yield (
            f"{PROJECT}:realm.leavers is off: personal tokens of people who left stay until somebody revokes them"
            " (`stackctl revoke`)."
        )
    for part, group in public_programs(settings).items():
        # What is in front there forwards.
        if part in run_elsewhere(settings) or behind_proxy(settings, group.tls):
            continue
        named, port = port_of(group.url), published_port(settings, part)
        if named != port and is_loopback(urlsplit(group.url).hostname or ""):
            yield (
                f"{PROJECT}:{part}.url names port {named} of this machine, and {_NAMES[part]} is published at port "
                f"{port} ({PROJECT}:{part}.port): that is right only where something forwards between them."
            )
