"""The way of a browser from MLflow to Keycloak's login page, and of MLflow to Keycloak."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from mlflow_sso_client.errors import CredentialsError, UnknownNameError

from components.identity import CALLBACK_PATH, CLIENT_SECRET
from components.keycloak import SERVER as KEYCLOAK
from components.mlflow import SERVER as MLFLOW
from settings import is_loopback
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.probes import LOGIN_PATH, Reply
from stackctl.doctor.registry import Needs, check


@check(Needs.URL)
def reachable(seen: Observed) -> Iterator[Finding]:
    first = seen.login.replies[0]
    # A login that fails because MLflow cannot read Keycloak's description is a finding of its own.
    explained = seen.inside is not None and seen.inside.discovery.status != 200
    if not first.untrusted and (first.status == 0 or (first.status >= 500 and not explained)):
        evidence = f"{first.url}: {first.error or first.status}"
        cause = "MLflow does not run, or a port or proxy in front of it is wrong"
        yield Finding("mlflow-unreachable", evidence, cause, f"stackctl up --stack {seen.stack}")
    found = seen.discovery
    if found is not None and not found.untrusted and (found.status == 0 or found.status >= 500):
        evidence = f"{found.url}: {found.error or found.status}"
        cause = "Keycloak does not run, or a port, name or proxy in front of it is wrong"
        yield Finding("keycloak-unreachable", evidence, cause, f"stackctl up --stack {seen.stack}")


@check(Needs.STACK)
def localhost(seen: Observed) -> Iterator[Finding]:
    addresses = [(program, variable, login.host) for program, variable, login in seen.logins()]
    if seen.mlflow is not None:
        names, cache = seen.mlflow.names, seen.mlflow.redis
        addresses.append((MLFLOW, names.discovery_url, urlsplit(seen.mlflow.discovery_url).hostname or ""))
        addresses += [(MLFLOW, names.cache or "the address of Redis", cache.host)] if cache else []
    for program, variable, host in addresses:
        if host and is_loopback(host):
            cause = f"in a container {host} is the container itself; its own name for the other program is wanted"
            yield Finding(
                "localhost-in-container", f"{variable} of {program} names {host}", cause, seen.remake(program)
            )


@check(Needs.STACK)
def discovery(seen: Observed) -> Iterator[Finding]:
    if seen.inside is None or seen.mlflow is None:
        return
    found = seen.inside.discovery
    host = urlsplit(found.url).hostname or ""
    if found.untrusted:
        return
    fix = seen.remake(MLFLOW)
    if found.status == 0:
        if not is_loopback(host):
            down = seen.instance(host) is not None and not seen.runs(host)
            cause = f"{host} does not run" if down else "the name or port is wrong, or no network joins the two"
            fix = f"stackctl up --stack {seen.stack}" if down else fix
            yield Finding("discovery", f"from inside MLflow, {found.url or '(not set)'}: {found.error}", cause, fix)
    elif found.status == 404:
        cause = "Keycloak has no realm of that name"
        yield Finding("discovery", f"from inside MLflow, {found.url}: 404", cause, fix)
    elif not found.wants_https and "authorization_endpoint" not in found.document:
        evidence = f"from inside MLflow, {found.url}: {found.status}, without an authorization_endpoint"
        yield Finding("discovery", evidence, "something that is not Keycloak's discovery document answers there", fix)


@check(Needs.URL)
def https_required(seen: Observed) -> Iterator[Finding]:
    replies: list[Reply | None] = [seen.discovery, seen.login.page, seen.client_login if seen.instances else None]
    replies.append(seen.inside.discovery if seen.inside is not None else None)
    fix = seen.mend_realm("update", "", "-s", "sslRequired=none")
    for reply in replies:
        if reply is not None and reply.wants_https:
            cause = "the realm's sslRequired demands HTTPS of this address"
            yield Finding("https-required", f"{reply.url.partition('?')[0]}: {reply.status} HTTPS required", cause, fix)
            return
    if seen.keycloak is None or not seen.keycloak.public_url.startswith("http://") or seen.realm_admin is None:
        return
    required = str(seen.realm_admin.realm().get("sslRequired", ""))
    if required != "none":
        evidence = f"sslRequired of realm {seen.keycloak.realm} is {required}, and {seen.keycloak.public_url} is http"
        cause = "people whose address is not a private one, as Keycloak sees it, are told that HTTPS is required"
        yield Finding("https-required", evidence, cause, fix)


@check(Needs.URL)
def internal_hostname(seen: Observed) -> Iterator[Finding]:
    shown = [("MLflow sends a browser to", seen.login.authorize)]
    for where, reply in (("", seen.discovery), (" from inside", seen.inside.discovery if seen.inside else None)):
        if reply is not None and reply.status == 200:
            url = str(reply.document.get("authorization_endpoint", ""))
            shown.append((f"discovery{where} names for browsers", url))
    public = seen.spec.keycloak.public_url if seen.spec is not None else ""
    for what, url in shown:
        if url and (seen.is_internal(url) or (public and _origin(url) != _origin(public))):
            cause = f"a frontend URL of the realm, or KC_HOSTNAME; expected {public or 'the public URL of Keycloak'}"
            fix = seen.mend_realm("update", "", "-s", "attributes.frontendUrl=")
            told = seen.keycloak_told
            if told is not None and public and _origin(told.public_url) != _origin(public):
                fix = seen.remake(KEYCLOAK)
            yield Finding("internal-hostname", f"{what} {url.partition('?')[0]}", cause, fix)
            break
    back = seen.login.parameters.get("redirect_uri", "") or (seen.mlflow.redirect_uri if seen.mlflow else "")
    if back and seen.is_internal(back):
        cause = f"MLflow was told this redirect URI; expected {seen.mlflow_url}{CALLBACK_PATH}"
        yield Finding("internal-hostname", f"Keycloak is to send a browser back to {back}", cause, seen.remake(MLFLOW))


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


@check(Needs.URL)
def scope(seen: Observed) -> Iterator[Finding]:
    asked = seen.login.parameters.get("scope", "") or (seen.mlflow.scope if seen.mlflow else "")
    fix = seen.remake(MLFLOW)
    if seen.mlflow is not None:
        for wrong, right in seen.mlflow.misspelt.items():
            if right == seen.mlflow.names.scope:
                yield Finding("scope", f"{wrong} is set", f"the plugin reads {right} and ignores this one", fix)
    error, description = seen.login.refusal
    if error == "invalid_scope":
        cause = "scopes are separated by spaces, and each has to be one of the client's"
        if "," in asked:
            cause = "a comma does not separate scopes (RFC 6749, section 3.3); a space does"
        yield Finding("scope", f"Keycloak answers a login with {error}: {description}", cause, fix)
    elif asked and "openid" not in asked.split():
        cause = "without openid there is no ID token (OpenID Connect Core 1.0, section 3.1.2.1)"
        yield Finding("scope", f"MLflow asks for: {asked}", cause, fix)


@check(Needs.URL)
def redirect_uri(seen: Observed) -> Iterator[Finding]:
    page = seen.login.page
    if page is None or page.status != 400 or "redirect_uri" not in page.text:
        return
    asked = seen.login.parameters.get("redirect_uri", "")
    cause, fix = "the client's redirect URIs in Keycloak do not hold it", seen.remake(MLFLOW)
    wanted = seen.mlflow_url + CALLBACK_PATH
    if asked == wanted and seen.server_client is not None:
        fix = seen.mend_realm("update", f"/clients/{seen.server_client.uuid}", "-s", f'redirectUris=["{wanted}"]')
    elif asked != wanted:
        cause = f"MLflow asks for another one than {wanted}"
    yield Finding("redirect-uri", f"Keycloak refuses redirect_uri={asked}", cause, fix)


@check(Needs.STACK)
def client_credentials(seen: Observed) -> Iterator[Finding]:
    reply, view = seen.client_login, seen.mlflow
    if reply is None or view is None or reply.status not in (400, 401):
        return
    evidence = f"Keycloak answers client {view.client_id or '(not set)'}: {reply.document.get('error', reply.status)}"
    fix = seen.remake(MLFLOW)
    wanted = seen.spec.realm.audience if seen.spec is not None else view.client_id
    if seen.realm_admin is not None and seen.server_client is None:
        cause = f"the realm has no client {view.client_id}"
        if wanted != view.client_id:
            cause += f"; the settings say {wanted}"
        yield Finding("client-credentials", evidence, cause, fix)
        return
    kept = seen.kept.get(CLIENT_SECRET.stored)
    if kept is not None and kept == view.client_secret and seen.server_client is not None:
        fix = _restore_secret(seen, seen.server_client.uuid, kept)
        yield Finding("client-credentials", evidence, "the client's secret was changed in Keycloak", fix)
        return
    yield Finding("client-credentials", evidence, "MLflow was given another secret than Keycloak", fix)


def _restore_secret(seen: Observed, client: str, secret: str) -> str:
    """The import gave Keycloak the secret in a variable, which its own shell fills in: none is shown."""
    keycloak = seen.instance(KEYCLOAK)
    names = [name for name, value in keycloak.env.items() if value == secret] if keycloak else []
    return seen.mend_realm("update", f"/clients/{client}", "-s", f"secret=${names[0]}" if names else "secret=")


@check(Needs.URL)
def client_known(seen: Observed) -> Iterator[Finding]:
    """From a URL alone, an unknown client shows on Keycloak's login page."""
    page = seen.login.page
    if seen.instances or page is None or page.status != 400 or "redirect_uri" in page.text:
        return
    asked = seen.login.parameters.get("client_id", "")
    cause = "the realm has no such client, or it is disabled"
    evidence = f"Keycloak answers 400 to a login of client {asked} at {LOGIN_PATH}"
    yield Finding("client-credentials", evidence, cause, f"stackctl up --stack {seen.stack}")


@check(Needs.STACK)
def keycloak_admin(seen: Observed) -> Iterator[Finding]:
    if seen.admin is None:
        return
    try:
        seen.admin.realm()
    except CredentialsError as error:
        cause = "its secret was changed in Keycloak, or the client was removed; checks of the realm were left out"
        fix = f"stackctl outputs --stack {seen.stack} --show-secrets"
        yield Finding("keycloak-admin", error.cause, cause, fix)
    except UnknownNameError:
        evidence = f"Keycloak's admin API has no realm {seen.admin.realm_name}"
        yield Finding("discovery", evidence, "the realm was removed or renamed", f"stackctl up --stack {seen.stack}")
