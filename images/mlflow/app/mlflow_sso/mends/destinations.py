"""Which settings of a gateway's secret may become parts of an address that the server connects to.

Pure logic, without MLflow. `api_base` is MLflow's own way to name an address, and MLflow checks it; all else
here may name a region, a place or an account, and no host, port or path.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

# A label of a host name (RFC 1123, section 2.1), which is what regions and places of all clouds are.
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Google's projects may belong to a domain: `example.com:project`. They stand in paths only.
_PROJECT = re.compile(r"([a-z0-9.-]{1,63}:)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Keys whose values providers put into host names, by the words in them.
_HOST_WORDS = re.compile(
    r"region|location|zone|account|resource|tenant|cluster|domain|instance|deployment|subscription|workspace|stage"
)
# Keys that would name an address: only `api_base` may, which MLflow checks itself.
_ADDRESS_WORDS = re.compile(r"(^|_)(url|uri|base|host|hostname|endpoint|server|proxy|port)(_|$)")
# What a value of any other key needs: names, versions, ARNs, lists. No address has `//`, and no path goes up.
_PLAIN = re.compile(r"[A-Za-z0-9 ._:,=@+/-]*")
_CREDENTIALS = "vertex_credentials"
# Where Google's own service accounts get their tokens.
_GOOGLE = ("oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com", "oauth2.mtls.googleapis.com")


def _of_setting(key: str, value: str) -> bool:
    if _ADDRESS_WORDS.search(key):
        return False
    if key in {"deployment_name", "azure_deployment"}:
        return re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value) is not None and ".." not in value
    if "project" in key:
        return _PROJECT.fullmatch(value) is not None
    if _HOST_WORDS.search(key):
        return _LABEL.fullmatch(value) is not None
    return _PLAIN.fullmatch(value) is not None and "//" not in value and ".." not in value


def _of_google(text: str) -> bool:
    """Whether Google's credentials are JSON, of a service account, and send it for tokens to Google alone."""
    try:
        info = json.loads(text)
    except ValueError:
        return False
    if not isinstance(info, dict) or info.get("type") != "service_account":
        return False
    if info.get("universe_domain", "googleapis.com") != "googleapis.com":
        return False
    address = urlsplit(str(info.get("token_uri", "")))
    return address.scheme == "https" and address.netloc in _GOOGLE


def refused(settings: Mapping[str, Any] | None, secrets: Mapping[str, Any] | None) -> str | None:
    """The key whose value could lead the server elsewhere; None if there is none.

    settings: MLflow's `auth_config`; secrets: its `secret_value`, of which only keys that lead somewhere are looked at.
    """
    for key, value in (settings or {}).items():
        if key != "api_base" and value not in ("", None) and not _of_setting(key.lower(), str(value)):
            return key
    for key, value in (secrets or {}).items():
        name = key.lower()
        if name == _CREDENTIALS:
            if value and not _of_google(str(value)):
                return key
        elif _ADDRESS_WORDS.search(name) or (_HOST_WORDS.search(name) and not _of_setting(name, str(value))):
            return key
    return None
