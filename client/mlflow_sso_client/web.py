"""One way to ask Keycloak and MLflow over HTTP, with their failures told apart."""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy

from mlflow_sso_client import bounds
from mlflow_sso_client.errors import AccessError, CertificateError, KeycloakDownError, MlflowDownError, RefusedError

# Seconds to connect, and between two bytes of an answer; for a whole one see `bounds`.
TIMEOUT = (5.0, 30.0)
KEYCLOAK = "Keycloak"
MLFLOW = "MLflow"
# Where MLflow says whose token a request carries.
CURRENT_USER = "/api/2.0/mlflow/users/current"
# Says that plain http to Services of a Kubernetes cluster is encrypted below, by the mesh that they are in.
TRUST_SERVICES = "MLFLOW_SSO_TRUST_SERVICES"
# "DNS for Services and Pods" of Kubernetes; no such name is known outside of a cluster.
_SERVICE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+\.svc(\.cluster\.local)?")
_PORTS = {"http": 80, "https": 443}
# What some servers take for the end of a segment of a path, and what of one they leave out.
_ENDS, _LEFT_OUT = re.compile(r"[/\\]"), re.compile(r";.*|[\0-\x1f\x7f]")


def is_loopback(host: str) -> bool:
    """Whether a host name can only ever mean this machine (RFC 6761 section 6.3, RFC 5735)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_trusted(host: str) -> bool:
    """Whether a host is a Service of the cluster that this runs in, whose traffic its user knows to be encrypted."""
    return os.environ.get(TRUST_SERVICES, "").lower() == "true" and _SERVICE.fullmatch(host) is not None


def canonical(url: str) -> str:
    """One spelling for all that mean the same server and path: small letters, no default port, no slash at the end.

    Empty for what is no http or https URL, for one with a user name in it, and for one with dot segments, by which it
    could leave the path of its server. RFC 3986 sections 5.2.4 and 6.2.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc or _has_dots(parts.path):
        return ""
    name = f"[{host}]" if ":" in host else host
    known = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{name}{known}{parts.path}".rstrip("/")


def _has_dots(path: str) -> bool:
    """Whether a path has a dot segment for anybody: requests takes them out, and servers decode once or more."""
    for _ in range(3):
        path = unquote(path)
    return any(_LEFT_OUT.sub("", part) in (".", "..") for part in _ENDS.split(path))


def origin(url: str) -> str:
    """The scheme, host and port of a URL, for people to read."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def session(ca_bundle: str | None = None) -> requests.Session:
    """A session that trusts `ca_bundle`, or else what the environment says (REQUESTS_CA_BUNDLE)."""
    made = requests.Session()
    # A .netrc entry would silently replace the Authorization header of a request.
    made.auth = untouched
    made.verify = ca_bundle or True
    return made


def untouched(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The authentication of a request that shall have none of its own."""
    return request


def refuse_clear(url: str) -> None:
    """Raises RefusedError for a URL over which tokens and passwords would go in clear through a network.

    One that this reads in another way than requests does, which drops more spaces before it, is no URL here.
    """
    if not canonical(url):
        shown = re.sub("//[^/]*@", "//", url.partition("?")[0])
        raise RefusedError(f"{shown!r} is not a URL that tokens may go to", "expected one such as https://example.com")
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or "") and not _is_trusted(parts.hostname or ""):
        raise RefusedError(
            f"{parts.scheme}://{parts.netloc} would carry tokens in clear over the network",
            "expected an https URL, or a loopback host such as localhost",
        )
    # requests sends what is for this machine to a proxy as well, unless it is told not to.
    if parts.scheme == "http" and select_proxy(url, get_environ_proxies(url)):
        more = "" if is_loopback(parts.hostname or "") else ",.svc,.svc.cluster.local"
        raise RefusedError(
            f"a proxy is set, which would carry tokens for {parts.scheme}://{parts.netloc} in clear over the network",
            f"set NO_PROXY=localhost,127.0.0.1{more}",
        )


