"""What runs MLflow's jobs: judges on traces, evaluations and the search for issues, beside the server that takes them.

A container of its own: what a job takes of memory takes none of the server's, there is one for any number of servers,
and it holds neither the login's secrets nor those of the AI gateway. See docs/decisions/mlflow/0020-jobs.md.
"""

from __future__ import annotations

from components.identity import JOBS, JOBS_KEY
from components.keycloak import ca_files
from components.mlflow import JOBS_KEY_VARIABLE, NO_CODE_OF_USERS, PORT, SERVER, TRUSTED_CAS_PATH
from components.plugin.lines import plugin_profile
from components.plugin.profile import BACKEND_STORE
from components.postgres import CA_BUNDLE_PATH, mlflow_database
from platforms.secrets import SecretText
from platforms.workload import ExecCheck, Probe, Resources, Service, Workload
from settings import Settings
from settings.derived import JOB_CONNECTIONS
from settings.versions import image

# A number that no account of a host has (docs/decisions/0008-docker-isolation.md).
UID = 60905
# Agreed with images/mlflow: its word for the runner, its variable (mlflow_sso.jobs.runner), and its sign of life.
PROGRAM = "jobs"
_WORKERS = "MLFLOW_SSO_JOBS_WORKERS"
_ALIVE = "/tmp/alive"
_SILENCE_SECONDS = 60
# What is idle takes 170 MiB, and a judge on one trace 200; evaluations hold what they read.
_IDLE_MIB, _JOB_MIB = 512, 512


def jobs_workloads(settings: Settings) -> tuple[Workload, ...]:
    """The runner; none where the settings want no jobs."""
    jobs = settings.mlflow.jobs
    if jobs is None:
        return ()
    database = mlflow_database(settings)
    server = f"{SERVER}:{PORT}"
    trusted = {"STACK_CA_FILE": CA_BUNDLE_PATH, "SSL_CERT_FILE": TRUSTED_CAS_PATH} if settings.ca_bundle else {}
    return (
        Workload(
            name=JOBS,
            image=image(settings, plugin_profile(settings.mlflow.plugin_version).recipe),
            uid=UID,
            # Nobody waits at a page for it, so everybody else goes first.
            resources=Resources(
                memory_mib=jobs.memory_mib or _IDLE_MIB + jobs.workers * _JOB_MIB, cpus=2.0, weight=0.1
            ),
            args=(PROGRAM,),
            env={
                "MLFLOW_GATEWAY_URI": f"http://{server}",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_JOB_DEFAULT_TIMEOUT": str(jobs.timeout_seconds),
                _WORKERS: str(jobs.workers),
                # Of one process: connections, and traces that it judges at once, each of which may hold one.
                "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(JOB_CONNECTIONS - 1),
                "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "1",
                "MLFLOW_GENAI_EVAL_MAX_WORKERS": str(JOB_CONNECTIONS),
                **NO_CODE_OF_USERS,
                **trusted,
                # The server makes the schema before it takes connections.
                "WAIT_FOR": f"{database.host}:{database.port},{server}",
            },
            secret_env={BACKEND_STORE: database.sqlalchemy_url, JOBS_KEY_VARIABLE: SecretText.of(JOBS_KEY)},
            files=ca_files(settings),
            runs=Service(_probe()),
            outside=database.outside,
            authorities=database.authorities,
        ),
    )


def _probe() -> Probe:
    """Whether it looked for jobs lately."""
    script = f"read -r at < {_ALIVE} && ((EPOCHSECONDS - at < {_SILENCE_SECONDS}))"
    return Probe(local=ExecCheck(("bash", "-c", script)), interval_seconds=15, start_seconds=90)
