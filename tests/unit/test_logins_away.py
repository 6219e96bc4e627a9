"""What a login is answered that cannot begin, without MLflow and the plugin."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow_sso.logins import _begun


class Refused(Exception):
    """An answer as FastAPI has it."""

    def __init__(self, status_code: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status_code, self.headers = status_code, headers


class Status(Exception):
    """An answer of the issuer's that is an error."""

    def __init__(self, status_code: int) -> None:
        super().__init__()
        self.response = SimpleNamespace(status_code=status_code)


class Transport(Exception):
    """No answer of the issuer's."""


class Database(Exception):
    """No answer of the database's."""


@pytest.fixture(autouse=True)
def _plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = dict.fromkeys(("InterfaceError", "OperationalError", "TimeoutError"), Database)
    for name, module in {
        "fastapi": SimpleNamespace(HTTPException=Refused),
        "httpx2": SimpleNamespace(HTTPStatusError=Status, TransportError=Transport),
        "sqlalchemy": SimpleNamespace(),
        "sqlalchemy.exc": SimpleNamespace(**errors),
    }.items():
        monkeypatch.setitem(sys.modules, name, module)


def answered(status: int, *causes: Exception) -> Refused:
    """How a login is refused of which the plugin says `status`. causes: the last one first."""

    async def login(request: str) -> Any:
        error: Exception | None = None
        for cause in reversed(causes):
            cause.__cause__, error = error, cause
        raise Refused(status, "Failed to initiate OIDC login") from error

    with pytest.raises(Refused) as refused:
        asyncio.run(_begun(login)("a request"))
    return refused.value


@pytest.mark.parametrize(
    "causes",
    [
        [Transport()],
        [Status(502)],
        [ValueError(), Database()],
        [RuntimeError(), ConnectionRefusedError()],
    ],
)
def test_a_login_says_when_to_ask_again_while_another_server_is_away(causes: list[Exception]) -> None:
    told = answered(500, *causes)
    assert (told.status_code, told.headers) == (503, {"Retry-After": "5"})


@pytest.mark.parametrize(
    ("status", "causes"), [(500, []), (500, [Status(404)]), (500, [ValueError()]), (404, [Transport()])]
)
def test_any_other_login_that_fails_is_the_plugins(status: int, causes: list[Exception]) -> None:
    told = answered(status, *causes)
    assert (told.status_code, told.headers) == (status, None)
