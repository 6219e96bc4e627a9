"""Refusals as MLflow answers them: JSON with `error_code` and `message`."""


def denied(text: str) -> Exception:
    """Answered with 403."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    refusal: Exception = MlflowException(text, error_code=PERMISSION_DENIED)
    return refusal


def invalid(text: str) -> Exception:
    """Answered with 400."""
    from mlflow.exceptions import MlflowException

    refusal: Exception = MlflowException.invalid_parameter_value(text)
    return refusal
