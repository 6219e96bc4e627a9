"""`python -m mlflow_sso.gc --artifacts ROOT show|remove ...`: documents of JSON, each on a line of its own.

`show` writes one. `remove` writes one for each thing as it is done, `{"kind", "id", "failed"}`, and the grants last.
"""

import argparse
import json
import logging
import os
from typing import Any

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
remove.add_argument("things", nargs="*", help="a kind (experiment, run, model, traces), a colon and an id")
remove.add_argument("--grants", action="store_true", help="and then the grants on experiments that are no more")


def tell(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    databases.size()
    places = Places(given.artifacts)
    rows = Rows(os.environ["MLFLOW_BACKEND_STORE_URI"], places, own=given.artifacts.startswith("/"))
    trash = Trash(rows, places, Grants(os.environ["OIDC_USERS_DB_URI"]))
    if given.what == "show":
        tell(trash.shown(given.older_than))
    else:
        for thing in given.things:
            kind, _, name = thing.partition(":")
            tell({"kind": kind, "id": name, "failed": trash.remove(kind, name)})
        if given.grants:
            tell({"grants": trash.remove_grants()})