class Web:
    """Asks one service. Raises the exceptions of `mlflow_sso_client.errors` where it does not answer.

    size: bytes of its longest answer.
    """

    def __init__(
        self, service: str, base_url: str, http: requests.Session | None = None, size: int = bounds.DOCUMENT
    ) -> None:
        self.service, self._size = service, size
        self.base_url = base_url.rstrip("/")
        self.http = http or session()

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        allow_redirects: bool = False,
        pauses: Sequence[float] = (),
        **more: Any,
    ) -> requests.Response:
        """The answer below 500, whatever it says. `path` starts with a slash, or is a whole URL.

        pauses: seconds before each repetition of a request that was answered 5xx; only for one that may be repeated.
        """
        url = path if "://" in path else self.base_url + path
        for pause in pauses:
            answer = self._once(method, url, headers, allow_redirects, more)
            if answer.status_code < 500:
                return answer
            time.sleep(pause)
        answer = self._once(method, url, headers, allow_redirects, more)
        if answer.status_code >= 500:
            raise self.down(f"at {self.base_url} answered {answer.status_code}")
        return answer

    def _once(
        self, method: str, url: str, headers: Mapping[str, str] | None, redirects: bool, more: Mapping[str, Any]
    ) -> requests.Response:
        more = {**more, "timeout": TIMEOUT, "allow_redirects": redirects, "size": self._size}
        if isinstance(self.http.verify, str):
            # Otherwise REQUESTS_CA_BUNDLE would win over the session's own setting.
            more["verify"] = self.http.verify
        try:
            return bounds.ask(self.http, method, url, headers=headers, **more)
        except requests.exceptions.SSLError as error:
            raise _certificate(self.service, self.base_url, error) from None
        except requests.exceptions.InvalidURL:
            raise AccessError(f"{self.base_url} is not a URL", "give one such as https://mlflow.example.com") from None
        except requests.exceptions.RequestException as error:
            raise self.down(f"does not answer at {self.base_url} ({_reason(error)})") from None
        except ValueError:
            # urllib3's, past requests: a host name with an empty label, or one of 64 letters.
            raise AccessError(f"{url} is not a URL", "give one such as https://mlflow.example.com") from None
        except OSError as error:
            # What requests says of a CA bundle that is not there.
            raise CertificateError(
                f"the CA bundle for {self.service} at {self.base_url} cannot be used ({error})",
                "give its place with --ca-bundle FILE",
            ) from None

    def down(self, what: str) -> AccessError:
        kind = KeycloakDownError if self.service == KEYCLOAK else MlflowDownError
        return kind(f"{self.service} {what}", "check its address, and run `stackctl doctor` on the machine it runs on")

    def object(self, answer: requests.Response) -> dict[str, Any]:
        """The JSON object of an answer. Raises as `json` does, and for any other JSON."""
        document = self.json(answer)
        if not isinstance(document, dict):
            raise self.down(f"at {self.base_url} answered {answer.status_code} with JSON that is no object")
        return document

    def json(self, answer: requests.Response) -> Any:
        """The JSON of an answer. Raises when something else answered in the service's place."""
        try:
            return answer.json()
        except (ValueError, RecursionError):
            # Also of numbers of thousands of digits, and of thousands of lists within each other.
            raise self.down(
                f"at {self.base_url} answered {answer.status_code} with something that is not JSON"
            ) from None


def _certificate(service: str, url: str, error: Exception) -> CertificateError:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        reason = text.rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0].rstrip(")'\" ")
        cause = f"{service} at {url} shows a certificate that is not trusted here ({reason or 'verification failed'})"
    else:
        cause = f"{service} at {url} does not speak TLS as expected"
    return CertificateError(cause, "give its CA with --ca-bundle FILE or REQUESTS_CA_BUNDLE, if you trust it")


def _reason(error: Exception) -> str:
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, bounds.UnfitError):
        return str(error)
    text = str(error)
    for known in ("Connection refused", "Name or service not known", "No route to host", "Temporary failure in name"):
        if known in text:
            return known.lower()
    return type(error).__name__
