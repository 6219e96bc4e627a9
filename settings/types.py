"""The types that settings are made of: origins, names, versions, and the base of every group."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel


def is_loopback(host: str) -> bool:
    """Whether a host name can only ever mean this machine (RFC 6761 section 6.3, RFC 5735)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# The ports of URLs that name none (RFC 9110, sections 4.2.1 and 4.2.2).
SCHEME_PORTS = {"http": 80, "https": 443}


def port_of(url: str) -> int:
    """The port that an http or https URL leads to. Raises ValueError for another URL that names none."""
    parts = urlsplit(url)
    if parts.port is None and parts.scheme not in SCHEME_PORTS:
        raise ValueError(f"a URL without a port that is neither http nor https: {parts.scheme or 'none'}")
    return SCHEME_PORTS[parts.scheme] if parts.port is None else parts.port


def origin_of(parts: SplitResult) -> str:
    """The origin of an http or https URL as servers spell it, without its scheme's own port (RFC 6454, section 6.2)."""
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    port = "" if parts.port in (None, SCHEME_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _web_host(value: str, parts: SplitResult) -> str | None:
    """The host of an http(s) URL; None for another one, and for one with a query, credentials or blanks.

    `urlsplit` passes over tabs and ends of lines, and tells no empty query from none.
    """
    strange = parts.scheme not in ("http", "https") or "@" in parts.netloc or set("?#") & set(value)
    return None if strange or not value.isprintable() or " " in value else parts.hostname or None


def _origin(value: str) -> str:
    """An http(s) origin without path, query or credentials; returned without a trailing slash."""
    expected = "expected a URL such as http://localhost:5000, without path, query or credentials"
    try:
        parts = urlsplit(value)
        port_ok = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        raise ValueError(expected) from None
    name = _web_host(value, parts)
    if name is None or not port_ok or parts.path not in ("", "/"):
        raise ValueError(expected)
    if parts.scheme == "http" and not is_loopback(name):
        raise ValueError("expected https: http is for loopback names only (localhost, *.localhost, 127.0.0.1)")
    return origin_of(parts)


# The first parts of paths that MLflow and its plugin answer themselves (`flask.url_map` and the routers, 3.17.2 and
# 11.0.2): below one of these an address would have two meanings.
_TAKEN = frozenset({
    "ajax-api", "api", "auth", "build", "callback", "docs", "favicon.ico", "gateway", "get-artifact", "graphql",
    "health", "login", "logout", "metrics", "model-versions", "oidc", "openapi.json", "providers", "redoc", "saml",
    "scim", "server-info", "signup", "slo", "static", "static-files", "v1", "version",
})  # fmt: skip
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*")


def _base(value: str) -> str:
    """An origin and, if it is not for itself there, the path that all of a program is below; no slash at the end."""
    expected = (
        "expected a URL such as https://ml.example.com or https://example.com/mlflow, without query or credentials"
    )
    try:
        whole = urlsplit(value)
    except ValueError:
        raise ValueError(expected) from None
    path = whole.path.rstrip("/")
    if _web_host(value, whole) is None:
        raise ValueError(expected)
    if not path:
        return _origin(value)
    parts = path.split("/")[1:]
    if not all(map(_PART.fullmatch, parts)):
        raise ValueError("expected a path of letters, digits, hyphens, dots, _ and ~, such as /mlflow")
    if parts[0].lower() in _TAKEN:
        raise ValueError(f"expected another path than /{parts[0]}, which MLflow has for itself")
    return _origin(whole._replace(path="").geturl()) + path


def _scope(value: str) -> str:
    words = value.split()
    if "," in value or ";" in value or not words:
        raise ValueError("expected scopes separated by spaces (RFC 6749 section 3.3)")
    if "openid" not in words:
        raise ValueError("expected the scope openid among them (OpenID Connect Core 3.1.2.1)")
    return " ".join(words)


def _group_name(value: str) -> str:
    """A name that Keycloak, the token and the plugin spell alike.

    A comma separates names in the plugin's lists and a slash separates Keycloak's paths; the plugin makes no group
    with any of the others (mlflow_oidc_auth.utils.group_name, 11.0.2).
    """
    if set(value) & set(",/\\?#%") or not value.isprintable() or value in (".", ".."):
        raise ValueError("expected a group name without , / \\ ? # % and control characters, other than . and ..")
    return value


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("expected an IP address of this host, such as 127.0.0.1 or 0.0.0.0") from None


# The parts of a name of a host, as resolvers take them (RFC 1123, section 2.1; people have underscores as well).
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)


