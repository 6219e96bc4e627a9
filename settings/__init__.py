"""The only reader of configuration."""

from settings.load import ENCRYPTED, ROOT, from_engine, from_files, parse, reveal
from settings.model import (
    PROJECT,
    Environment,
    ImageSource,
    Platform,
    Settings,
)
from settings.rules import (
    behind_proxy,
    direct_access_grants,
    metrics,
    postgres_certificates,
    published_port,
    sample_users,
)
from settings.types import is_loopback

__all__ = [
    "ENCRYPTED",
    "PROJECT",
    "ROOT",
    "Environment",
    "ImageSource",
    "Platform",
    "Settings",
    "behind_proxy",
    "direct_access_grants",
    "from_engine",
    "from_files",
    "is_loopback",
    "metrics",
    "parse",
    "postgres_certificates",
    "published_port",
    "reveal",
    "sample_users",
]
