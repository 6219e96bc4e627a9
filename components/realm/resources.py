"""The realm written as pulumi-keycloak resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pulumi
import pulumi_keycloak as keycloak
from pulumi_keycloak import openid
from pydantic.alias_generators import to_snake

from components.realm.asked import Asked
from components.realm.flow_resources import make_flows, passkeys
from components.realm.kept import ACTION, CLIENT, GROUP, OWNER, REALM, ROLE, TEXTS, USER, Kind, Part, make
from components.realm.ldap import Directory
from components.realm.ldap_resources import make_directory
from components.realm.looks import Looks
from components.realm.mail_resources import mail_server, mail_there
from components.realm.provider_resources import make_provider
from components.realm.spec import (
    AUDIENCE_MAPPER,
    GROUPS_MAPPER,
    GROUPS_MAPPER_TYPE,
    MANAGEMENT,
    VIEW_PEOPLE,
    Client,
)
from components.stack import StackSpec
from platforms.quantities import go_duration
from platforms.site import Scope, Secrets
from settings.realm import Events

_Made = TypeVar("_Made", bound=pulumi.CustomResource)


class KeycloakRealm(pulumi.ComponentResource):
    """The realm of a stack, managed through a Keycloak that serves.

    ready: the readiness of a server of the stack's own, which the realm waits for in an update, and everything in the
        realm with it. A preview does not wait: an unknown input would show the realm as changed whenever Keycloak's
        container is replaced. The provider logs in at the first request (`initial_login`), so it starts at once, and
        a first preview asks no server.
    removed_with: what holds Keycloak's data, when that is the stack's own. `destroy` then removes it and asks
        Keycloak nothing, so it works as well when Keycloak is gone.
    """

    def __init__(
        self,
        name: str,
        spec: StackSpec,
        ready: pulumi.Output[str] | None,
        secrets: Secrets,
        removed_with: pulumi.Resource | None,
        scope: Scope,
    ) -> None:
        super().__init__("mlflow-sso:index:KeycloakRealm", scope.logical(name), None, scope.merged())
        realm = spec.realm
        self._logical = scope.logical
        provider = keycloak.Provider(
            self._logical("keycloak"),
            url=spec.keycloak.admin_url,
            client_id=spec.admin.client_id,
            client_secret=secrets.value(spec.admin.client_secret),
            realm=spec.admin.realm,
            initial_login=False,
            client_timeout=30,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._secrets = secrets
        self._keycloak, self._removed_with, self._ready = provider, removed_with, ready
        self._secret = secrets.value(spec.admin.client_secret)
        self._asked = Asked(spec.keycloak.admin_url, spec.admin, realm.name)
        self._look = Looks(provider, self._asked, self._secret, realm)
        self._child = self._inside(self)
        # Of what stays in Keycloak when nobody declares it any more.
        self._staying = pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(retain_on_delete=True))
        self._spec = realm
        # It holds people, and no data of the stack's go with it.
        self._realm_protected = spec.protects and removed_with is None
        self._realm_id = self._look.realm_id = self._make_realm()
        self._groups = {
            group: self._make(GROUP, f"group-{group}", self._child, realm_id=self._realm_id, name=group)
            for group in realm.groups
        }
        self._clients: dict[str, openid.Client] = {}
        self._roles: list[keycloak.Role] = []
        # Every client's tokens name MLflow's own, so that one is declared first.
        for client in sorted(realm.clients, key=lambda client: client.client_id != realm.audience):
            self._make_client(client)
        self._make_roles()
        if realm.people:
            self._make_people(realm.people)
        for client_id in realm.closed:
            self._close_client(client_id)
        # Keycloak asks people for what it asks of everybody as they are made.
        made = [self._make_action(alias, declared) for alias, declared in realm.actions.items()]
        self._make_users(pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(depends_on=made)))
        self._make_others()
        self.register_outputs({"realm": realm.name, "issuer": spec.keycloak.issuer})

    def _make_others(self) -> None:
        """What stands in a realm where it was declared alone."""
        realm = self._spec
        if realm.flows:
            make_flows(realm.flows, self._logical, self._realm, self._child, self._inside, self._roles)
        if realm.events:
            self._keep_events(realm.events)
        for language, texts in realm.texts.items():
            named = {"realm_id": self._realm_id, "locale": language, "texts": Part(texts)}
            self._make(TEXTS, f"texts-{language}", self._staying, **named)
        for one in realm.providers:
            make_provider(
                one,
                self._logical(f"provider-{one.alias}"),
                self._realm_id,
                self._secrets.value(one.secret) if one.secret else None,
                self._groups,
                self._child,
                self._inside,
            )
        for directory in realm.directories:
            self._make_directory(directory)

    def _inside(self, parent: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=parent, provider=self._keycloak, deleted_with=self._removed_with)

    def _make(self, kind: Kind[_Made], name: str, options: pulumi.ResourceOptions, /, **declared: Any) -> _Made:
        return make(kind, self._logical(name), options, self._look, self._ready, **declared)

    def _make_realm(self) -> pulumi.Output[str]:
        realm, ready = self._spec, self._ready
        if not realm.create:
            return self._look.unlost(ready)
        times, brute, headers = realm.lifetimes, realm.brute_force, realm.security_headers
        made = self._make(
            REALM,
            "realm",
            pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(protect=self._realm_protected or None)),
            realm=realm.name,
            # Not by way of its name: a realm whose name may change is one that is to be replaced.
            enabled=True if ready is None or pulumi.runtime.is_dry_run() else ready.apply(lambda _: True),
            display_name=realm.display_name,
            ssl_required=realm.ssl_required,
            login_with_email_allowed=True,
            registration_allowed=False,
            edit_username_allowed=False,
            reset_password_allowed=realm.reset_password,
            remember_me=realm.remember_me,
            verify_email=False,
            default_signature_algorithm=realm.signature_algorithm,
            access_token_lifespan=go_duration(times.access_token_seconds),
            sso_session_idle_timeout=go_duration(times.sso_idle_seconds),
            sso_session_max_lifespan=go_duration(times.sso_max_seconds),
            offline_session_idle_timeout=go_duration(times.offline_idle_seconds),
            security_defenses=keycloak.RealmSecurityDefensesArgs(
                headers=keycloak.RealmSecurityDefensesHeadersArgs(
                    content_security_policy=headers["contentSecurityPolicy"],
                    content_security_policy_report_only=headers["contentSecurityPolicyReportOnly"],
                    referrer_policy=headers["referrerPolicy"],
                    strict_transport_security=headers["strictTransportSecurity"],
                    x_content_type_options=headers["xContentTypeOptions"],
                    x_frame_options=headers["xFrameOptions"],
                    x_robots_tag=headers["xRobotsTag"],
                    x_xss_protection=headers["xXSSProtection"],
                ),
                brute_force_detection=keycloak.RealmSecurityDefensesBruteForceDetectionArgs(
                    permanent_lockout=False,
                    max_login_failures=brute.failures,
                    wait_increment_seconds=brute.wait_increment_seconds,
                    quick_login_check_milli_seconds=brute.quick_check_milliseconds,
                    minimum_quick_login_wait_seconds=brute.quick_wait_seconds,
                    max_failure_wait_seconds=brute.max_wait_seconds,
                    failure_reset_time_seconds=brute.reset_seconds,
                ),
            ),
            password_policy=realm.password_policy,
            internationalization=keycloak.RealmInternationalizationArgs(
                supported_locales=list(realm.languages), default_locale=realm.languages[0]
            )
            if realm.languages
            else None,
            smtp_server=self._mail_server(),
            **{to_snake(word): name for word, name in realm.themes.items()},
            web_authn_passwordless_policy=passkeys(realm.factors) if realm.factors else None,
        )
        self._realm = made
        return made.id

    def _mail_server(self) -> keycloak.RealmSmtpServerArgs | pulumi.Output[Any] | None:
        """The declared one, or the one that somebody set in Keycloak; a preview asks no server."""
        mail = self._spec.mail
        if mail:
            return mail_server(mail, self._secrets.value(mail.password) if mail.password else None)
        return None if pulumi.runtime.is_dry_run() else mail_there(self._asked, self._secret, self._ready)

    def _make_action(self, alias: str, declared: Mapping[str, bool]) -> keycloak.RequiredAction:
        """Keycloak has it by itself, and keeps it."""
        named = {"realm_id": self._realm_id, "alias": alias, **{to_snake(key): said for key, said in declared.items()}}
        return self._make(ACTION, f"action-{alias}", self._staying, **named)

    def _make_directory(self, found: Directory) -> None:
        password = self._secrets.value(found.password) if found.password else None
        self._look.directories[found.name] = make_directory(
            found,
            self._logical(f"directory-{found.name}"),
            self._realm_id,
            password,
            self._groups,
            self._child,
            self._inside,
            self._look.directory(found, password),
            self._ready,
            len(self._look.directories),
        ).id

    def _keep_events(self, events: Events) -> None:
        keycloak.RealmEvents(
            self._logical("events"),
            realm_id=self._realm_id,
            events_enabled=True,
            events_expiration=events.days * 24 * 3600,
            admin_events_enabled=events.changes,
            admin_events_details_enabled=events.changes,
            # Without the setting, what was kept is kept on.
            opts=self._staying,
        )

    def _registered(self, client: Client, *, every_role: bool = False) -> openid.Client:
        """A client without mappers. every_role: its tokens carry whatever rights their owner has."""
        confidential = client.secret is not None
        return self._make(
            CLIENT,
            f"client-{client.client_id}",
            self._child,
            realm_id=self._realm_id,
            client_id=client.client_id,
            name=client.name,
            access_type="CONFIDENTIAL" if confidential else "PUBLIC",
            client_secret=self._secrets.value(client.secret) if client.secret else None,
            root_url=client.root_url or None,
            base_url="/" if client.root_url else None,
            valid_redirect_uris=list(client.redirect_uris),
            valid_post_logout_redirect_uris=list(client.post_logout_uris),
            web_origins=list(client.web_origins),
            standard_flow_enabled=client.standard_flow,
            implicit_flow_enabled=False,
            direct_access_grants_enabled=client.direct_access_grants,
            oauth2_device_authorization_grant_enabled=client.device_grant,
            service_accounts_enabled=client.service_account,
            pkce_code_challenge_method="S256" if client.pkce else "",
            full_scope_allowed=every_role,
        )

    def _make_client(self, client: Client) -> None:
        name = self._logical(f"client-{client.client_id}")
        made = self._registered(client)
        self._clients[client.client_id] = made
        inside = self._inside(made)
        # The provider's own resource for these cannot say that introspection tells of them too.
        keycloak.GenericProtocolMapper(
            f"{name}-declared-groups",
            realm_id=self._realm_id,
            client_id=made.id,
            name=GROUPS_MAPPER,
            protocol="openid-connect",
            protocol_mapper=GROUPS_MAPPER_TYPE,
            config=self._spec.groups_mapper,
            opts=inside,
        )
        openid.AudienceProtocolMapper(
            f"{name}-audience",
            realm_id=self._realm_id,
            client_id=made.id,
            name=AUDIENCE_MAPPER,
            # By way of the resource: the provider refuses the name of a client that is not there yet.
            included_client_audience=self._clients[self._spec.audience].client_id,
            add_to_id_token=False,
            add_to_access_token=True,
            opts=inside,
        )
        if client.groups:
            keycloak.UserGroups(
                f"{name}-membership",
                realm_id=self._realm_id,
                user_id=made.service_account_user_id,
                group_ids=[self._groups[group].id for group in client.groups],
                exhaustive=False,
                opts=inside,
            )

    def _make_roles(self) -> None:
        """The client's role that stands for each group, in the tokens of every client."""
        owner = self._make(
            OWNER,
            f"client-{self._spec.groups_client}",
            self._child,
            realm_id=self._realm_id,
            client_id=self._spec.groups_client,
            name=self._spec.groups_client_name,
            access_type="BEARER-ONLY",
            valid_post_logout_redirect_uris=["+"],
            standard_flow_enabled=False,
            implicit_flow_enabled=False,
            direct_access_grants_enabled=False,
            service_accounts_enabled=False,
            full_scope_allowed=False,
        )
        for group, made in self._groups.items():
            role = self._make(
                ROLE,
                f"role-{group}",
                self._inside(owner),
                realm_id=self._realm_id,
                client_id=owner.id,
                name=group,
            )
            self._roles.append(role)
            keycloak.GroupRoles(
                self._logical(f"group-{group}-roles"),
                realm_id=self._realm_id,
                group_id=made.id,
                role_ids=[role.id],
                exhaustive=False,
                opts=self._inside(made),
            )
            for client_id, client in self._clients.items():
                keycloak.GenericRoleMapper(
                    self._logical(f"client-{client_id}-role-{group}"),
                    realm_id=self._realm_id,
                    client_id=client.id,
                    role_id=role.id,
                    opts=self._inside(client),
                )

    def _make_people(self, client: Client) -> None:
        """The account that may see who is in the realm."""
        name = self._logical(f"client-{client.client_id}")
        made = self._registered(client, every_role=True)
        inside = self._inside(made)
        openid.ClientServiceAccountRole(
            # Another realm is another right: that one's client has another id, which an update keeps.
            f"{name}-right-{self._spec.name}",
            realm_id=self._realm_id,
            service_account_user_id=made.service_account_user_id,
            client_id=self._management(),
            role=VIEW_PEOPLE,
            # Another one in a preview alone, which asks no server for it.
            opts=pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(ignore_changes=["client_id"])),
        )

    def _management(self) -> pulumi.Output[str]:
        """The id of Keycloak's own client for the rights to a realm."""
        if pulumi.runtime.is_dry_run():
            return pulumi.Output.from_input(MANAGEMENT)
        asked = pulumi.InvokeOutputOptions(parent=self, provider=self._keycloak)
        realm = self._look.place(self._ready)
        return openid.get_client_output(realm_id=realm, client_id=MANAGEMENT, opts=asked).id

    def _close_client(self, client_id: str) -> None:
        """Keeps passwords from a client of Keycloak's own, which is there with the realm and goes with it.

        Where it takes such a client over, the provider switches nothing of it off (it merges what is there into what is
        false here); asking for consent is switched on.
        """
        self._make(
            CLIENT,
            f"client-{client_id}",
            self._child,
            realm_id=self._realm_id,
            client_id=client_id,
            name=client_id,
            import_=True,
            enabled=True,
            access_type="PUBLIC",
            standard_flow_enabled=False,
            implicit_flow_enabled=False,
            direct_access_grants_enabled=True,
            service_accounts_enabled=False,
            consent_required=True,
            # Keycloak made it without these two, and means yes; the provider would read no, and write it.
            use_refresh_tokens=True,
            backchannel_logout_session_required=True,
            valid_post_logout_redirect_uris=["+"],
            full_scope_allowed=True,
        )

    def _make_users(self, options: pulumi.ResourceOptions) -> None:
        for user in self._spec.users:
            made = self._make(
                USER,
                f"user-{user.username}",
                options,
                realm_id=self._realm_id,
                username=user.username,
                email=user.email,
                email_verified=True if user.email else None,
                first_name=user.first_name or None,
                last_name=user.last_name or None,
                initial_password=keycloak.UserInitialPasswordArgs(
                    value=self._secrets.value(user.password), temporary=user.temporary
                ),
            )
            self._look.people.append(made.id)
            if user.groups:
                keycloak.UserGroups(
                    self._logical(f"user-{user.username}-membership"),
                    realm_id=self._realm_id,
                    user_id=made.id,
                    group_ids=[self._groups[group].id for group in user.groups],
                    exhaustive=False,
                    opts=self._inside(made),
                )