def is_host_name(text: str) -> bool:
    """Whether a text is a name of a host, and neither an address nor a part of one."""
    return bool(_HOST.fullmatch(text)) and not set(text) <= set("0123456789.")


def is_destination(text: str) -> bool:
    """Whether a text is a host name, an IPv4 address, or an IPv4 network (CIDR, RFC 4632) as written canonically."""
    if is_host_name(text):
        return True
    try:
        # Python also takes a mask in place of the length.
        return str(ipaddress.IPv4Network(text)) in (text, f"{text}/32")
    except ValueError:
        return False


def is_plain_ipv6(text: str) -> bool:
    """Whether a text is an IPv6 address that means the same on every machine: without a zone (RFC 4007)."""
    return ":" in text and "%" not in text and is_address(text)


def _host(value: str) -> str:
    """A host name or an address, without a port."""
    if not (is_host_name(value) or is_plain_ipv6(value) or (is_address(value) and ":" not in value)):
        raise ValueError("expected a host name or an IP address, without a port")
    return value


def _destination(value: str) -> str:
    if not is_destination(value):
        raise ValueError("expected a host name, an IPv4 address, or an IPv4 network such as 10.0.0.0/8")
    return value


def _network(value: str) -> str:
    """An address or a network (CIDR, RFC 4632) as it is written canonically."""
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError("expected an address or a network, such as 10.96.0.10 or 10.96.0.0/28") from None


def _number_as_text(value: object) -> object:
    """YAML reads `version: 17` as a number; a version is text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def _url(value: str) -> str:
    """An http(s) URL of another service, which may have a path; returned as it is."""
    expected = "expected a URL such as https://service.example.com, without query or credentials"
    try:
        parts = urlsplit(value)
        known = _web_host(value, parts) is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        raise ValueError(expected)
    return value


def _place(value: str) -> str:
    """A place in a store that has one meaning; returned without a slash at its end."""
    expected = "expected an address such as s3://team-bucket/mlflow, without , % ? # \\ spaces and dot segments"
    found = re.fullmatch(r"[a-z][a-z0-9+.-]*://([^/]+)(/.*)?", value)
    if not found or re.search(r"[\x00-\x20\x7f\\%?#,]", value) or {".", ".."} & set(value.split("/")):
        raise ValueError(expected)
    return value.rstrip("/")


def _is_carried(text: str) -> bool:
    """Whether a variable or a file of a program can hold a text: no NUL, no half of a pair (RFC 3629, section 3)."""
    return not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text)


def _variable(value: str) -> str:
    if not _is_carried(value):
        raise ValueError("expected no NUL character and no lone surrogate: no variable of a program can hold it")
    return value


def _no_nul(value: SecretStr) -> SecretStr:
    _variable(value.get_secret_value())
    return value


def _one_line(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if set(text) & {"\n", "\r"} or not _is_carried(text):
        raise ValueError("expected one line, without line breaks and NUL characters")
    return value


def _service_account_key(value: SecretStr) -> SecretStr:
    """A key of a Google service account (google.oauth2.service_account); on one line, as a variable holds it best."""
    try:
        fields = json.loads(value.get_secret_value())
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise ValueError("expected the JSON file of a service account's key")
    missing = [name for name in ("client_email", "private_key", "token_uri") if not fields.get(name)]
    if missing:
        raise ValueError(f"expected the JSON of a service account's key; missing in it: {', '.join(missing)}")
    return SecretStr(json.dumps(fields))


def is_tag(part: object) -> bool:
    """Whether a part of an error's place names a member of a union, and no key: those begin with this sign."""
    return str(part).startswith("=")


def _none_if_empty(value: object) -> object:
    """The engine's config schema has no optional text; its default is the empty one."""
    return None if value == "" else value


