"""The settings of the Keycloak realm that MLflow trusts."""

from settings.realm.model import Events, Lifetimes, Mail, Realm
from settings.realm.providers import IdentityProvider

__all__ = ["Events", "IdentityProvider", "Lifetimes", "Mail", "Realm"]
