"""The files that settings name are looked for where the caller says, not beside this project's code."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.stack import stack_spec
from platforms.workload import File
from problems import StackError
from settings.load import parse

CONFIG = {
    "mlflow-sso:mlflow": {
        "url": "https://ml.example.com",
        "tls": {"certificateFile": "certs/ml.pem", "keyFile": "certs/ml-key.pem"},
    },
    "mlflow-sso:keycloak": {
        "url": "https://sso.example.com:8443",
        "tls": {"certificateFile": "certs/sso.pem", "keyFile": "certs/sso-key.pem"},
    },
    "mlflow-sso:caBundle": "certs/ca.pem",
}
NAMES = ("ml.pem", "ml-key.pem", "sso.pem", "sso-key.pem", "ca.pem")


def text(name: str, owner: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{name} of {owner}\n-----END CERTIFICATE-----\n"


def files(root: Path) -> set[str]:
    spec = stack_spec(parse(CONFIG, "test", root))
    given: list[File] = [file for workload in spec.workloads for file in workload.files]
    return {str(file.content) for file in given}


def test_two_stacks_in_one_program_have_files_of_their_own(tmp_path: Path) -> None:
    for owner in ("a", "b"):
        (tmp_path / owner / "certs").mkdir(parents=True)
        for name in NAMES:
            (tmp_path / owner / "certs" / name).write_text(text(name, owner))
    for owner in ("a", "b"):
        assert files(tmp_path / owner) >= {text(name, owner) for name in NAMES}


def test_a_file_that_is_not_there_is_refused_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(StackError) as refused:
        parse(CONFIG, "test", tmp_path)
    assert {problem.where.partition(":")[2] for problem in refused.value.problems} >= {"caBundle"}
