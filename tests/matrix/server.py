"""What is asked of the server's own process: its routes, and what its databases and files hold."""

from __future__ import annotations

import json
from typing import Any

# Prints each route of the application as "METHOD /path", its parameters in braces. Runs where MLflow is installed.
# HEAD goes with GET everywhere; OPTIONS is answered by Flask itself, which adds it to every route.
ROUTES = r"""
import re
from fastapi.routing import iter_route_contexts
from mlflow_oidc_auth.app import app
import mlflow_sso.served
from mlflow.server import app as flask

for route in iter_route_contexts(app.routes):
    for method in (route.methods or ()):
        path = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
        if method != "HEAD" or path.startswith("/scim/"):
            print("ROUTE", method, path)
for rule in flask.url_map.iter_rules():
    for method in rule.methods - {"HEAD", "OPTIONS"}:
        print("ROUTE", method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
"""


def routes(printed: str) -> set[str]:
    """The routes among the lines that ROUTES printed."""
    return {line.removeprefix("ROUTE ") for line in printed.splitlines() if line.startswith("ROUTE ")}


# Columns and tables that say who asked when, and not what there is.
CLOCKS = "last_used_at,last_seen_at,last_login_at,issued_at"
DIARIES = "'scim_activity', 'mlflow_sso_looks'"

# A line for each table of a database: its name, and a digest of its rows. For psql, which runs what it selects.
DIGESTS = r"""
SELECT format(
  'SELECT %L, md5(coalesce(string_agg(line, chr(10) ORDER BY line), ''''))'
  ' FROM (SELECT (to_jsonb(t) - %L::text[])::text AS line FROM %I t) AS lines',
  table_name, '{CLOCKS}', table_name)
FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name NOT IN (DIARIES)
\gexec
""".replace("CLOCKS", CLOCKS).replace("DIARIES", DIARIES)


def digests(database: str, printed: str) -> dict[str, str]:
    """The digests of tables among what psql printed, by database and table."""
    lines = [line.split("|") for line in printed.splitlines() if line.count("|") == 1]
    return {f"{database}.{table}": digest for table, digest in lines}


# Prints what each route takes, as JSON schemas: of protobuf routes by their descriptors, of FastAPI's by its OpenAPI.
SCHEMAS = r"""
import json, re
import mlflow_sso.served
from mlflow.server.handlers import get_endpoints
from mlflow_oidc_auth.app import app

KINDS = {1: "number", 2: "number", 8: "boolean", 9: "string", 12: "string"}

def of(message, depth=0):
    properties = {}
    for field in message.fields:
        if field.message_type is None:
            names = field.enum_type and [value.name for value in field.enum_type.values]
            schema = {"enum": names} if names else {"type": KINDS.get(field.type, "integer")}
        else:
            schema = of(field.message_type, depth + 1) if depth < 3 else {"type": "object"}
        properties[field.name] = {"type": "array", "items": schema} if field.is_repeated else schema
    return {"type": "object", "properties": properties}

found = {}
for path, message, methods in get_endpoints(lambda message: message):
    if hasattr(message, "DESCRIPTOR"):
        for method in methods:
            found[method + " " + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)] = of(message.DESCRIPTOR)
document = app.openapi()
for path, methods in document["paths"].items():
    for method, about in methods.items():
        body = about.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        asked = {each["name"]: each.get("schema", {}) for each in about.get("parameters", []) if each["in"] == "query"}
        found[method.upper() + " " + path] = {"body": body, "query": asked}
found["$components"] = document.get("components", {}).get("schemas", {})
print("SCHEMAS", json.dumps(found))
"""


def schemas(printed: str) -> dict[str, Any]:
    """What SCHEMAS printed: a schema by the name of a route, and under `$components` what they name."""
    (line,) = (line for line in printed.splitlines() if line.startswith("SCHEMAS "))
    return dict(json.loads(line.removeprefix("SCHEMAS ")))
