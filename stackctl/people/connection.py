"""Which Keycloak and MLflow a command is about: from the stack's outputs, a kept login, or a URL alone.

On the machine that brought a stack up its outputs say everything. A laptop has no state: there the MLflow
URL is enough, since MLflow's own login names the issuer, and the issuer describes itself (OpenID Connect
Discovery 1.0).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from mlflow_sso_client import addresses
from mlflow_sso_client.addresses import Address
from mlflow_sso_client.errors import NotAdminError, NotLoggedInError, RefusedError
from mlflow_sso_client.logins import LoginStore
from mlflow_sso_client.oidc import Provider
from mlflow_sso_client.words import Once

from components.plugin.lines import newest_line, plugin_profile
from components.plugin.profile import Ability, PluginLine
from problems import StackError
from settings import ROOT, Settings, from_files
from stackctl.clients.keycloak_admin import KeycloakAdmin, Provisioner
from stackctl.clients.mlflow_api import MlflowApi
from stackctl.context import check_name
from stackctl.engines import pulumi_cli
from stackctl.engines.targets import owner
from stackctl.progress import say

KEYCLOAK_CLIENT, KEYCLOAK_SECRET_FILE = "STACKCTL_KEYCLOAK_CLIENT_ID", "STACKCTL_KEYCLOAK_CLIENT_SECRET_FILE"
KEYCLOAK_REALM = "STACKCTL_KEYCLOAK_REALM"
# Commands ask for the account more than once.
_once = Once()


@dataclass(frozen=True, kw_only=True)
class Where:
    """What the command line said of the stack; everything but its name may be left out."""

    stack: str = "dev"
    config_file: Path | None = None
    url: str | None = None
    issuer: str | None = None
    client_id: str | None = None
    ca_bundle: str | None = None


@dataclass(frozen=True)
class Access:
    """A stack as its users and operators reach it.

    outputs: those of the engine that made it, with secrets in clear; None away from its state.
    plugin: the line of versions that its plugin is of, as its settings say; the newest where these are not here.
    """

    stack: str
    mlflow_url: str
    issuer: str
    cli_client_id: str
    ca_bundle: str | None = None
    outputs: Mapping[str, Any] | None = field(default=None, repr=False)
    plugin: PluginLine = field(default_factory=newest_line, repr=False)

    @property
    def realm(self) -> str:
        return self.issuer.rpartition("/realms/")[2]

    @property
    def keycloak_url(self) -> str:
        return self.issuer.rpartition("/realms/")[0]

    @property
    def address(self) -> Address:
        """The stack as its users reach it."""
        token_url = addresses.given(None, addresses.TOKENS) or ""
        return Address(self.mlflow_url, self.issuer, self.cli_client_id, self.ca_bundle, token_url)

    def http(self) -> requests.Session:
        return self.address.http()

    def provider(self) -> Provider:
        """The issuer's own description of itself, asked for anew."""
        return self.address.provider()

    def logins(self) -> LoginStore:
        return LoginStore(self.stack)

    def mlflow(self) -> MlflowApi:
        """MLflow with the kept login, refreshed whenever it is about to expire."""
        return self.mlflow_as(self.logins().access_token)

    def mlflow_as(self, token: str | Callable[[], str] = "", basic: tuple[str, str] | None = None) -> MlflowApi:
        """MLflow with another credential: a bearer token, or a name and a personal access token."""
        return MlflowApi(self.mlflow_url, token, basic=basic, http=self.http(), plugin=self.plugin)

    def keycloak_admin(self) -> KeycloakAdmin:
        """Keycloak with the service account that may manage the realm. Raises NotAdminError without one."""
        known = (self.outputs or {}).get("provisioner", {})
        # Stacks that an older version brought up do not name it.
        url = known.get("url") or self.keycloak_url
        return KeycloakAdmin(url, self.realm, self._provisioner(), self.http())

    def sides(self) -> Sides:
        """Both servers with the logins of an administrator; made once for each command."""
        return Sides(self, self.keycloak_admin(), self.mlflow())

    def _provisioner(self) -> Provisioner:
        """The service account that the variables name, or else that of the stack's outputs."""
        given = [name for name in (KEYCLOAK_CLIENT, KEYCLOAK_SECRET_FILE, KEYCLOAK_REALM) if os.environ.get(name)]
        client, file = os.environ.get(KEYCLOAK_CLIENT), os.environ.get(KEYCLOAK_SECRET_FILE)
        if client and file:
            try:
                secret = Path(file).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is no text"
                raise RefusedError(f"{KEYCLOAK_SECRET_FILE}={file} cannot be read", reason) from None
            if "provisioner" in (self.outputs or {}) and _once.first(self.stack):
                say(f"Stack {self.stack} has an account for Keycloak here; {' and '.join(given)} take its place.")
            return Provisioner(client, secret, os.environ.get(KEYCLOAK_REALM) or "master")
        if given:
            raise RefusedError(
                f"{given[0]} is set, and means nothing without the client and its secret",
                f"set {KEYCLOAK_CLIENT} and {KEYCLOAK_SECRET_FILE}, or unset it",
            )
        if self.outputs is not None and "provisioner" in self.outputs:
            own = self.outputs["provisioner"]
            return Provisioner(own["client_id"], own["client_secret"], own["realm"])
        raise NotAdminError(
            f"nothing on this machine may administer Keycloak for stack {self.stack}",
            f"run this where the stack was brought up, or set {KEYCLOAK_CLIENT} and {KEYCLOAK_SECRET_FILE}",
        )


