"""What the guard itself answers: a status, and why, in the form that MLflow's clients read."""

import json
import random

from mlflow_sso.asgi import Send

# By `mlflow.protos.databricks_pb2`; clients repeat 408, 429 and 503 (`mlflow.utils.request_utils`, 3.17.2).
_CODES = {
    400: "BAD_REQUEST",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "BAD_REQUEST",
    408: "TEMPORARILY_UNAVAILABLE",
    413: "INVALID_PARAMETER_VALUE",
    416: "INVALID_PARAMETER_VALUE",
    429: "REQUEST_LIMIT_EXCEEDED",
    431: "INVALID_PARAMETER_VALUE",
    502: "TEMPORARILY_UNAVAILABLE",
    503: "TEMPORARILY_UNAVAILABLE",
    507: "RESOURCE_EXHAUSTED",
}


# Seconds.
_AGAIN = (5, 15)


class Refusal(Exception):
    """An answer in place of what was asked for. headers: beside those that each answer has."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    @property
    def body(self) -> bytes:
        return json.dumps({"error_code": _CODES[self.status], "message": self.message}).encode()

    async def send(self, send: Send) -> None:
        """Sends it whole."""
        await self.start(send, len(self.body))
        await send({"type": "http.response.body", "body": self.body})

    async def begin(self, send: Send) -> None:
        """Sends all of it but the end, which the caller sends once it has read what the client still had to say."""
        await self.start(send, len(self.body))
        await send({"type": "http.response.body", "body": self.body, "more_body": True})

    async def start(self, send: Send, length: int) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(length).encode()), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})


def later(status: int, message: str) -> Refusal:
    """429 or 503, with the time after which to ask again: those who are told at once do not come back at once.

    MLflow's client asks seven times more, each time after what it is told here and no longer (urllib3, `Retry.sleep`).
    """
    return Refusal(status, message, retry_after=str(random.randint(*_AGAIN)))  # noqa: S311  It is no secret.
