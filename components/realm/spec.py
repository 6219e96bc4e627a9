"""The Keycloak realm as data: clients, mappers, groups, users and lifetimes.

Written twice from here: as pulumi-keycloak resources (`components.realm.resources`) and as a
Keycloak import (`components.realm.document`). A test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from components.identity import (
    CALLBACK_PATH,
    CLIENT_SECRET,
    GROUPS_CLAIM,
    LOGGED_OUT_PATH,
    PEOPLE_SECRET,
    account_secret,
    mail_password,
    user_password,
)
from components.realm.flows import Factors, Flow, factors, login_flows
from components.realm.ldap import Directory, directory
from components.realm.providers import Provider, provider
from components.realm_words import TERMS, THEMES
from platforms.secrets import Secret
from settings import Environment, Settings, allows_direct_access_grants, ends_leavers, reveal, wants_sample_users
from settings.derived import SAMPLE_USERS, groups_client, people_client
from settings.realm import Events, Lifetimes, Realm, SessionLimit, Themes
from settings.realm import Mail as MailServer

# Keycloak's own defaults; written out, since its provider would add one of an older version.
SECURITY_HEADERS: Mapping[str, str] = {
    "contentSecurityPolicy": "frame-src 'self'; frame-ancestors 'self'; object-src 'none';",
    "contentSecurityPolicyReportOnly": "",
    "referrerPolicy": "no-referrer",
    "strictTransportSecurity": "max-age=31536000; includeSubDomains",
    "xContentTypeOptions": "nosniff",
    "xFrameOptions": "SAMEORIGIN",
    "xRobotsTag": "none",
    "xXSSProtection": "",
}
# The mappers of every client: the declared groups of a token's owner, and whom the token is for. Another one before
# them was called "groups", and wrote every group by the last part of its path.
GROUPS_MAPPER, AUDIENCE_MAPPER = "declared-groups", "audience"
GROUPS_MAPPER_TYPE = "oidc-usermodel-client-role-mapper"
# Keycloak's own client whose roles are the rights to a realm, and the one to see its people and their groups.
MANAGEMENT, VIEW_PEOPLE = "realm-management", "view-users"
# Any port on a loopback address matches a redirect URI without one (RFC 8252, section 7.3).
CLI_REDIRECT_URIS = ("http://127.0.0.1/callback", "http://localhost/callback")


@dataclass(frozen=True)
class Client:
    """An OpenID Connect client. `secret` is None for a public one.

    groups: those of its service account; a client with groups has a service account.
    """

    client_id: str
    name: str
    secret: Secret | None = None
    redirect_uris: tuple[str, ...] = ()
    # Keycloak's word for "the redirect URIs".
    post_logout_uris: tuple[str, ...] = ("+",)
    web_origins: tuple[str, ...] = ()
    standard_flow: bool = False
    direct_access_grants: bool = False
    device_grant: bool = False
    pkce: bool = False
    service_account: bool = False
    groups: tuple[str, ...] = ()
    root_url: str = ""


@dataclass(frozen=True)
class User:
    """A person. `temporary`: the password has to be changed at the first login."""

    username: str
    email: str | None
    first_name: str
    last_name: str
    groups: tuple[str, ...]
    password: Secret
    temporary: bool


@dataclass(frozen=True)
class Mail:
    """Keycloak's way to send mail. `config`: all but the password, in its own words (`smtpServer` of a realm)."""

    config: Mapping[str, str]
    password: Secret | None


@dataclass(frozen=True)
class BruteForce:
    """Brute-force detection of Keycloak: after `failures` wrong passwords a growing wait, in seconds."""

    failures: int = 10
    wait_increment_seconds: int = 60
    max_wait_seconds: int = 900
    quick_check_milliseconds: int = 1000
    quick_wait_seconds: int = 60
    reset_seconds: int = 43200


