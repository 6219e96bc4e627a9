"""The settings of the Keycloak realm that MLflow trusts.

A setting without a value here is left to Keycloak's console: no engine writes it, and what somebody set there stays.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from settings.realm.ldap import Ldap
from settings.realm.policy import password_policy
from settings.realm.providers import IdentityProvider
from settings.realm.second_factor import SecondFactor, SessionLimit
from settings.types import Group, GroupName, Host, Name, Password, Scope, Seconds, TcpPort

PasswordPolicy = Annotated[str, AfterValidator(password_policy)]
# An address as Keycloak takes it for a sender (RFC 5321, section 4.1.2, without quoted parts).
EmailAddress = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")
]
# A folder of Keycloak's, or an entry of a JAR there ("Working with themes"): it looks a theme up by this name.
ThemeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")]
# As Keycloak's message bundles are named (BCP 47, with - or _ between its parts).
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]


class Lifetimes(Group):
    """Token and session lifetimes of the realm, in seconds."""

    access_token_seconds: Seconds = Field(300, description="How long an access token is good")
    sso_idle_seconds: Seconds = Field(
        1800, description="A session ends when unused for this long (SSO Session Idle), one of MLflow's pages with it"
    )
    sso_max_seconds: Seconds = Field(
        36000, description="A session ends after this long in any case (SSO Session Max), one of MLflow's pages too"
    )
    offline_idle_seconds: Seconds = Field(2592000, description="An offline token ends when unused for this long")


class Groups(Group):
    """Group names, from here to Keycloak, the token and MLflow."""

    admins: Annotated[tuple[GroupName, ...], Field(min_length=1)] = Field(
        ("mlflow-admins",), description="Members administrate MLflow"
    )
    users: Annotated[tuple[GroupName, ...], Field(min_length=1)] = Field(
        ("mlflow-users",), description="Members may log in"
    )


class User(Group):
    """A declared user; its password is generated unless given."""

    username: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._@-]*$")] = Field(
        description="Login name, in small letters"
    )
    email: str | None = Field(
        None,
        description="Address, taken as verified; without it or a name, the first login asks for them",
    )
    first_name: str = Field("", description="Given name")
    last_name: str = Field("", description="Family name")
    groups: tuple[GroupName, ...] = Field((), description="Some of realm.groups")
    password: Password | None = Field(
        None, description="First password, to be changed at the first login outside dev; default: a generated one"
    )


class ServiceAccount(Group):
    """A declared machine identity: a confidential client with the client-credentials grant."""

    client_id: Name = Field(description="The client's id")
    groups: tuple[GroupName, ...] = Field((), description="Some of realm.groups")


class Mail(Group):
    """The mail server that Keycloak sends through."""

    host: Host = Field(description="Its name, as Keycloak's container reaches it")
    port: TcpPort = Field(587, description="Its port")
    sender: EmailAddress = Field(description="The address that mail comes from")
    sender_name: str = Field("", description="The name beside it")
    reply_to: EmailAddress | None = Field(None, description="Where answers go, if not to the sender")
    encryption: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="TLS after the greeting, from the first byte, or none; with a password none is refused"
    )
    username: str | None = Field(None, description="Login at the server; none: without one")
    password: Password | None = Field(None, description="Its password")


class Events(Group):
    """What Keycloak keeps in its database of logins, and of changes by administrators."""

    days: Annotated[int, Field(ge=1, le=3650)] = Field(30, description="Days that logins are kept")
    changes: bool = Field(True, description="Keep changes by administrators too, with what they sent")


class Themes(Group):
    """How Keycloak's pages and mails look, by the names of its themes; what is left out stays as it is there."""

    login: ThemeName | None = Field(None, description="Theme of the pages that people log in with")
    account: ThemeName | None = Field(None, description="Theme of the pages where people see their own account")
    email: ThemeName | None = Field(None, description="Theme of mails to people")


class Realm(Group):
    """The Keycloak realm that MLflow trusts."""

    name: Name = Field("mlflow", description="The realm's name, a part of the issuer URL")
    client_id: Name = Field("mlflow", description="The MLflow server's confidential client")
    cli_client_id: Name = Field("mlflow-cli", description="The public client of command lines")
    scope: Scope = Field(
        "openid email profile", description="Scopes that MLflow asks for at a login, separated by spaces"
    )
    direct_access_grants: bool | None = Field(None, description="Password grant; default: on in dev, off elsewhere")
    sample_users: bool | None = Field(None, description="alice and bob; default: in dev only")
    leavers: bool | None = Field(
        None,
        description="Whether MLflow asks Keycloak who left or is disabled, and ends their access within a minute;"
        " default: yes, but in a realm that exists, or with kubernetes.externalSecrets",
    )
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = Field(
        None, description="What the login page calls the realm; default: MLflow"
    )
    password_policy: PasswordPolicy | None = Field(
        None, description="As Keycloak writes one: `length(12) and notUsername and passwordHistory(5)`"
    )
    remember_me: bool | None = Field(None, description="Whether the login page offers to remember a browser")
    reset_password: bool | None = Field(
        None, description="Whether the login page offers to send a link for another password; needs mail"
    )
    languages: tuple[Language, ...] = Field(
        (), description="Languages of the login pages, the first for whoever asks for none of them"
    )
    texts: dict[str, dict[str, str]] = Field(
        {}, description="Texts of Keycloak's pages and mails: for a language the keys of its messages, each with a text"
    )
    themes: Themes | None = Field(None, description="How Keycloak's pages and mails look")
    terms: Literal["nobody", "newcomers"] | None = Field(
        None,
        description="Who accepts the terms of use as they log in: newcomers come, or are made, from then on;"
        " needs termsText in texts",
    )
    mail: Mail | None = Field(None, description="A mail server, for links to another password and for notices")
    events: Events | None = Field(None, description="Keep logins, and changes by administrators, for the console")
    identity_providers: tuple[IdentityProvider, ...] = Field((), description="Other providers whose people log in here")
    ldap: tuple[Ldap, ...] = Field((), description="Directories whose people log in here with their passwords there")
    second_factor: SecondFactor | None = Field(
        None, description="One-time codes and passkeys, and of whom one of them is required"
    )
    session_limit: SessionLimit | None = Field(None, description="How many sessions one person may have at once")
    lifetimes: Lifetimes = Lifetimes()
    groups: Groups = Groups()
    users: tuple[User, ...] = ()
    service_accounts: tuple[ServiceAccount, ...] = ()
