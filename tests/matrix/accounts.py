"""Users, their tokens and sessions, groups, SCIM, the trash and workspaces."""

from __future__ import annotations

from collections.abc import Iterator

from tests.matrix.rows import ADMIN, LOGIN, ROOT, SCIM, Row, under

users = under("2.0/mlflow/users", at={"username": "fresh_user"})
YEAR = {"name": "{new}", "expiration": "{soon}"}
USERS: tuple[Row, ...] = (
    users("GET", "", LOGIN),
    users("POST", "", ADMIN, {"username": "{new}", "display_name": "n", "is_admin": False}, good=(200, 201)),
    users("DELETE", "", ADMIN, {"username": "{fresh_user}"}, fresh="user"),
    users("GET", "/details", ADMIN),
    users("GET", "/current", LOGIN),
    users("GET", "/{username}", ADMIN),
    users("PATCH", "/{username}/active", ADMIN, {"active": False}, fresh="user"),
    users("PATCH", "/ownership", ADMIN, {"username": "{fresh_user}", "managed_by": "manual"}),
    users("GET", "/{username}/sessions", ADMIN),
    users("DELETE", "/{username}/sessions", ADMIN),
    users(
        "DELETE",
        "/{username}/sessions/{session_pk}",
        ADMIN,
        at={"username": "visitor", "session_pk": "session"},
        fresh="session",
    ),
    users("GET", "/{username}/identities", ADMIN),
    users(
        "DELETE",
        "/{username}/identities?provider_id=x&subject=y",
        ADMIN,
        good=404,
        never="an identity is bound by a login through a provider",
    ),
    users("GET", "/service-account-sources", ADMIN),
    users("PUT", "/{username}/service-account-source", ADMIN, {"source": "internal"}, at={"username": "fresh_account"}),
)

TOKENS: tuple[Row, ...] = (
    # A token is made by whoever logged in, and not by a token.
    users("PATCH", "/access-token", LOGIN, {}),
    users("GET", "/current/tokens", LOGIN),
    users("POST", "/current/tokens", LOGIN, YEAR, good=(200, 201)),
    users("DELETE", "/current/tokens/{token_id}", LOGIN, at={"token_id": "own_token"}, fresh="own_token"),
    users("GET", "/{username}/tokens", ADMIN),
    users("POST", "/{username}/tokens", ADMIN, YEAR, good=(200, 201)),
    users("DELETE", "/{username}/tokens", ADMIN, fresh="user"),
    users("DELETE", "/{username}/tokens/{token_id}", ADMIN, at={"token_id": "user_token"}, fresh="user_token"),
)

groups = under("2.0/mlflow/permissions/groups")
GROUPS: tuple[Row, ...] = (
    groups("GET", "", LOGIN),
    groups("POST", "", ADMIN, {"group_name": "{new}"}, good=(200, 201)),
    groups("GET", "/details", ADMIN),
    groups("GET", "/{group_name}/users", ADMIN, at={"group_name": "group"}),
)

tokens = under("2.0/mlflow/scim/")
DIRECTORY: tuple[Row, ...] = (
    tokens("GET", "tokens", ADMIN),
    tokens("POST", "tokens", ADMIN, {"name": "{new}"}, good=(200, 201)),
    tokens(
        "POST", "tokens/{token_id}/rotate", ADMIN, at={"token_id": "scim_token"}, fresh="scim_token", good=(200, 201)
    ),
    tokens("DELETE", "tokens/{token_id}", ADMIN, at={"token_id": "scim_token"}, fresh="scim_token"),
    tokens("GET", "activity", ADMIN),
    tokens("GET", "status", ADMIN),
)

# A route of SCIM's knows no other credentials than its own, and has a limit for wrong ones.
LIMITED = (401, 429)
scim = under("scim/v2/", ROOT, at={"user_id": "scim_user", "group_id": "scim_group"}, refused=LIMITED, stranger=LIMITED)
PERSON = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "{new}", "active": True}
SAME = {**PERSON, "userName": "{scim_user}"}
TEAM = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "{new}", "members": []}
SAME_TEAM = {**TEAM, "displayName": "{scim_group_name}"}
PATCH = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}
SHOWN = [{"op": "replace", "path": "displayName", "value": "x"}]
EMPTIED = [{"op": "replace", "path": "members", "value": []}]
EVERY = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")