Origin = Annotated[str, AfterValidator(_origin)]
Base = Annotated[str, AfterValidator(_base)]
Url = Annotated[str, AfterValidator(_url)]
ServiceAccountKey = Annotated[SecretStr, AfterValidator(_service_account_key)]
Scope = Annotated[str, AfterValidator(_scope)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[A-Za-z0-9][\w.-]*$")]
GroupName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(_group_name)
]
Version = Annotated[str, BeforeValidator(_number_as_text, json_schema_input_type=str | float)]
TcpPort = Annotated[int, Field(ge=1, le=65535)]
Place = Annotated[str, AfterValidator(_place)]
Host = Annotated[str, AfterValidator(_host)]
# SPIFFE, "SPIFFE ID", section 2.1.
TrustDomain = Annotated[str, StringConstraints(max_length=255, pattern=r"^[a-z0-9._-]+$")]
Seconds = Annotated[int, Field(ge=1)]
Destination = Annotated[str, AfterValidator(_destination)]
Network = Annotated[str, AfterValidator(_network)]
Address = Annotated[str, AfterValidator(_address)]
VariableText = Annotated[str, AfterValidator(_variable)]
# Something that is said of a stack, on one line.
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=r"^[^\x00-\x1f\x7f]*$")
]
# What programs log in with: one line of any signs. Other secret text may have several.
Password = Annotated[SecretStr, AfterValidator(_one_line)]
SecretValue = Annotated[SecretStr, AfterValidator(_no_nul)]
OptionalText = Annotated[str | None, BeforeValidator(_none_if_empty)]
# A DNS label (RFC 1123), which is what Kubernetes takes for the names of namespaces, Services and accounts.
DnsName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]

# A namespace, or one account in it.
Caller = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")
]

# A DNS subdomain (RFC 1123), and a key of a Secret or ConfigMap (Kubernetes API, Secret.data).
ObjectName = Annotated[
    str, StringConstraints(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
]
# What may be empty is checked as what it is, or taken for nothing.
_EMPTY = Annotated[str, StringConstraints(max_length=0)]
StorageClass = Annotated[
    ObjectName | None, BeforeValidator(_none_if_empty, json_schema_input_type=ObjectName | _EMPTY | None)
]
# Where images are: a host, a port, and the beginning of a path (OCI Distribution Specification, "Pulling manifests").
_Registry = Annotated[
    str,
    StringConstraints(
        pattern=r"^([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*/?$"
    ),
]
Registry = Annotated[
    _Registry | None, BeforeValidator(_none_if_empty, json_schema_input_type=_Registry | _EMPTY | None)
]
DataKey = Annotated[str, StringConstraints(max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
# A name with or without a prefix, as labels, annotations and resources have them, and a label's value (Kubernetes,
# "Labels and Selectors").
QualifiedName = Annotated[
    str, StringConstraints(max_length=317, pattern=r"^[A-Za-z0-9]([-._/A-Za-z0-9]*[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?$")]
# A number with its suffix (Kubernetes API, "Quantity").
_Quantity = Annotated[
    str, StringConstraints(pattern=r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$")
]
Quantity = Annotated[_Quantity, BeforeValidator(_number_as_text, json_schema_input_type=_Quantity | float)]


class Group(BaseModel):
    """Base of every settings group: camelCase keys, no unknown key, no change once read."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_number(cls, value: object, info: ValidationInfo) -> object:
        """YAML reads yes, no, on and off as well as true and false, which pydantic takes for 1 and 0."""
        if isinstance(value, bool) and _is_number(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("expected a number, not true or false, which YAML makes of yes, no, on and off as well")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _carried(cls, value: object, info: ValidationInfo) -> object:
        """Any text may come to a program in a variable or a file. Secrets have words of their own for it."""
        secret = "SecretStr" in str(cls.model_fields[str(info.field_name)].annotation)
        return _variable(value) if isinstance(value, str) and not secret else value


def _is_number(annotation: object) -> bool:
    return annotation in (int, float) or any(map(_is_number, getattr(annotation, "__args__", ())))
