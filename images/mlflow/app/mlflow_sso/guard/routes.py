"""Which kind of request a method and a path are; each kind has its own limits."""

from enum import Enum, auto


class Kind(Enum):
    """What is asked for.

    OPEN: what anybody may see: probes, pages of the login, the page's scripts.
    UPLOAD, DOWNLOAD: an artifact, which goes between the client and the store without being held.
    TRACE: spans. MODEL: a call that waits for a model of somebody else's. DIRECTORY: SCIM, with a token of its own.
    ACCOUNT: users, groups, tokens, permissions. QUERY: GraphQL. API: everything else.
    """

    OPEN = auto()
    UPLOAD = auto()
    DOWNLOAD = auto()
    TRACE = auto()
    MODEL = auto()
    DIRECTORY = auto()
    ACCOUNT = auto()
    QUERY = auto()
    API = auto()


# As mlflow-oidc-auth compares them (`middleware.route_path`, 11.0.2): by the first letters. The image's build holds
# this list against the plugin's.
_OPEN = (
    "/health", "/metrics", "/login", "/callback", "/logout", "/docs", "/redoc", "/openapi.json", "/static",
    "/favicon.ico", "/oidc/static", "/oidc/ui", "/providers", "/slo/", "/saml/metadata/",
)  # fmt: skip
_DIRECTORY = "/scim/"
# As the plugin compares it (`middleware.fastapi_permission_middleware`, 11.0.2).
_JOBS = "/ajax-api/3.0/jobs"
_API = ("/api/", "/ajax-api/")
_ARTIFACTS = "2.0/mlflow-artifacts/artifacts/"
_ACCOUNT = ("users", "groups", "permissions", "workspaces", "workspace-rules")
_TRANSFERS = {"PUT": Kind.UPLOAD, "GET": Kind.DOWNLOAD, "HEAD": Kind.DOWNLOAD}
OPEN_METHODS = ("GET", "HEAD")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")


def kind(method: str, path: str) -> Kind:
    """The kind of a request. path: decoded, without what stands before the application's own paths."""
    if path.startswith(_OPEN):
        return Kind.OPEN
    if path.startswith("/v1/traces"):
        return Kind.TRACE
    if path.startswith("/graphql"):
        return Kind.QUERY
    if path.startswith("/gateway/"):
        return Kind.MODEL
    if path.startswith(_DIRECTORY):
        return Kind.DIRECTORY
    if path.startswith("/oidc/"):
        return Kind.ACCOUNT
    for prefix in _API:
        if path.startswith(prefix):
            return _api(method, path.removeprefix(prefix))
    return Kind.API


def judged_by_body(what: Kind, path: str) -> bool:
    """Whether the plugin reads the body to know whether its sender may: which endpoint, or which experiment."""
    return what is Kind.MODEL or path.startswith(_JOBS)


def is_file(path: str) -> bool:
    """Whether the body of a call is a file of whatever kind, which MLflow does not read as JSON."""
    return path == "/ajax-api/2.0/mlflow/upload-artifact"


def is_message(what: Kind, path: str, content_type: bytes) -> bool:
    """Whether the body of a call is a message of OpenTelemetry's, and no JSON; MLflow reads all others as JSON.

    Source: `mlflow.server.otel_api.export_traces` of MLflow 3.17.2.
    """
    media = content_type.partition(b";")[0].strip()
    return what is Kind.TRACE and path.startswith("/v1/traces") and media == b"application/x-protobuf"


def _api(method: str, path: str) -> Kind:
    if path.startswith(_ARTIFACTS) and len(path) > len(_ARTIFACTS):
        return _TRANSFERS.get(method, Kind.API)
    parts = path.split("/")
    if len(parts) > 2 and parts[1] == "mlflow":
        if parts[2] == "traces":
            return Kind.TRACE
        if parts[2] in _ACCOUNT:
            return Kind.ACCOUNT
    return Kind.API
