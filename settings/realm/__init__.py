"""The settings of the Keycloak realm that MLflow trusts."""

from settings.realm.ldap import Ldap
from settings.realm.model import Events, Lifetimes, Mail, Realm, Themes
from settings.realm.providers import IdentityProvider
from settings.realm.saml import Saml
from settings.realm.second_factor import SecondFactor, SessionLimit

__all__ = [
    "Events", "IdentityProvider", "Ldap", "Lifetimes", "Mail", "Realm", "Saml", "SecondFactor", "SessionLimit",
    "Themes",
]  # fmt: skip
