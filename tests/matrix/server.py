"""What is asked of the server's own process: its routes, and what its databases and files hold."""

from __future__ import annotations

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
CLOCKS = "last_used_at,last_seen_at,last_login_at"
DIARY = "scim_activity"

# A line for each table of a database: its name, and a digest of its rows. For psql, which runs what it selects.
DIGESTS = r"""
SELECT format(
  'SELECT %L, md5(coalesce(string_agg(line, chr(10) ORDER BY line), ''''))'
  ' FROM (SELECT (to_jsonb(t) - %L::text[])::text AS line FROM %I t) AS lines',
  table_name, '{CLOCKS}', table_name)
FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'DIARY'
\gexec
""".replace("CLOCKS", CLOCKS).replace("DIARY", DIARY)


def digests(database: str, printed: str) -> dict[str, str]:
    """The digests of tables among what psql printed, by database and table."""
    lines = [line.split("|") for line in printed.splitlines() if line.count("|") == 1]
    return {f"{database}.{table}": digest for table, digest in lines}
