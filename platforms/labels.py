"""The labels that every object of a stack carries on every target, so that one command finds them all."""

from __future__ import annotations

LABEL_PROJECT = "mlflow-sso.project"
LABEL_STACK = "mlflow-sso.stack"
LABEL_COMPONENT = "mlflow-sso.component"


def stack_labels(project: str, stack: str) -> dict[str, str]:
    return {LABEL_PROJECT: project, LABEL_STACK: stack}
