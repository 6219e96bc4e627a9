"""Variables of the operator's own, beside those of the stack."""

from __future__ import annotations

from pathlib import Path

from components.stack import stack_spec
from tests.samples import everything, settings


def test_variables_of_the_operators_own_are_let_through(tmp_path: Path) -> None:
    own = {
        "OIDC_HTTP_TIMEOUT_SECONDS": "9",
        "OIDC_GROUP_NAME_PATTERN": "team-*",
        "LOG_LEVEL": "DEBUG",
        "AWS_REGION": "x",
    }
    config = everything(tmp_path)
    config["mlflow"]["env"] = own
    env = next(w for w in stack_spec(settings(config)).workloads if w.name == "mlflow").env
    assert own.items() <= env.items()
