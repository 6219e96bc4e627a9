"""Everything the checks look at: the running stack, asked once and remembered."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from mlflow_sso_client.errors import CredentialsError, UnknownNameError
from mlflow_sso_client.oidc import claims

from components.connection import Login
from components.importing import IMPORT_PATH, importing_workloads
from components.keycloak import SERVER as KEYCLOAK
from components.keycloak import KeycloakAddress
from components.mlflow import SERVER as MLFLOW
from components.observed import KeycloakView, address_of, keycloak_view
from components.plugin.lines import line_seen, newest_line
from components.plugin.profile import BACKEND_STORE, MlflowView, PluginLine
from components.stack import StackSpec
from platforms.running import Instance, Running, Trouble
from platforms.workload import Workload
from settings import PROJECT, Settings
from stackctl.clients.keycloak_admin import KeycloakAdmin, Provisioner, RealmClient
from stackctl.doctor.findings import Mask
from stackctl.doctor.probes import Inside, LoginPath, Reply, ask, login_path, look_inside

IMPORTS_REALM = "--import-realm"
# The tag of an image of the stack begins with a version: `mlflow-sso/mlflow:11.0.2-0123456789ab`.
_VERSION_TAG = re.compile(r":(\d+(?:\.\d+)*)(?:-[\w.-]*)?$")
KCADM = (
    # As the server reads it (platforms.secrets.ExpressionQuoted).
    r'export KC_CLI_CLIENT_SECRET="${{KC_BOOTSTRAP_ADMIN_CLIENT_SECRET//\\\$/\$}}"; '
    "kc=/opt/keycloak/bin/kcadm.sh; login=/tmp/kcadm.config; trap 'rm -f $login' EXIT; "
    "$kc config credentials --config $login --server http://localhost:8080 --realm master "
    '--client "$KC_BOOTSTRAP_ADMIN_CLIENT_ID" && {command}'
)


def plugin_of(mlflow: Instance | None, settings: Settings | None) -> PluginLine:
    """The line of versions that MLflow's plugin is of, by the tag of the running image or else the settings."""
    tag = _VERSION_TAG.search(mlflow.image.partition("@")[0]) if mlflow else None
    if tag is not None:
        return line_seen(tag[1])
    return line_seen(settings.mlflow.plugin_version) if settings is not None else newest_line()


