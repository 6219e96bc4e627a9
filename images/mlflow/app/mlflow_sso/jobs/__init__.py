"""Jobs of MLflow's: judges on traces, evaluations, the search for issues. A container beside the server runs them.

The server writes a job into the database, with its starter, and the container takes it from there: the engine that
MLflow 3.17.2 calls "executor". What a job asks of the AI gateway it asks as its starter (`tickets`).
"""

import os

# The key of the tickets: the server and the container have it, and no job has.
KEY = "MLFLOW_SSO_JOBS_KEY"
_FLAGS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "true", "MLFLOW_SERVER_JOB_EXECUTION_ENGINE": "executor"}


def key() -> str:
    """The key of the tickets; empty where there are no jobs."""
    return os.environ.get(KEY, "")


def share() -> None:
    """Lets MLflow take jobs where there is a key. MLflow's own command would run them beside the server as well."""
    if key():
        os.environ.update(_FLAGS)