@dataclass(frozen=True)
class RealmSpec:
    """Everything that is made in Keycloak.

    create: whether the realm itself is the stack's own; otherwise only what is in it.
    ssl_required: Keycloak's `sslRequired`.
    admin_groups, user_groups: the groups of MLflow's administrators, and those of everybody else who may come in.
    server: MLflow's own client, which the `aud` of every token must name. cli: that of command lines.
    accounts: those of service accounts.
    people: that of the account which may see people, and do nothing else; None for none. Keycloak's admin API alone
        takes its tokens.
    password_policy, remember_me, reset_password, languages, mail, events: None where nobody declared them; what is in
        Keycloak stays then.
    terms: whether people who are made from then on accept the terms of use as they log in; None as above.
    themes: how Keycloak's pages and mails look, in its own words (`THEMES`). What is not named stays.
    texts: what Keycloak's pages and mails say, by language and by the key of the message. Others stay.
    providers: other identity providers, whose people log in through this realm.
    directories: LDAP directories, whose people log in with the passwords that they have there.
    factors: what people prove beside their passwords; None where nobody declared it.
    session_limit: how many sessions one person may have at once; None as above.
    flows: login flows of the stack's own; none where Keycloak's own do what is declared.
    closed: Keycloak's own clients at which nobody may try passwords past the browser and what it asks for besides:
        `admin-cli` takes direct access grants in every new realm. They ask for consent, with which Keycloak refuses
        such a grant (`ResourceOwnerPasswordCredentialsGrantType`: "Client requires user consent").
    """

    name: str
    create: bool
    display_name: str
    ssl_required: str
    lifetimes: Lifetimes
    brute_force: BruteForce
    admin_groups: tuple[str, ...]
    user_groups: tuple[str, ...]
    groups_claim: str
    server: Client
    cli: Client
    accounts: tuple[Client, ...]
    people: Client | None
    users: tuple[User, ...]
    closed: tuple[str, ...]
    password_policy: str | None = None
    remember_me: bool | None = None
    reset_password: bool | None = None
    languages: tuple[str, ...] = ()
    themes: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    terms: bool | None = None
    mail: Mail | None = None
    events: Events | None = None
    providers: tuple[Provider, ...] = ()
    directories: tuple[Directory, ...] = ()
    factors: Factors | None = None
    session_limit: SessionLimit | None = None
    flows: tuple[Flow, ...] = ()
    groups_client_name: str = "Roles of the groups of MLflow"
    signature_algorithm: str = "RS256"
    security_headers: Mapping[str, str] = field(default_factory=lambda: SECURITY_HEADERS)

    @property
    def groups(self) -> tuple[str, ...]:
        return (*self.admin_groups, *self.user_groups)

    @property
    def groups_client(self) -> str:
        """The client whose roles stand for the groups. It has no login, and nothing takes a token that is for it.

        Keycloak names the owner of a role in the `aud` of every token with that role (`AudienceResolveProtocolMapper`):
        were these MLflow's own, the tokens of every other client of the realm would be good for MLflow.
        """
        return groups_client(self.server.client_id)

    @property
    def groups_mapper(self) -> dict[str, str]:
        """The mapper of the groups in Keycloak's own words: the roles that stand for them, in every kind of answer."""
        kinds = ("id.token", "access.token", "userinfo.token", "introspection.token")
        return {
            "usermodel.clientRoleMapping.clientId": self.groups_client,
            "claim.name": self.groups_claim,
            "jsonType.label": "String",
            "multivalued": "true",
            **dict.fromkeys((f"{kind}.claim" for kind in kinds), "true"),
        }

    @property
    def audience(self) -> str:
        """The client that every token has to name."""
        return self.server.client_id

    @property
    def clients(self) -> tuple[Client, ...]:
        return (self.server, self.cli, *self.accounts)

    @property
    def and_people(self) -> tuple[Client, ...]:
        """The clients whose tokens MLflow takes, and that of the account which may see people."""
        return (*self.clients, *((self.people,) if self.people else ()))

    @property
    def with_secrets(self) -> tuple[tuple[str, Secret], ...]:
        """The clients that have a secret, by their ids, and those secrets."""
        return tuple((client.client_id, client.secret) for client in self.and_people if client.secret is not None)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Those of its clients and users, and those for others."""
        return (
            *(secret for _, secret in self.with_secrets),
            *(user.password for user in self.users),
            *self.for_others,
        )

    @property
    def actions(self) -> dict[str, dict[str, bool]]:
        """What a login can ask of people, by Keycloak's names and in its words.

        A default action is one that Keycloak asks of everybody who is made while it is one.
        """
        factors = self.factors.actions if self.factors else {}
        terms = {} if self.terms is None else {TERMS: {"enabled": self.terms, "defaultAction": self.terms}}
        return {alias: {"enabled": enabled} for alias, enabled in factors.items()} | terms

    @property
    def for_others(self) -> tuple[Secret, ...]:
        """Secrets that Keycloak logs in elsewhere with, and shows to nobody: those of mail, providers, directories."""
        mail = (self.mail.password,) if self.mail and self.mail.password else ()
        providers = (one.secret for one in self.providers if one.secret)
        directories = (one.password for one in self.directories if one.password)
        return (*mail, *providers, *directories)


def realm_spec(settings: Settings) -> RealmSpec:
    realm = settings.realm
    existing = settings.keycloak.existing
    return RealmSpec(
        name=realm.name,
        create=existing is None or existing.create_realm,
        display_name=realm.display_name or "MLflow",
        # http is for loopback names only (settings refuse it elsewhere), where requests may still
        # reach Keycloak from an address that it takes for an outside one: "HTTPS required".
        ssl_required="none" if settings.keycloak.url.startswith("http://") else "external",
        lifetimes=realm.lifetimes,
        brute_force=BruteForce(),
        admin_groups=realm.groups.admins,
        user_groups=realm.groups.users,
        groups_claim=GROUPS_CLAIM,
        server=_server_client(settings),
        cli=Client(
            client_id=realm.cli_client_id,
            name="MLflow command lines",
            redirect_uris=CLI_REDIRECT_URIS,
            standard_flow=True,
            device_grant=True,
            direct_access_grants=allows_direct_access_grants(settings),
            pkce=True,
        ),
        accounts=tuple(
            Client(
                client_id=account.client_id,
                name=f"Service account {account.client_id}",
                secret=account_secret(account.client_id),
                service_account=True,
                groups=account.groups,
            )
            for account in realm.service_accounts
        ),
        people=_people(realm) if ends_leavers(settings) else None,
        users=(*_sample_users(settings), *_declared_users(settings)),
        # A realm that is somebody else's may need it.
        closed=("admin-cli",) if existing is None or existing.create_realm else (),
        password_policy=realm.password_policy,
        remember_me=realm.remember_me,
        reset_password=realm.reset_password,
        languages=realm.languages,
        themes=_themes(realm.themes) if realm.themes else {},
        texts=realm.texts,
        terms=None if realm.terms is None else realm.terms == "newcomers",
        mail=_mail(realm.mail) if realm.mail else None,
        events=realm.events,
        providers=tuple(map(provider, realm.identity_providers)),
        directories=tuple(map(directory, realm.ldap)),
        factors=factors(realm.second_factor) if realm.second_factor else None,
        session_limit=realm.session_limit,
        flows=_flows(realm),
    )


def _people(realm: Realm) -> Client:
    return Client(
        client_id=people_client(realm.client_id),
        name="Who is in the realm, for MLflow",
        secret=PEOPLE_SECRET,
        service_account=True,
    )


def _flows(realm: Realm) -> tuple[Flow, ...]:
    administrators = [f"{groups_client(realm.client_id)}.{group}" for group in realm.groups.admins]
    return login_flows(realm.second_factor, realm.session_limit, administrators)


def _themes(declared: Themes) -> dict[str, str]:
    named = {word: getattr(declared, kind) for kind, word in THEMES.items()}
    return {word: name for word, name in named.items() if name}


def _mail(server: MailServer) -> Mail:
    password = reveal(server.password)
    config = {
        "host": server.host,
        "port": str(server.port),
        "from": server.sender,
        "fromDisplayName": server.sender_name,
        "replyTo": server.reply_to or "",
        # Without these Keycloak means no.
        "starttls": "true" if server.encryption == "starttls" else "",
        "ssl": "true" if server.encryption == "tls" else "",
        "auth": "true" if password is not None else "",
        "user": server.username or "",
    }
    return Mail(config, None if password is None else mail_password(password))


def _server_client(settings: Settings) -> Client:
    url = settings.mlflow.url
    return Client(
        client_id=settings.realm.client_id,
        name="MLflow",
        secret=CLIENT_SECRET,
        root_url=url,
        redirect_uris=(url + CALLBACK_PATH,),
        post_logout_uris=(url + LOGGED_OUT_PATH,),
        web_origins=("{0.scheme}://{0.netloc}".format(urlsplit(url)),),
        standard_flow=True,
        direct_access_grants=allows_direct_access_grants(settings),
        # Plugins since 7.6 send a challenge on every login; a code without one is refused.
        pkce=True,
        service_account=True,
        groups=settings.realm.groups.users[:1],
    )


def sample_address(name: str) -> str:
    return f"{name}@example.com"


def _sample_users(settings: Settings) -> tuple[User, ...]:
    if not wants_sample_users(settings):
        return ()
    groups = settings.realm.groups
    return tuple(
        User(
            username=name,
            email=sample_address(name),
            first_name=name.capitalize(),
            last_name="Sample",
            groups=(group,),
            password=user_password(name),
            temporary=False,
        )
        for name, group in zip(SAMPLE_USERS, (groups.admins[0], groups.users[0]), strict=True)
    )


def _declared_users(settings: Settings) -> tuple[User, ...]:
    return tuple(
        User(
            username=user.username,
            email=user.email,
            first_name=user.first_name,
            last_name=user.last_name,
            groups=user.groups,
            password=user_password(user.username, reveal(user.password)),
            temporary=settings.environment is not Environment.DEV,
        )
        for user in settings.realm.users
    )
