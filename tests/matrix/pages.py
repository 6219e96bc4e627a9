"""Pages, logins, probes, GraphQL, jobs, the assistant, and what is left."""

from __future__ import annotations

from tests.matrix.rows import ADMIN, AJAX, ANYBODY, LOGIN, READ, ROOT, UPDATE, Row, under
from tests.matrix.traces import NO_JOBS

root = under("", ROOT)
NO_SAML = "a provider of SAML's is not set up"

PAGES: tuple[Row, ...] = (
    root("GET", "", LOGIN),
    root("GET", "build/{filename}", LOGIN, at={"filename": "tag"}, good=404, never="MLflow's pages have no such files"),
    root("GET", "static-files/{path}", ANYBODY, at={"path": "page_file"}),
    root("GET", "version", LOGIN),
    root("GET", "oidc/ui", ANYBODY, good=(200, 302, 307)),
    root("GET", "oidc/ui/", ANYBODY),
    root("GET", "oidc/ui/config.json", ANYBODY),
    root("GET", "oidc/ui/{filename}", ANYBODY, at={"filename": "tag"}),
    *(root("GET", f"health{part}", ANYBODY) for part in ("", "/ready", "/live", "/startup")),
    root("GET", "metrics", ANYBODY),
    under("3.0/mlflow/")("GET", "server-info", LOGIN),
    under("3.0/mlflow/", AJAX)("GET", "ui-telemetry", LOGIN),
    under("3.0/mlflow/", AJAX)("POST", "ui-telemetry", LOGIN, {"records": []}),
    under("3.0/mlflow/", AJAX)("POST", "demo/generate", ADMIN, {"features": []}),
    under("3.0/mlflow/", AJAX)("POST", "demo/delete", ADMIN),
)

LOGINS: tuple[Row, ...] = (
    root("GET", "providers", ANYBODY),
    root("GET", "login", ANYBODY, good=(302, 307)),
    root("GET", "login/{provider_id}", ANYBODY, at={"provider_id": "provider"}, good=(302, 307)),
    root(
        "GET", "callback", ANYBODY, good=(302, 307, 400), never="it wants the state of a login that began in a browser"
    ),
    root(
        "GET",
        "callback/{provider_id}",
        ANYBODY,
        at={"provider_id": "provider"},
        good=(302, 307, 400),
        never="it wants the state of a login that began in a browser",
    ),
    root(
        "POST",
        "callback/{provider_id}",
        ANYBODY,
        at={"provider_id": "provider"},
        good=(302, 400, 403, 404, 405),
        never=NO_SAML,
    ),
    root("GET", "slo/{provider_id}", ANYBODY, at={"provider_id": "provider"}, good=(302, 400, 404), never=NO_SAML),
    root("GET", "saml/metadata/{provider_id}", ANYBODY, at={"provider_id": "provider"}, good=404, never=NO_SAML),
    root("GET", "auth/status", LOGIN),
)

QUERY = "query q($id: String) { mlflowGetExperiment(input: {experimentId: $id}) { experiment { tags { value }}}}"
ASKED = {"query": QUERY, "variables": {"id": "{experiment_id}"}}
GRAPHQL: tuple[Row, ...] = (
    root("GET", "graphql", LOGIN, good=400, never="MLflow's route for it reads a body, and a GET has none"),
    root("POST", "graphql", LOGIN, ASKED, shows=READ),
)

jobs = under("3.0/jobs/", AJAX, at={"job_id": "job"})
NO_JOB = (400, 404, 500, 501, 503)
# Of a job that is not there everybody is told so.
prompts = under("3.0/mlflow/prompt-optimization/jobs", at={"job_id": "job"}, refused=(403, 404))
JOB = {"job_name": "invoke_scorer", "params": {}}
OPTIMIZED = {
    "experiment_id": "{experiment_id}",
    "source_prompt_uri": "prompts:/{prompt_name}/1",
    "config": {"optimizer_type": "OPTIMIZER_TYPE_GEPA"},
}
JOBS: tuple[Row, ...] = (
    # A job is its maker's. Nobody made one here, so each is an administrator's alone.
    jobs("GET", "{job_id}", ADMIN, good=NO_JOB, never=NO_JOBS),
    jobs("POST", "", ADMIN, JOB, good=NO_JOB, never=NO_JOBS),
    jobs("PATCH", "cancel/{job_id}", ADMIN, good=NO_JOB, never=NO_JOBS),
    jobs("POST", "search", LOGIN, {}),
    under("3.0/mlflow/jobs/", AJAX, at={"job_id": "job"})("GET", "{job_id}", ADMIN, good=NO_JOB, never=NO_JOBS),
    under("3.0/mlflow/jobs/", AJAX, at={"job_id": "job"})(
        "PATCH", "cancel/{job_id}", ADMIN, good=NO_JOB, never=NO_JOBS
    ),
    prompts("POST", "", UPDATE, OPTIMIZED, good=NO_JOB, never=NO_JOBS),
    prompts("GET", "/{job_id}", ADMIN, good=NO_JOB, never=NO_JOBS),
    prompts("DELETE", "/{job_id}", ADMIN, good=NO_JOB, never=NO_JOBS),
    prompts("POST", "/{job_id}/cancel", ADMIN, good=NO_JOB, never=NO_JOBS),
    prompts("GET", "/search?experiment_id={experiment_id}", READ),
    prompts("POST", "/search", READ, {"experiment_id": "{experiment_id}"}),
)

assistant = under("3.0/mlflow/assistant/", AJAX, at={"session_id": "job", "provider": "tag"})
FAR = "it serves callers on the server's own machine alone"
OUT = (403,)
ASSISTANT: tuple[Row, ...] = (
    assistant("POST", "message", LOGIN, {"message": "x"}, good=OUT, never=FAR),
    assistant("GET", "sessions/{session_id}/stream", LOGIN, good=OUT, never=FAR),
    assistant("PATCH", "sessions/{session_id}", LOGIN, {"status": "cancelled"}, good=OUT, never=FAR),
    assistant(
        "POST", "sessions/{session_id}/permission", LOGIN, {"request_id": "x", "decision": "deny"}, good=OUT, never=FAR
    ),
    assistant(
        "POST", "sessions/{session_id}/tool-result", LOGIN, {"request_id": "x", "content": "x"}, good=OUT, never=FAR
    ),
    assistant("GET", "providers", LOGIN),
    assistant("GET", "providers/{provider}/health", LOGIN, good=OUT, never=FAR),
    assistant("GET", "providers/{provider}/models", LOGIN, good=OUT, never=FAR),
    assistant("GET", "config", LOGIN),
    assistant("PUT", "config", LOGIN, {}, good=OUT, never=FAR),
    assistant("POST", "skills/install", LOGIN, {}, good=OUT, never=FAR),
)

# Asked last: the sessions of callers end here.
ENDS: tuple[Row, ...] = (root("GET", "logout", LOGIN, good=(302, 307)),)

TABLES = {
    "pages": PAGES,
    "logins": LOGINS,
    "GraphQL": GRAPHQL,
    "jobs": JOBS,
    "assistant": ASSISTANT,
    "logouts": ENDS,
}
