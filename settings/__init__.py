"""The only reader of configuration."""

from settings.derived import (
    CONNECTIONS,
    MOST_TURNS,
    allows_direct_access_grants,
    behind_proxy,
    ends_leavers,
    postgres_has_certificates,
    published_port,
    server_turns,
    serves_mlflows_own_metrics,
    trace_senders,
    wants_sample_users,
)
from settings.load import ENCRYPTED, ROOT, from_engine, from_files, parse, reveal
from settings.model import (
    PROJECT,
    Environment,
    ImageSource,
    Platform,
    Settings,
)
from settings.types import is_loopback, port_of

__all__ = [
    "CONNECTIONS",
    "ENCRYPTED",
    "MOST_TURNS",
    "PROJECT",
    "ROOT",
    "Environment",
    "ImageSource",
    "Platform",
    "Settings",
    "allows_direct_access_grants",
    "behind_proxy",
    "ends_leavers",
    "from_engine",
    "from_files",
    "is_loopback",
    "parse",
    "port_of",
    "postgres_has_certificates",
    "published_port",
    "reveal",
    "server_turns",
    "serves_mlflows_own_metrics",
    "trace_senders",
    "wants_sample_users",
]
