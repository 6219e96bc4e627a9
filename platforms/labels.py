"""The labels that every object of a stack carries on every target, so that one command finds them all."""

from __future__ import annotations

from platforms.workload import Port

LABEL_PROJECT = "mlflow-sso.project"
LABEL_STACK = "mlflow-sso.stack"
LABEL_COMPONENT = "mlflow-sso.component"
# How a workload runs that does not run for ever: "on-demand" or "scheduled".
LABEL_RUNS = "mlflow-sso.runs"
# On data that nothing removes before a person has confirmed it.
LABEL_PROTECTED = "mlflow-sso.protected"


def stack_labels(project: str, stack: str) -> dict[str, str]:
    return {LABEL_PROJECT: project, LABEL_STACK: stack}


def protection(protected: bool) -> dict[str, str]:
    """The label of protected data; none for other."""
    return {LABEL_PROTECTED: "true"} if protected else {}


def metrics_marks(port: Port) -> dict[str, str]:
    """Where Prometheus finds a port's metrics, as the common configurations of its service discoveries read it."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port.number),
        "prometheus.io/path": port.metrics,
        "prometheus.io/scheme": port.protocol.value,
    }
