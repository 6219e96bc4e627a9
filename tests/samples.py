"""Settings that the tests start from, and secrets that are easy to find again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from settings import PROJECT, Settings, parse

# The programs that a stack of these samples runs where none is elsewhere.
PROGRAMS = ("postgres", "redis", "keycloak", "mlflow")
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nnot a real one\n-----END CERTIFICATE-----\n"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\noperators-own-tls-key\n-----END PRIVATE KEY-----\n"
# With every sign that means something in a URL, and none that an env file cannot carry.
OPERATORS_PASSWORD = "operators-own/p@ss:w%rd #1?"
# What each of the operator's own secrets contains; no plain value of a stack does.
OPERATORS_OWN = "operators-own"


def settings(config: dict[str, Any] | None = None, stack: str = "test", root: Path = Path("/")) -> Settings:
    return parse({f"{PROJECT}:{key}": value for key, value in (config or {}).items()}, stack, root)


def write_pem(folder: Path) -> dict[str, str]:
    """The paths of a CA bundle, a certificate and its key, as settings spell them."""
    for name, text in (("ca.pem", CERTIFICATE), ("tls.crt", CERTIFICATE), ("tls.key", PRIVATE_KEY)):
        (folder / name).write_text(text)
    return {"ca": str(folder / "ca.pem"), "certificate": str(folder / "tls.crt"), "key": str(folder / "tls.key")}


def everything(folder: Path) -> dict[str, Any]:
    """A stack that runs each of its parts and uses most of its settings."""
    pem = write_pem(folder)
    tls = {"certificateFile": pem["certificate"], "keyFile": pem["key"]}
    return {
        "environment": "staging",
        "mlflow": {
            "url": "https://mlflow.example.com:5443",
            "port": 5443,
            "tls": tls,
            "env": {"GREETING": "costs $5, ${HOME} too"},
            "secretEnv": {"MODEL_API_KEY": "operators-own-api-key"},
        },
        "keycloak": {"url": "https://id.example.com:8443", "port": 8443, "tls": tls},
        "postgres": {"separateKeycloak": True},
        "redis": {"persistent": True, "db": 3},
        "caBundle": pem["ca"],
        "realm": {
            "groups": {"admins": ["ml admins", "owners"], "users": ["researchers"]},
            "users": [
                {"username": "carol", "groups": ["researchers"], "password": OPERATORS_PASSWORD},
                {"username": "dave.x", "email": "dave@example.com", "groups": ["owners"]},
                {"username": "dave-x"},
            ],
            "serviceAccounts": [{"clientId": "pipeline", "groups": ["researchers"]}, {"clientId": "idle"}],
        },
    }


def elsewhere() -> dict[str, Any]:
    """A stack whose Postgres, Redis, Keycloak and artifacts are there already."""
    login = {"username": "someone", "password": OPERATORS_PASSWORD}
    return {
        "environment": "prod",
        "mlflow": {
            "url": "https://mlflow.example.com",
            "tls": {"proxy": True},
            "s3": {"bucket": "models", "accessKeyId": "AKIA", "secretAccessKey": "operators-own-s3-key"},
        },
        "keycloak": {
            "url": "https://id.example.com",
            "tls": {"proxy": True},
            "existing": {"adminClientId": "admin-tool", "adminClientSecret": "operators-own-admin-secret"},
        },
        "realm": {"name": "company"},
        "postgres": {
            "external": {
                "host": "db.example.com",
                "mlflow": {"database": "m", **login},
                "oidc": {"database": "o", **login},
            }
        },
        "redis": {"external": {"host": "cache.example.com", "port": 6380, "password": OPERATORS_PASSWORD}},
    }
