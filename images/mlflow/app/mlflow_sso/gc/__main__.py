"""`python -m mlflow_sso.gc --artifacts ROOT show|remove|grants ...`: one document of JSON on the last line."""

import argparse
import json
import logging
import os

from mlflow_sso import databases
from mlflow_sso.gc.grants import Grants
from mlflow_sso.gc.places import Places
from mlflow_sso.gc.rows import Rows
from mlflow_sso.gc.trash import Trash

parser = argparse.ArgumentParser(prog="python -m mlflow_sso.gc", allow_abbrev=False)
parser.add_argument("--artifacts", required=True, help="where the server keeps artifacts")
what = parser.add_subparsers(dest="what", required=True)
show = what.add_parser("show")
show.add_argument("--older-than", type=int, default=0, help="milliseconds")
remove = what.add_parser("remove")
remove.add_argument("kind", choices=("experiment", "run", "model", "traces"))
remove.add_argument("ids", nargs="+")
what.add_parser("grants")

if __name__ == "__main__":
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    databases.size()
    places = Places(given.artifacts)
    rows = Rows(os.environ["MLFLOW_BACKEND_STORE_URI"], places, own=given.artifacts.startswith("/"))
    trash = Trash(rows, places, Grants(os.environ["OIDC_USERS_DB_URI"]))
    if given.what == "show":
        answer = trash.shown(given.older_than)
    elif given.what == "remove":
        answer = trash.remove(given.kind, given.ids)
    else:
        answer = {"grants": trash.remove_grants()}
    print(json.dumps(answer))
