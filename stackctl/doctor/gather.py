"""Finds the stack that is to be examined: on this machine with all its parts, or from afar by its URL alone."""

from __future__ import annotations

from pathlib import Path

from mlflow_sso_client import addresses
from mlflow_sso_client.errors import RefusedError
from mlflow_sso_client.logins import LoginStore
from mlflow_sso_client.web import session

from components.identity import CALLBACK_PATH
from components.mlflow import SERVER as MLFLOW
from platforms.inventory import InventoryError
from platforms.select import running
from problems import StackError
from settings import PROJECT, Platform
from stackctl.clients.keycloak_admin import Provisioner
from stackctl.context import Context, check_name, load
from stackctl.doctor.observed import Observed, plugin_of
from stackctl.engines.pulumi_cli import PulumiError
from stackctl.engines.rendered import kept_realm
from stackctl.engines.targets import TARGETS, owner, platform_of
from stackctl.people import connection
from stackctl.progress import say


def gather(where: connection.Where, on: Platform | None = None) -> Observed | None:
    """What there is of the stack; None when nothing of it runs there. Raises InventoryError or RefusedError.

    on: the platform to look on, where its settings do not say.
    """
    check_name(where.stack)
    url = addresses.given(where.url, addresses.URL)
    if url:
        return _from_afar(where.stack, url, where.ca_bundle)
    context = _context(where.stack, where.config_file, on)
    settings = context.settings if context else None
    kept = None if owner(where.stack) else LoginStore(where.stack).find()
    platform = platform_of(where.stack, settings, on)
    target = running(platform, settings)
    try:
        instances = tuple(target.instances(PROJECT, where.stack))
    except InventoryError as error:
        if kept is None:
            raise InventoryError(f"{error}; away from the stack's machine give its address with --url") from None
        instances = ()
    if not instances:
        if kept is None:
            return None
        say(f"No part of stack {where.stack} is found on {platform}; asking {kept.mlflow_url} alone.")
        return _from_afar(where.stack, kept.mlflow_url, where.ca_bundle or kept.ca_bundle)
    bundle = where.ca_bundle
    if bundle is None and context is not None and context.settings.ca_bundle:
        bundle = str(context.settings.file(context.settings.ca_bundle))
    server = next((instance for instance in instances if instance.component == MLFLOW), None)
    told = plugin_of(server, settings).read(server.env) if server is not None else None
    mlflow_url = told.redirect_uri.removesuffix(CALLBACK_PATH) if told is not None else ""
    return Observed(
        stack=where.stack,
        mlflow_url=context.spec.mlflow_url if context is not None else mlflow_url,
        http=session(bundle),
        running=target,
        instances=instances,
        settings=settings,
        spec=context.spec if context else None,
        provisioner=_provisioner(where, context),
        kept=TARGETS[platform].kept(where.stack),
        kept_realm=kept_realm(TARGETS[platform].home(where.stack)),
    )


def _from_afar(stack: str, url: str, ca_bundle: str | None) -> Observed:
    if "://" not in url:
        raise RefusedError(f"{url} is not a URL", "give one such as https://mlflow.example.com")
    return Observed(stack, url.rstrip("/"), session(addresses.given(ca_bundle, addresses.CA)))


def _context(stack: str, config_file: Path | None, on: Platform | None) -> Context | None:
    """The settings as they are now; without them the stack is examined for what it is, not what it should be."""
    try:
        return load(stack, config_file, encrypted=True, platform=on)
    except StackError as error:
        say(f"Examined without its settings: {error}")
        return None


def _provisioner(where: connection.Where, context: Context | None) -> Provisioner | None:
    """The realm's administrator, where Keycloak is not a part of the stack and so cannot be asked for its own."""
    if context is None or context.spec.keycloak_is_ours:
        return None
    try:
        known = (connection.outputs(where.stack, where.config_file) or {}).get("provisioner")
    except (StackError, PulumiError) as error:
        say(f"The realm is not examined: {error}")
        return None
    return Provisioner(known["client_id"], known["client_secret"], known["realm"]) if known else None