@dataclass
class Observed:
    """One stack under examination.

    running, instances: empty away from the machine it runs on; then only its URL is asked.
    settings, spec: what it should be; None where its settings are not here.
    kept: the values of its secrets by name, as far as this machine knows them. kept_realm: the realm import likewise.
    """

    stack: str
    mlflow_url: str
    http: requests.Session
    running: Running | None = None
    instances: tuple[Instance, ...] = ()
    settings: Settings | None = None
    spec: StackSpec | None = None
    provisioner: Provisioner | None = None
    kept: Mapping[str, str] = field(default_factory=dict, repr=False)
    kept_realm: str = field(default="", repr=False)

    # The parts.

    def instance(self, component: str) -> Instance | None:
        return next((i for i in self.instances if i.component == component), None)

    def runs(self, component: str) -> bool:
        found = self.instance(component)
        return found is not None and found.running

    @cached_property
    def defined(self) -> Sequence[Workload]:
        """The workloads that the stack should have; none where its settings are not here."""
        if self.spec is None:
            return ()
        if not self.imported:
            return self.spec.workloads
        fetched = self.settings is not None and bool(self.settings.kubernetes.external_secrets)
        return importing_workloads(self.spec, self._imported_realm(), imported=True, newer_secrets=fetched)

    def _imported_realm(self) -> str:
        """The document that Keycloak imported, which names the secrets: its container's, or the one kept here."""
        keycloak = self.instance(KEYCLOAK)
        if self.running is None or keycloak is None or not keycloak.running:
            return self.kept_realm
        answer = self.running.execute(keycloak, ("cat", IMPORT_PATH))
        return answer.out if answer.code == 0 else self.kept_realm

    @cached_property
    def troubles(self) -> list[Trouble]:
        return self.running.troubles(PROJECT, self.stack, self.defined) if self.running else []

    @cached_property
    def mlflow(self) -> MlflowView | None:
        found = self.instance(MLFLOW)
        return self.plugin.read(found.env) if found else None

    @cached_property
    def plugin(self) -> PluginLine:
        """What the plugin that runs can do, and how what it was told is read."""
        return plugin_of(self.instance(MLFLOW), self.settings)

    @cached_property
    def keycloak_told(self) -> KeycloakView | None:
        found = self.instance(KEYCLOAK)
        return keycloak_view(found.env) if found else None

    def logins(self) -> list[tuple[str, str, Login]]:
        """Each login at a database: the program, the variable or purpose, and where it goes."""
        found = []
        if self.mlflow is not None:
            found += [(MLFLOW, BACKEND_STORE, self.mlflow.mlflow_database)]
            found += [(MLFLOW, self.mlflow.names.users_database, self.mlflow.users_database)]
        if self.keycloak_told is not None:
            found += [(KEYCLOAK, "KC_DB_URL", self.keycloak_told.database)]
        return [(program, variable, login) for program, variable, login in found if login is not None]

    # What answers.

    @cached_property
    def inside(self) -> Inside | None:
        found = self.instance(MLFLOW)
        if self.running is None or found is None or self.mlflow is None:
            return None
        return look_inside(self.running, found, self.mlflow)

    @cached_property
    def login(self) -> LoginPath:
        return login_path(self.http, self.mlflow_url)

    @cached_property
    def keycloak(self) -> KeycloakAddress | None:
        """Where Keycloak is: by the settings, by what MLflow was told, or by where it sends a browser."""
        if self.spec is not None:
            return self.spec.keycloak
        if self.mlflow is not None and self.mlflow.issuer:
            return address_of(self.mlflow.issuer, self.mlflow.discovery_url)
        issuer, found, _ = self.login.authorize.partition("/protocol/")
        return address_of(issuer, issuer) if found else None

    @cached_property
    def discovery(self) -> Reply | None:
        """Keycloak's description of itself at its public URL (OpenID Connect Discovery 1.0)."""
        if self.keycloak is None:
            return None
        return ask(self.http, f"{self.keycloak.issuer}/.well-known/openid-configuration")

    def token_endpoint(self, path: str, form: Mapping[str, str]) -> Reply | None:
        """Ask the token endpoint as MLflow's own client; None when it is not known."""
        if self.keycloak is None or self.mlflow is None:
            return None
        login = {"client_id": self.mlflow.client_id, "client_secret": self.mlflow.client_secret}
        return ask(self.http, f"{self.keycloak.issuer}/protocol/openid-connect/token{path}", {**login, **form})

    @cached_property
    def client_login(self) -> Reply | None:
        """Whether Keycloak knows MLflow's client by this secret, whatever flows are on (RFC 7662, section 2.1)."""
        return self.token_endpoint("/introspect", {"token": "none"})

    @cached_property
    def own_token(self) -> dict[str, Any] | None:
        """The claims of a token that MLflow's client gets for itself; empty when it gets none.

        None when what it gets is no token.
        """
        reply = self.token_endpoint("", {"grant_type": "client_credentials", "scope": "openid"})
        token = reply.document.get("access_token") if reply is not None else None
        return claims(str(token)) if token else {}

    # The realm.

    @cached_property
    def admin(self) -> KeycloakAdmin | None:
        told = self.keycloak_told
        account = self.provisioner
        if account is None and told is not None and told.admin_client_secret:
            account = Provisioner(told.admin_client_id, told.admin_client_secret)
        if account is None or self.keycloak is None or self.discovery is None or self.discovery.status == 0:
            return None
        return KeycloakAdmin(self.keycloak.admin_url, self.keycloak.realm, account, self.http, pauses=())

    @cached_property
    def realm_admin(self) -> KeycloakAdmin | None:
        """The same where it can log in and the realm is there; what hinders it is a finding of its own."""
        try:
            if self.admin is not None:
                self.admin.realm()
        except (CredentialsError, UnknownNameError):
            return None
        return self.admin

    @cached_property
    def server_client(self) -> RealmClient | None:
        """MLflow's client as the realm has it."""
        if self.realm_admin is None or self.mlflow is None:
            return None
        try:
            return self.realm_admin.find_client(self.mlflow.client_id)
        except UnknownNameError:
            return None

    def example(self, kind: str, client: RealmClient, user_id: str) -> dict[str, Any]:
        """The claims that Keycloak would put into a token of `kind` (access or id) for a user of a client."""
        assert self.realm_admin is not None
        path = f"/clients/{client.uuid}/evaluate-scopes/generate-example-{kind}-token"
        return dict(self.realm_admin.get(path, what=f"client {client.client_id}", scope="openid", userId=user_id))

    # How to mend.

    @cached_property
    def imported(self) -> bool:
        """Whether the realm was imported once, from rendered files, and no engine keeps it as it is declared."""
        found = self.instance(KEYCLOAK)
        return found is not None and IMPORTS_REALM in found.args

    def remake(self, component: str) -> str:
        """The command that makes a workload again from its definition, or mends what belongs to none."""
        if not self.imported:
            return f"pulumi up --refresh --stack {self.stack}"
        found = self.instance(component)
        first = f"{self.running.removal(found)} && " if self.running and found else ""
        return f"{first}stackctl up --stack {self.stack}"

    def mend_realm(self, verb: str, path: str, *words: str) -> str:
        """The command that changes the realm: `verb` and `words` are kcadm's, `path` is below the realm."""
        keycloak = self.instance(KEYCLOAK)
        if not self.imported or self.keycloak is None or self.running is None or keycloak is None:
            return f"pulumi up --refresh --stack {self.stack}"
        place = quote(f"realms/{self.keycloak.realm}{path}", safe="/")
        # A word with a variable is filled in by the shell in the container, where the variable is.
        shown = " ".join(f'"{word}"' if "$" in word else shlex.quote(word) for word in words)
        return self.running.shell(keycloak, KCADM.format(command=f"$kc {verb} {place} --config $login {shown}"))

    def secret_values(self) -> list[str]:
        """Everything a finding must not show."""
        found = [value for instance in self.instances for value in Mask.secrets_of(instance.env)]
        found += [*self.kept.values(), *([self.provisioner.client_secret] if self.provisioner else [])]
        return found

    def is_internal(self, url: str) -> bool:
        """Whether a URL's host is a name of the stack's own network, which no browser can look up."""
        host = urlsplit(url).hostname or ""
        names = {i.component for i in self.instances} | {w.name for w in (self.spec.workloads if self.spec else ())}
        return host in names or host in (KEYCLOAK, MLFLOW) or host.endswith((".internal", ".svc.cluster.local"))
