"""What the doctor can find, and how a finding is written without a secret in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

# Every finding by its id, with what it means to people. Each has a section in docs/guides/troubleshooting.md.
KINDS: Mapping[str, str] = {
    "stack-missing": "Nothing of this stack runs here",
    "container-not-running": "A program of the stack does not run",
    "container-restarting": "A program of the stack starts again and again",
    "container-out-of-memory": "A program of the stack needed more memory than it may have",
    "container-unhealthy": "A program of the stack runs and does not serve",
    "job-failed": "The last run of a job failed",
    "container-outdated": "A running container differs from the stack's definition",
    "pod-pending": "A pod of the stack waits for a node, a volume or a network",
    "pod-refused": "The cluster does not take a pod of the stack",
    "image-unavailable": "A node cannot get the image of a program",
    "object-outdated": "An object of the stack is missing, or is not as it is defined",
    "network-policy": "A rule of who may connect is missing or changed",
    "mesh-policy": "A rule of the mesh is missing, changed or not in force",
    "waypoint": "The waypoint that guards the trace intake does not work",
    "not-in-mesh": "A part of the stack is outside the mesh",
    "disk-full": "A disk that the stack writes to is full",
    "database-password": "The database refuses a program's password",
    "database-unreachable": "A program cannot reach its database",
    "name-lookup": "A program does not find another one by its name",
    "redis-address": "MLflow was given the wrong address of Redis",
    "redis-password": "Redis refuses MLflow's password",
    "redis-unreachable": "MLflow cannot reach Redis",
    "cache-store": "MLflow's cache or session type has no store behind it",
    "localhost-in-container": "A program looks for another one at localhost, which is its own container",
    "internal-hostname": "A browser is sent to a name that only containers know",
    "mlflow-unreachable": "MLflow does not answer at its public URL",
    "keycloak-unreachable": "Keycloak does not answer at its public URL",
    "discovery": "MLflow cannot read what Keycloak says of itself",
    "https-required": "Keycloak demands HTTPS where it is reached over HTTP",
    "client-credentials": "MLflow's client id or secret is not the one Keycloak knows",
    "redirect-uri": "Keycloak does not send browsers back to where MLflow asks it to",
    "scope": "Keycloak refuses the scopes that MLflow asks for",
    "keycloak-admin": "The service account that manages the realm cannot log in",
    "mail-server": "Keycloak cannot send mail",
    "directory": "Keycloak cannot use an LDAP directory",
    "identity-provider": "People of an identity provider cannot log in, or soon cannot",
    "second-factor": "Keycloak does not ask for the second factor that is required",
    "session-limit": "Keycloak does not limit sessions as the settings say",
    "theme": "Keycloak does not have the theme that its pages or mails are to have",
    "terms": "People are asked to accept the terms of use, and cannot",
    "groups-claim": "Tokens do not say which groups their user is in",
    "group-names": "MLflow and Keycloak do not mean the same groups",
    "group-grants": "MLflow has grants for groups that no token names",
    "group-roles": "Tokens name a group for others than those in it, or for nobody",
    "audience": "The audience of tokens is not checked, or does not match",
    "issuer": "The issuer of tokens is not checked, or does not match",
    "ca-chain": "A certificate is not trusted",
    "clock-skew": "Two clocks differ by more than tokens allow for",
    "allowed-hosts": "MLflow refuses its own public name",
    "not-examined": "A part of the stack could not be examined",
}

# What a program's lost database looks like from elsewhere.
_OF_A_DATABASE = frozenset(
    {"container-unhealthy", "container-restarting", "mlflow-unreachable", "keycloak-unreachable", "discovery"}
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    evidence: what was seen. cause: why it is so. fix: the command that mends it.
    elsewhere: what is wrong is outside the stack, so that nothing of the stack is the reason for it.
    """

    id: str
    evidence: str
    cause: str
    fix: str
    elsewhere: bool = False

    @property
    def what(self) -> str:
        return KINDS[self.id]

    def row(self) -> dict[str, str]:
        own = asdict(self)
        del own["elsewhere"]
        return {"id": own.pop("id"), "what": self.what, **own}


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The findings as they are to be mended: what follows from a server outside the stack says so, and comes last."""
    given = list(findings)
    root = next((one for one in given if one.elsewhere and one.id == "database-unreachable"), None)
    if root is None:
        return given
    first = [one for one in given if one.id not in _OF_A_DATABASE]
    # The last line of a program's log is seldom about its database.
    cause = f"it follows from {root.id}: mend that first, and look again"
    return first + [replace(one, cause=cause, fix=root.fix) for one in given if one.id in _OF_A_DATABASE]


class Mask:
    """Hides secrets in findings: messages of other programs are quoted in them, and may hold anything."""

    _NAMES = ("PASSWORD", "SECRET", "_KEY", "TOKEN", "AUTH", "_URI", "_URL")
    _SHORTEST = 8

    def __init__(self, values: Iterable[str]) -> None:
        # Longest first: one secret may begin with another.
        self._values = sorted({v for v in values if len(v) >= self._SHORTEST}, key=len, reverse=True)

    @staticmethod
    def secrets_of(env: Mapping[str, str]) -> list[str]:
        """The values of an environment that are secret by their name, and the passwords in its URLs."""
        found = []
        for name, value in env.items():
            if "://" in value:
                userinfo, at, _ = value.partition("://")[2].rpartition("@")
                found += [userinfo.partition(":")[2]] if at else []
            elif any(part in name for part in Mask._NAMES):
                found.append(value)
        return found

    def text(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, "[secret]")
        return text

    def finding(self, finding: Finding) -> Finding:
        return replace(
            finding,
            evidence=self.text(finding.evidence),
            cause=self.text(finding.cause),
            fix=self.text(finding.fix),
        )