@dataclass(frozen=True)
class Sides:
    """A stack's Keycloak and MLflow, as one command of an administrator speaks to them."""

    access: Access
    keycloak: KeycloakAdmin
    mlflow: MlflowApi

    @cached_property
    def provider(self) -> Provider:
        """The issuer's own description of itself, asked for once."""
        return self.access.provider()


def resolve(where: Where, *needs: Ability) -> Access:
    """Find the stack. Raises RefusedError naming what was tried when there is no trace of it, or what it cannot do."""
    access = _found(where)
    if needs:
        access.mlflow().require(*needs)
    return access


def _found(where: Where) -> Access:
    check_name(where.stack)
    url, ca = addresses.given(where.url, addresses.URL), addresses.given_bundle(where.ca_bundle)
    client = addresses.given(where.client_id, addresses.CLIENT)
    issuer = addresses.given(where.issuer, addresses.ISSUER)
    if where.url and where.config_file:
        raise RefusedError("--url and --config-file exclude each other", "give the one that says where the stack is")
    if url:
        found_at = addresses.from_url(url, issuer, client, ca)
        return Access(where.stack, found_at.mlflow_url, found_at.issuer, found_at.client_id, ca)
    kept, damage = None, None
    try:
        kept = LoginStore(where.stack).find()
    except NotLoggedInError as error:
        # Of no matter where the stack's own state says everything: a new login takes the place of it.
        damage = error
    try:
        found = outputs(where.stack, where.config_file)
    except pulumi_cli.PulumiError:
        # A laptop may have the engine and no access to the backend that keeps the stack.
        if kept is None:
            raise
        found = None
    if found is not None:
        if issuer and issuer.rstrip("/") != found["issuer_url"]:
            raise RefusedError(
                f"--issuer or {' or '.join(addresses.ISSUER)} names {issuer}, and the one of stack {where.stack} is "
                f"{found['issuer_url']}",
                "leave it out, or give MLflow's address as well, by --url",
            )
        own = _settings(where)
        if own is not None and own.ca_bundle:
            ca = ca or str(own.file(own.ca_bundle))
        plugin = plugin_profile(own.mlflow.plugin_version) if own is not None else newest_line()
        cli = client or found["cli_client_id"]
        return Access(where.stack, found["mlflow_url"], found["issuer_url"], cli, ca, found, plugin)
    if kept is not None:
        # As in `mlflow-sso`: what is not said is as it was.
        realm = issuer.rstrip("/") if issuer else kept.issuer
        return Access(where.stack, kept.mlflow_url, realm, client or kept.client_id, ca or kept.ca_bundle)
    if damage is not None:
        raise damage
    raise RefusedError(
        f"there is no stack {where.stack} on this machine and no login for it",
        f"give its address with --url (or {addresses.URL[0]}), or name another with --stack",
    )


def outputs(stack: str, config_file: Path | None = None) -> dict[str, Any] | None:
    """The outputs of whichever engine made the stack, with secrets in clear; None when neither did, here.

    A stack that an engine knows and that has no outputs was never brought up.
    """
    target = owner(stack)
    if target is not None:
        return target.outputs(stack) or None
    if pulumi_cli.find() is None:
        return None
    try:
        settings = from_files(stack, file=config_file, encrypted=True)
        return pulumi_cli.outputs(stack, settings.environment) or None
    except (StackError, pulumi_cli.PulumiError):
        # Most stacks that are asked for are there, so whether this one is comes last.
        if pulumi_cli.exists(stack):
            raise
        return None


def _settings(where: Where) -> Settings | None:
    """The stack's own settings, where these are at hand."""
    path = where.config_file or ROOT / f"Pulumi.{where.stack}.yaml"
    return from_files(where.stack, file=path, encrypted=True) if path.exists() else None