def _unsupported() -> Iterator[Row]:
    """What SCIM says of a path that it does not have, by every method."""
    for method in EVERY:
        # The guard lets no TRACE and no CONNECT pass, whoever asks.
        refused = (*LIMITED, 404, 405, 501) if method in {"CONNECT", "TRACE"} else LIMITED
        yield under("scim/v2/", ROOT, at={"unsupported": "tag"})(
            method, "{unsupported}", SCIM, good=(404, *refused), refused=refused, stranger=refused,
            never="it says what SCIM does not have",
        )  # fmt: skip


SCIM_ROUTES: tuple[Row, ...] = (
    scim("GET", "ServiceProviderConfig", SCIM),
    scim("GET", "ResourceTypes", SCIM),
    scim("GET", "ResourceTypes/{resource_type}", SCIM, at={"resource_type": "scim_type"}),
    scim("GET", "Schemas", SCIM),
    scim("GET", "Schemas/{schema_id}", SCIM, at={"schema_id": "scim_schema"}),
    scim("GET", "Users", SCIM),
    scim("POST", "Users", SCIM, PERSON, good=201),
    scim("GET", "Users/{user_id}", SCIM),
    scim("PUT", "Users/{user_id}", SCIM, SAME),
    scim("PATCH", "Users/{user_id}", SCIM, {**PATCH, "Operations": SHOWN}),
    scim("DELETE", "Users/{user_id}", SCIM, fresh="scim_user", good=204),
    scim("GET", "Groups", SCIM),
    scim("POST", "Groups", SCIM, TEAM, good=201),
    scim("GET", "Groups/{group_id}", SCIM),
    scim("PUT", "Groups/{group_id}", SCIM, SAME_TEAM),
    scim("PATCH", "Groups/{group_id}", SCIM, {**PATCH, "Operations": EMPTIED}, good=(200, 204)),
    scim("DELETE", "Groups/{group_id}", SCIM, fresh="scim_group", good=204),
    *_unsupported(),
)

# The plugin asks for an administrator here before it asks who it is.
trash = under("oidc/trash/", ROOT, stranger=(403,))
TRASH: tuple[Row, ...] = (
    trash("GET", "experiments", ADMIN),
    trash("GET", "runs", ADMIN),
    trash("POST", "experiments/{experiment_id}/restore", ADMIN, fresh="deleted_experiment"),
    trash("POST", "runs/{run_id}/restore", ADMIN, fresh="deleted_run"),
    # Only what is named: others' trash is theirs.
    trash("POST", "cleanup?run_ids={run_id}", ADMIN, fresh="deleted_run"),
)

spaces = under("3.0/mlflow/", at={"workspace_name": "tag", "rule_id": "one"})
NO_SPACES = "workspaces are off (MLFLOW_ENABLE_WORKSPACES)"
OFF = (400, 403, 404, 501, 503)
RULE = {"name": "{new}", "pattern": "team-(?P<ws>.+)", "permission": "READ"}


def _space(method: str, path: str, body: object = None, **more: object) -> Row:
    return spaces(method, path, ADMIN, body, good=OFF, refused=OFF, never=NO_SPACES, **more)


WORKSPACES: tuple[Row, ...] = (
    _space("GET", "workspaces"),
    _space("POST", "workspaces", {"name": "w"}),
    _space("GET", "workspaces/{workspace_name}"),
    _space("PATCH", "workspaces/{workspace_name}", {"description": "d"}),
    _space("DELETE", "workspaces/{workspace_name}"),
    _space("GET", "workspace-rules"),
    _space("POST", "workspace-rules", RULE),
    _space("POST", "workspace-rules/preview", {"pattern": "team-(?P<ws>.+)", "permission": "READ"}),
    _space("GET", "workspace-rules/{rule_id}"),
    _space("PATCH", "workspace-rules/{rule_id}", {"enabled": False}),
    _space("DELETE", "workspace-rules/{rule_id}"),
    _space("GET", "workspace-rules/{rule_id}/preview"),
)

TABLES = {
    "users": USERS,
    "personal tokens": TOKENS,
    "groups": GROUPS,
    "the directory's tokens": DIRECTORY,
    "SCIM": SCIM_ROUTES,
    "trash": TRASH,
    "workspaces": WORKSPACES,
}
