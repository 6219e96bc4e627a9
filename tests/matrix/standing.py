"""Makes the world that all routes are asked about."""

from __future__ import annotations

from tests.matrix.grants import KINDS
from tests.matrix.more_makers import MAKERS
from tests.matrix.world import World

# In the order in which one needs the other.
STANDING = (
    *("experiment", "run", "run_files", "file", "logged_model", "dataset", "trace", "span_trace", "assessment"),
    *("secret", "definition", "other_definition", "endpoint", "scorer", "guardrail", "budget"),
    *("issue", "label", "queue", "model", "prompt", "webhook", "server"),
    *("user", "account", "user_token", "own_token", "session", "scim_token", "scim_user", "scim_group"),
)


def stand(world: World) -> World:
    """The world with one of each thing."""
    for name in STANDING:
        world.values.update(MAKERS[name](world, ""))
    for who in ("users", "groups"):
        for kind in KINDS:
            if kind.patterns:
                world.values.update(MAKERS[f"{who}_{kind.fresh}_pattern"](world, ""))
    return world
