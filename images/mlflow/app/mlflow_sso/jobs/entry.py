"""One job, in a process of its own: MLflow's own, which reads nothing of a trace but what the database has.

Other places come from tags of traces, and MLflow would read from there with the rights of this container.
"""

from typing import Any

from mlflow_sso.mends.refusals import denied


def _elsewhere(*_: Any, **__: Any) -> Any:
    raise denied("A job reads traces whose spans are in the database; those of this one are not.")


def _main() -> None:
    from mlflow.genai.scorers.online import trace_loader
    from mlflow.server.jobs import _job_subproc_entry
    from mlflow.tracing.client import TracingClient

    trace_loader.get_artifact_uri_for_trace = _elsewhere
    TracingClient._get_artifact_repo_for_trace = _elsewhere
    _job_subproc_entry._main()


if __name__ == "__main__":
    _main()
