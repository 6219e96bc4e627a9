"""Variables of the operator's own, beside those of the stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.stack import stack_spec
from problems import StackError
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


@pytest.mark.parametrize("sign", ["\0", "\ud800"])
def test_what_no_program_can_be_given_is_refused_by_its_key(sign: str) -> None:
    text = f"a{sign}b"
    mlflow = {"env": {"A": text, "B": "b"}, "secretEnv": {"C": text}}
    login = {"database": "d", "username": f"u{sign}", "password": text}
    external = {"host": "db.example.com", "mlflow": login, "oidc": {**login, "database": "o", "username": "o"}}
    realm = {"displayName": text, "users": [{"username": "x", "firstName": text}]}
    with pytest.raises(StackError) as error:
        settings({"mlflow": mlflow, "postgres": {"external": external}, "realm": realm})
    assert {problem.where.partition(":")[2] for problem in error.value.problems} >= {
        "mlflow.env.A",
        "realm.displayName",
        "realm.users[0].firstName",
        "mlflow.secretEnv.C",
        "postgres.external.mlflow.username",
        "postgres.external.mlflow.password",
        "postgres.external.oidc.password",
    }
    assert "mlflow.env.B" not in str(error.value)
    assert "NUL" in str(error.value)
