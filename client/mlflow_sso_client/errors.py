"""What can go wrong when a command speaks to Keycloak or MLflow: one line each, with cause and next step.

Each access error has an exit code of its own, so that a script can tell them apart (`mlflow-sso --help` lists them).
No message holds a secret: they are put together from names, addresses and status codes alone.
"""

from __future__ import annotations

from typing import ClassVar

from mlflow_sso_client.words import line

# Characters of a cause: a server may have told it.
_LONGEST = 1000


class AccessError(Exception):
    """A request that could not be answered. `cause` and `next_step` make one line together."""

    exit_code: ClassVar[int] = 1

    def __init__(self, cause: str, next_step: str) -> None:
        self.cause = line(cause, _LONGEST)
        self.next_step = line(next_step, _LONGEST)
        super().__init__(f"{self.cause}; {self.next_step}")


class RefusedError(AccessError):
    """What was asked contradicts itself or was not confirmed; nothing was changed."""

    exit_code = 2


class NotLoggedInError(AccessError):
    """There is no login here, or it has expired or was revoked."""

    exit_code = 3


class CredentialsError(AccessError):
    """A wrong password, client secret or personal access token."""

    exit_code = 4


class UnknownNameError(AccessError):
    """No user, group, client, token or session of that name or id."""

    exit_code = 5


class NotAdminError(AccessError):
    """Known by name, and not allowed to do this."""

    exit_code = 6


class KeycloakDownError(AccessError):
    """Keycloak does not answer, or answers with a failure of its own."""

    exit_code = 7


class MlflowDownError(AccessError):
    """MLflow does not answer, or answers with a failure of its own."""

    exit_code = 8


class CertificateError(AccessError):
    """A server's certificate is not signed by a CA that is trusted here."""

    exit_code = 9
