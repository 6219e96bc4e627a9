"""What moves artifacts of a store for anybody, without the application that knows who may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlflow_sso.artifacts.transfers import Store, Transfers
from mlflow_sso.guard import Errand, Guard, Limits, Origins
from mlflow_sso.guard.guard import ERRAND
from mlflow_sso.guard.pace import Calls, Pace

from tests.unit.asgi_client import Answer, ask, reply, run

PREFIX = "/api/2.0/mlflow-artifacts/artifacts/"


class Server:
    """A guard around a store, in which everybody may do everything."""

    def __init__(self, store: Store) -> None:
        transfers = Transfers(lambda: store, lambda path: path, 4, Pace(Calls()))
        self.guard = Guard(self._let_in, Limits(idle_seconds=0.2), Origins((), ()), transfers)

    @staticmethod
    async def _let_in(scope: Any, receive: Any, send: Any) -> None:
        errand = scope[ERRAND]
        assert isinstance(errand, Errand)
        errand.user, errand.told = "bob", {"artifact_path": scope["path"].removeprefix(PREFIX)}
        await reply(send, 204)

    def ask(self, method: str, path: str, pieces: Iterable[bytes] = (), **more: Any) -> Answer:
        return run(ask(self.guard, method, PREFIX + path, pieces, **more))


def cut(content: bytes, step: int = 65536) -> list[bytes]:
    """A body as it comes."""
    return [content[at : at + step] for at in range(0, len(content), step)]
