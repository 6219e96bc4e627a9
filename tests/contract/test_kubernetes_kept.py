"""Secrets that the cluster keeps already: pods are given them, and the stack never learns their values."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from problems import StackError
from settings import PROJECT, ROOT, parse
from stackctl.state import ALPHABET
from tests.contract.kubernetes_samples import KEPT, container, controllers, every, of_kind, plan, rendered, values

pytestmark = pytest.mark.usefixtures("components")

# With every sign that means something in a URL, to a shell, or to Kubernetes.
AWKWARD = "p@ss:w/rd %#?&+ '\"$(HOME) ${HOME} $$ \\ \u00fc"


def variables(workload: str, config: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return list(container(controllers(every(config or KEPT))[workload])["env"])


def in_the_pod(workload: str, held: dict[tuple[str, str], str]) -> dict[str, str]:
    """The environment that the kubelet makes (API reference, EnvVar): one variable after the other."""
    env: dict[str, str] = {}
    for one in variables(workload):
        reference = one.get("valueFrom", {}).get("secretKeyRef")
        if reference:
            env[one["name"]] = held.get((reference["name"], reference["key"]), "generated")
        else:
            replace = lambda m: "$" if m[0] == "$$" else env.get(m[1], m[0])  # noqa: E731
            env[one["name"]] = re.sub(r"\$(?:\$|\((\w+)\))", replace, one["value"])
    return env


def completed(env: dict[str, str]) -> dict[str, str]:
    """The environment after the entrypoint of MLflow's image has completed the URLs, as a shell sees it."""
    made = subprocess.run(
        (sys.executable, "-I", str(ROOT / "images/mlflow/urls.py")), env=env, capture_output=True, text=True, check=True
    ).stdout
    script = 'eval "$1"; exec env -0'
    shell = subprocess.run(("bash", "-c", script, "-", made), env={**env, "PATH": os.environ["PATH"]},
                           capture_output=True, text=True, check=True)  # fmt: skip
    return dict(line.split("=", 1) for line in shell.stdout.split("\0") if line)


HELD = {
    ("db-keycloak", "password"): AWKWARD,
    ("db-mlflow", "password"): AWKWARD + "m",
    ("db-oidc", "password"): AWKWARD + "o",
    ("cache", "redis.password"): AWKWARD + "r",
    ("s3.artifacts", "id"): "AKIA",
    ("s3.artifacts", "secret"): AWKWARD + "s",
}


def test_each_program_is_given_what_it_logs_in_with() -> None:
    env = completed(in_the_pod("mlflow", HELD))
    for name, part in (("MLFLOW_BACKEND_STORE_URI", "mlflow"), ("OIDC_USERS_DB_URI", "oidc")):
        url = urlsplit(env[name])
        assert (url.username, unquote(url.password or "")) == (part, HELD[f"db-{part}", "password"])
        assert (url.scheme, url.hostname, url.port, url.path) == (
            "postgresql+psycopg2", "db.example.com", 5432, f"/{part}"
        )  # fmt: skip
        assert url.query == "sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt"
    assert env["CACHE_REDIS_URL"].startswith("rediss://:p%40ss%3Aw%2Frd%20%25%23%3F%26%2B%20%27%22%24%28HOME%29")
    assert env["CACHE_REDIS_URL"].endswith("r@cache.example.com:6379/0")
    assert env["AWS_ACCESS_KEY_ID"] == "AKIA"
    assert env["AWS_SECRET_ACCESS_KEY"] == AWKWARD + "s"
    assert in_the_pod("keycloak", HELD)["KC_DB_PASSWORD"] == AWKWARD, "the command spells it (test_any_password.py)"


def test_what_is_put_into_another_variable_stands_before_it() -> None:
    """Kubernetes leaves a reference to a variable that comes later as it is."""
    names = [one["name"] for one in variables("mlflow")]
    url = names.index("MLFLOW_BACKEND_STORE_URI")
    assert names.index("STACK_KEPT_POSTGRES_MLFLOW_PASSWORD") < url
    assert len(names) == len(set(names))


def test_the_stack_neither_makes_nor_holds_them() -> None:
    known = set(values(KEPT))
    assert not {name for name in known if "postgres" in name or "redis" in name or "s3" in name}
    names = {re.sub(f"-[{ALPHABET}]+$", "", name) for name in of_kind([*rendered(KEPT).secrets], "Secret")}
    holding = {w.name for w in plan(KEPT).workloads if any(not text.kept for text in w.secret_env.values())}
    assert names == {"mlflow-oauth", *(f"{name}-secrets" for name in holding)}
    assert holding >= {"keycloak", "mlflow"}


def test_tls_and_its_roots_are_those_of_any_external_store(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    env = in_the_pod("keycloak", HELD)
    assert "sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt" in env["KC_DB_URL"]
    with_ca = {**KEPT, "caBundle": str(tmp_path / "ca.pem")}
    found = {one["name"]: one.get("value", "") for one in variables("mlflow", with_ca)}
    assert "sslrootcert=/etc/stack-ca/ca.pem" in found["OIDC_USERS_DB_URI"]


def refused(config: dict[str, Any]) -> str:
    with pytest.raises(StackError) as caught:
        parse({f"{PROJECT}:{key}": value for key, value in config.items()}, "test")
    return str(caught.value)


def test_docker_keeps_no_secrets_and_says_so_for_each() -> None:
    text = refused({key: value for key, value in KEPT.items() if key in ("postgres", "redis")} | {
        "mlflow": {"s3": {"bucket": "artifacts", "existingSecret": {"name": "s3"}}}
    })  # fmt: skip
    for part in ("keycloak", "mlflow", "oidc"):
        assert f"postgres.external.{part}.existingSecret = db-{part}: expected password in its place" in text
    assert "redis.external.existingSecret = cache: expected password in its place" in text
    assert "mlflow.s3.existingSecret = s3: expected accessKeyId and secretAccessKey in its place" in text
    assert "platform: kubernetes, which keeps Secrets" in text


def test_one_source_for_each_credential() -> None:
    both: dict[str, Any] = {"database": "m", "username": "m", "password": "x", "existingSecret": {"name": "y"}}
    neither = {"database": "o", "username": "o"}
    text = refused({
        "platform": "kubernetes",
        "postgres": {"external": {"host": "db.example.com", "mlflow": both, "oidc": neither}},
        "redis": {"external": {"host": "cache.example.com", "password": "x", "existingSecret": {"name": "y"}}},
        "mlflow": {"s3": {"bucket": "b", "accessKeyId": "AKIA", "existingSecret": {"name": "NOT_A_NAME"}}},
    })  # fmt: skip
    assert text.count("expected password or, on Kubernetes, existingSecret") == 2
    assert "redis.external: expected password or existingSecret, not both" in text
    assert "mlflow.s3.existingSecret.name" in text
