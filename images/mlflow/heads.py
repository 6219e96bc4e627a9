"""Prints the newest schema revision of each database, as JSON; run once, as the image is built."""

import json
from pathlib import Path

import mlflow
import mlflow_oidc_auth
from alembic.script import ScriptDirectory

places = {
    "mlflow": Path(mlflow.__file__).parent / "store" / "db_migrations",
    "oidc": Path(mlflow_oidc_auth.__file__).parent / "db" / "migrations",
}
print(json.dumps({name: ScriptDirectory(str(path)).get_current_head() for name, path in places.items()}))
