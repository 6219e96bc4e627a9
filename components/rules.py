"""Rules of what only the components know. The readers of settings ask them as well, so that all is told at once."""

from __future__ import annotations

from collections.abc import Iterator

from components.mlflow import own_variables
from components.plugin.lines import plugin_profile
from components.plugin.refusals import lacking, overrides
from components.realm.ldap_rules import directories
from components.realm.login_rules import (
    fetched,
    mail,
    passwords,
    second_factor,
    session_limit,
    somebody_elses,
    terms,
    texts,
)
from components.realm.provider_rules import providers
from components.realm.rules import addresses, clients, names
from settings import Settings
from settings.known import Known
from settings.model import Mlflow
from settings.wrong import Rule, Wrong


def _plugin(settings: Settings, known: Known) -> Iterator[Wrong]:
    if known.values("mlflow.pluginVersion"):
        profile = plugin_profile(settings.mlflow.plugin_version)
        yield from lacking(settings, known, profile)
    else:
        # As everywhere, the default stands in for what was refused.
        profile = plugin_profile(Mlflow().plugin_version)
    yield from overrides(settings.mlflow, known, own_variables(settings, profile), profile.ignored)


RULES: tuple[Rule, ...] = (
    _plugin, names, clients, addresses, passwords, second_factor, session_limit, mail, texts, terms, providers,
    directories, fetched, somebody_elses,
)  # fmt: skip
