"""What is refused of the settings because of the plugin, and of what the stack tells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from components.plugin.profile import Ability, PluginProfile
from platforms.shapes import VARIABLE
from settings import Settings
from settings.known import Known
from settings.model import Mlflow
from settings.wrong import Wrong


def lacking(settings: Settings, known: Known, profile: PluginProfile) -> Iterator[Wrong]:
    """What the settings ask for and this line of versions cannot do, each by its key."""
    for ability, key, value, expected in _asked(settings):
        if profile.lacks(ability) and known.values(key):
            yield Wrong((key,), value, f"{expected}: {profile.lacks(ability)}")


def _asked(settings: Settings) -> Iterator[tuple[Ability, str, str, str]]:
    """Each ability that the settings rely on: the key, its value, and the value that relies on none."""
    mlflow = settings.mlflow
    servers = {"replicas": mlflow.replicas, "maxReplicas": mlflow.max_replicas or 1, "workers": mlflow.workers}
    for key, number in servers.items():
        if number > 1:
            yield Ability.SHARED_CACHE, f"mlflow.{key}", str(number), "expected 1"
    admins = settings.realm.groups.admins
    if len(admins) > 1:
        yield Ability.SEVERAL_ADMIN_GROUPS, "realm.groups.admins", ", ".join(admins), "expected one group"
    if mlflow.provision_on_bearer:
        yield Ability.BEARER_PROVISIONING, "mlflow.provisionOnBearer", "true", "expected false"
    if mlflow.jobs is not None:
        yield Ability.JOBS, "mlflow.jobs", "", "expected none"
    # The mesh has senders by default; only those that somebody has named are asked for.
    mesh = settings.kubernetes.mesh
    for field, key in (("collector_namespace", "collectorNamespace"), ("collector_account", "collectorAccount")):
        if field in mesh.model_fields_set:
            yield Ability.TRACE_INTAKE, f"kubernetes.mesh.{key}", str(getattr(mesh, field)), "expected none"


def overrides(given: Mlflow, known: Known, own: set[str], ignored: Mapping[str, str]) -> Iterator[Wrong]:
    """Variables that the stack sets, that this plugin never reads, or that are one of the two misspelt."""
    places = [("env", name) for name in sorted(given.env)] + [("secretEnv", name) for name in sorted(given.secret_env)]
    for place, name in places:
        near = get_close_matches(name, sorted(own), n=1, cutoff=0.9)
        if not VARIABLE.fullmatch(name):
            # Docker ends a name at its first =, and what is before it may be one of the stack's own.
            expected = "expected a name of letters, digits and _, with no digit first"
        elif name in own:
            expected = "the stack sets this itself; expected another name"
        elif name in ignored:
            expected = f"the plugin does not read it; what counts: {ignored[name]}"
        elif near:
            expected = f"the stack sets {near[0]} itself, and nothing reads this; expected another name"
        elif place == "secretEnv" and name in given.env:
            expected = "in env as well; expected one of the two"
        else:
            continue
        # What is wrong with the value is of no matter to the name.
        if known.presence(f"mlflow.{place}.{name}"):
            yield Wrong((f"mlflow.{place}.{name if name.isprintable() else repr(name)}",), "", expected)
