"""Who may see and change whose permission on what: for users and groups, of each kind, exact and by pattern."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.matrix.rows import ADMIN, LOGIN, MANAGE, Needs, Row, under


@dataclass(frozen=True)
class Kind:
    """A kind of thing on which permissions are given.

    part: how paths name it. keys: the parameters of its path, for a user and for a group. fresh: what makes one.
    needs: who gives and takes permissions on it. own: whether groups' permissions of it have a GET.
    """

    part: str
    keys: tuple[str, str]
    at: dict[str, str]
    fresh: str
    patterns: str
    needs: Needs
    has_group_get: bool = False


SCORER = "{experiment_id}/{scorer_name}"
KINDS = (
    Kind("experiments", ("{experiment_id}",) * 2, {}, "experiment", "experiment-patterns", MANAGE),
    Kind("registered-models", ("{name}",) * 2, {"name": "model_name"}, "model", "registered-models-patterns", MANAGE),
    Kind("prompts", ("{name}", "{prompt_name}"), {"name": "prompt_name"}, "prompt", "prompts-patterns", MANAGE),
    Kind("scorers", (SCORER, SCORER), {}, "scorer", "scorer-patterns", MANAGE),
    Kind(
        "gateways/endpoints",
        ("{name}",) * 2,
        {"name": "endpoint_name"},
        "endpoint",
        "gateways/endpoints-patterns",
        ADMIN,
        True,
    ),
    Kind(
        "gateways/secrets", ("{name}",) * 2, {"name": "secret_name"}, "secret", "gateways/secrets-patterns", ADMIN, True
    ),
    Kind(
        "gateways/model-definitions",
        ("{name}",) * 2,
        {"name": "definition_name"},
        "definition",
        "gateways/model-definitions-patterns",
        ADMIN,
        True,
    ),
    Kind("mcp-servers", ("{name}",) * 2, {"name": "server"}, "server", "", MANAGE, True),
)
GIVEN = {"permission": "READ"}
PATTERN = {"regex": "{new}", "priority": 1, "permission": "READ"}
CREATED = (200, 201)


def _of(kind: Kind, who: str) -> Iterator[Row]:
    """The routes of a kind below a user or a group."""
    is_group = who == "groups"
    subject = "{group_name}" if is_group else "{username}"
    at = {**kind.at, "username": "guest", "group_name": "group", "id": f"{who}_{kind.fresh}_pattern"}
    make = under(f"2.0/mlflow/permissions/{who}/{subject}/", at=at)
    one = f"{kind.part}/{kind.keys[is_group]}"
    # Others' permissions are listed as far as the caller gives them; groups' on the gateway to administrators.
    yield make("GET", kind.part, ADMIN if is_group and kind.needs is ADMIN else LOGIN)
    yield make("POST", one, kind.needs, GIVEN, fresh=kind.fresh, good=CREATED)
    if not is_group or kind.has_group_get:
        yield make("GET", one, kind.needs)
    yield make("PATCH", one, kind.needs, {"permission": "EDIT"})
    yield make("DELETE", one, kind.needs, fresh=(kind.fresh, f"{who}_{kind.fresh}_grant"))
    if kind.patterns:
        yield make("GET", kind.patterns, ADMIN)
        yield make("POST", kind.patterns, ADMIN, PATTERN, good=CREATED)
        yield make("GET", f"{kind.patterns}/{{id}}", ADMIN)
        yield make("PATCH", f"{kind.patterns}/{{id}}", ADMIN, PATTERN)
        yield make("DELETE", f"{kind.patterns}/{{id}}", ADMIN, fresh=f"{who}_{kind.fresh}_pattern")


def _holders(kind: Kind) -> Iterator[Row]:
    """Who has a permission on one."""
    if kind.part == "scorers":
        make = under("3.0/mlflow/permissions/scorers/{experiment_id}", at=kind.at)
        # Which scorers there are is for readers of the experiment; only those that they may read are shown.
        yield make("GET", "", LOGIN)
        for who in ("users", "groups"):
            yield make("GET", f"/{{scorer_name}}/{who}", MANAGE)
        return
    make = under("2.0/mlflow/permissions/", at=kind.at)
    yield make("GET", kind.part, LOGIN)
    for who in ("users", "groups"):
        yield make("GET", f"{kind.part}/{kind.keys[kind.part == 'prompts']}/{who}", MANAGE)


TABLES = {
    "permissions of users": tuple(row for kind in KINDS for row in _of(kind, "users")),
    "permissions of groups": tuple(row for kind in KINDS for row in _of(kind, "groups")),
    "holders of permissions": tuple(row for kind in KINDS for row in _holders(kind)),
}
