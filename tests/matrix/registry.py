"""Registered models, prompts and their versions, webhooks, and servers of the MCP registry."""

from __future__ import annotations

from tests.matrix.rows import ADMIN, DELETE, LOGIN, READ, ROOT, UPDATE, Row, under

models = under("2.0/mlflow/registered-models/")
versions = under("2.0/mlflow/model-versions/")
NAME = {"name": "{model_name}"}
VERSION = {**NAME, "version": "1"}

MODELS: tuple[Row, ...] = (
    models("POST", "create", LOGIN, {"name": "{new}"}),
    models("GET", "search?max_results=1000", LOGIN, shows=READ),
    models("GET", "get?name={model_name}", READ, shows=READ),
    models("POST", "rename", UPDATE, {**NAME, "new_name": "{new}"}, fresh="model"),
    models("PATCH", "update", UPDATE, {**NAME, "description": "{hidden}"}),
    models("DELETE", "delete", DELETE, NAME, fresh="model"),
    models("GET", "get-latest-versions?name={model_name}", READ, shows=READ),
    models("POST", "get-latest-versions", READ, NAME, shows=READ),
    models("POST", "set-tag", UPDATE, {**NAME, "key": "a", "value": "b"}),
    models("DELETE", "delete-tag", UPDATE, {**NAME, "key": "k"}, fresh="model"),
    models("POST", "alias", UPDATE, {**VERSION, "alias": "b"}),
    models("GET", "alias?name={model_name}&alias=a", READ, shows=READ),
    models("DELETE", "alias", DELETE, {**NAME, "alias": "a"}, fresh="model"),
    versions("POST", "create", UPDATE, {**NAME, "source": "{source}", "run_id": "{run_id}"}),
    versions("GET", "get?name={model_name}&version=1", READ, shows=READ),
    versions("GET", "search?max_results=1000", LOGIN, shows=READ),
    versions("GET", "get-download-uri?name={model_name}&version=1", READ),
    versions("PATCH", "update", UPDATE, {**VERSION, "description": "{hidden}"}),
    versions("POST", "transition-stage", UPDATE, {**VERSION, "stage": "Staging", "archive_existing_versions": False}),
    versions("POST", "set-tag", UPDATE, {**VERSION, "key": "a", "value": "b"}),
    versions("DELETE", "delete-tag", DELETE, {**VERSION, "key": "k"}, fresh="model"),
    versions("DELETE", "delete", DELETE, VERSION, fresh="model"),
    under("model-versions/", ROOT)("GET", "get-artifact?name={model_name}&version=1&path=a.txt", READ, shows=READ),
)

webhooks = under("2.0/mlflow/webhooks")
hooks = under("oidc/webhook", ROOT)
NO_INTERNET = "it calls a server outside, which a test has none of"
CREATED = [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]
WEBHOOKS: tuple[Row, ...] = (
    webhooks("POST", "", ADMIN, {"name": "{new}", "url": "https://1.1.1.1/x", "events": CREATED, "status": "DISABLED"}),
    webhooks("GET", "", ADMIN),
    webhooks("GET", "/{webhook_id}", ADMIN),
    webhooks("PATCH", "/{webhook_id}", ADMIN, {"description": "d"}),
    webhooks("DELETE", "/{webhook_id}", ADMIN, fresh="webhook"),
    webhooks("POST", "/{webhook_id}/test", ADMIN, {}, never=NO_INTERNET),
    hooks(
        "POST",
        "",
        ADMIN,
        {"name": "{new}", "url": "https://1.1.1.1/x", "events": ["registered_model.created"], "status": "DISABLED"},
        good=(200, 201),
    ),
    hooks("GET", "", ADMIN),
    hooks("GET", "/{webhook_id}", ADMIN),
    hooks("PUT", "/{webhook_id}", ADMIN, {"description": "d"}),
    hooks("DELETE", "/{webhook_id}", ADMIN, fresh="webhook"),
    hooks("POST", "/{webhook_id}/test", ADMIN, {}, never=NO_INTERNET),
)

servers = under("3.0/mlflow/mcp-servers", at={"name": "server", "version": "server_version", "key": "server_tag"})
SERVER_JSON = {"name": "{server}", "version": "{new_version}"}
MCP: tuple[Row, ...] = (
    servers("POST", "", ADMIN, {"name": "matrix/{new}"}, good=(200, 201)),
    servers("GET", "", LOGIN, shows=READ),
    servers("GET", "/endpoints", LOGIN, shows=READ),
    servers("GET", "/{name}", READ, shows=READ),
    servers("PATCH", "/{name}", UPDATE, {"display_name": "d"}),
    servers("DELETE", "/{name}", DELETE, fresh="server", good=(200, 204)),
    servers("POST", "/{name}/tags", UPDATE, {"key": "a", "value": "b"}, good=(200, 201, 204)),
    servers("DELETE", "/{name}/tags/{key}", DELETE, fresh="server", good=(200, 204)),
    servers("GET", "/{name}/versions", READ, shows=READ),
    servers("POST", "/{name}/versions", UPDATE, {"server_json": SERVER_JSON}, good=(200, 201)),
    servers("GET", "/{name}/versions/{version}", READ, shows=READ),
    servers("PATCH", "/{name}/versions/{version}", UPDATE, {"status": "active"}, fresh="server"),
    servers("DELETE", "/{name}/versions/{version}", DELETE, fresh="server", good=(200, 204)),
    servers("POST", "/{name}/versions/{version}/tags", UPDATE, {"key": "a", "value": "b"}, good=(200, 201, 204)),
    servers("DELETE", "/{name}/versions/{version}/tags/{key}", DELETE, fresh="server", good=(200, 204)),
    servers("GET", "/{name}/endpoints", READ, shows=READ),
    servers(
        "POST",
        "/{name}/endpoints",
        UPDATE,
        {"server_version": "{server_version}", "url": "https://example.com/{new}"},
        good=(200, 201),
    ),
    servers("GET", "/{name}/endpoints/{endpoint_id}", READ, shows=READ, at={"endpoint_id": "server_endpoint"}),
    servers(
        "PATCH",
        "/{name}/endpoints/{endpoint_id}",
        UPDATE,
        {"transport_type": "sse"},
        at={"endpoint_id": "server_endpoint"},
    ),
    servers(
        "DELETE",
        "/{name}/endpoints/{endpoint_id}",
        DELETE,
        fresh="server",
        at={"endpoint_id": "server_endpoint"},
        good=(200, 204),
    ),
    servers("POST", "/{name}/aliases", UPDATE, {"alias": "b", "version": "{server_version}"}, good=(200, 201, 204)),
    servers("GET", "/{name}/aliases/{alias}", READ, at={"alias": "server_alias"}),
    servers("DELETE", "/{name}/aliases/{alias}", DELETE, fresh="server", at={"alias": "server_alias"}, good=(200, 204)),
)

TABLES = {"registered models": MODELS, "webhooks": WEBHOOKS, "servers of MCP": MCP}
