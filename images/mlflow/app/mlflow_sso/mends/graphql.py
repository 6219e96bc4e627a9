"""GraphQL shows its caller what the REST API would: each object is asked for where it comes out.

The plugin narrows what a query asks for, and misses: it writes the narrowed list of experiments where MLflow does not
read it, and takes the name of a model out of a filter by a pattern that the text of another condition can match. Here
every run, experiment, version, dataset and metric is looked at as it leaves its resolver, whatever led to it.
"""

from collections.abc import Callable
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends import pages
from mlflow_sso.mends.callers import caller

# Root fields that show nothing of anybody's.
_OPEN = {"test", "testMutation"}


def _experiment_of(message: Any) -> str | None:
    """The experiment by which an object of MLflow's is readable; None for one that has none."""
    kind = message.DESCRIPTOR.full_name
    if kind == "mlflow.Run":
        return str(message.info.experiment_id)
    return str(message.experiment_id) if kind in {"mlflow.Experiment", "mlflow.DatasetSummary"} else None


class _Reader:
    """What one caller may read, asked once in a query."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[tuple[str, str], bool] = {}

    def may(self, message: Any) -> bool:
        """Whether to show an object. A lookup that fails is an error of its field, which shows nothing."""
        from mlflow_oidc_auth.graphql import middleware

        kind = message.DESCRIPTOR.full_name
        if kind == "mlflow.ModelVersion":
            return self._ask(middleware._can_read_model, message.name)
        if kind == "mlflow.MetricWithRunId":
            return self._ask(middleware._can_read_run, message.run_id)
        experiment = _experiment_of(message)
        return experiment is None or self._ask(middleware._can_read_experiment, experiment)

    def _ask(self, question: Callable[[str, str], bool], thing: str) -> bool:
        from mlflow.exceptions import MlflowException

        key = (question.__name__, thing)
        if key not in self._known:
            try:
                self._known[key] = bool(thing) and bool(question(thing, self._name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                self._known[key] = False
        return self._known[key]

    def shown(self, value: Any) -> Any:
        """What of a resolver's result is shown."""
        if hasattr(value, "DESCRIPTOR"):
            return value if self.may(value) else None
        if isinstance(value, str | bytes | dict) or not hasattr(value, "__iter__"):
            return value
        return [each for each in value if not hasattr(each, "DESCRIPTOR") or self.may(each)]


def _resolve(original: Callable[..., Any]) -> Callable[..., Any]:
    def resolve(self: Any, next_: Callable[..., Any], root: Any, info: Any, **args: Any) -> Any:
        asking = caller()
        field = info.field_name
        new = root is None and field not in self.PROTECTED_FIELDS | _OPEN and not field.startswith("__")
        if new and (asking is None or not asking.administrator):
            # A way in that the plugin does not know yet.
            return None
        value = original(self, next_, root, info, **args)
        if field == "nextPageToken":
            return pages.sealed(value, pages.kind(root))
        if asking is not None and asking.administrator:
            return value
        if asking is None:
            return None if hasattr(value, "DESCRIPTOR") else value
        if not hasattr(self, "_reader"):
            self._reader = _Reader(asking.name)
        return self._reader.shown(value)

    return resolve


def _set_input(_: Callable[..., Any]) -> Callable[..., Any]:
    def set_input(given: Any, name: str, value: Any) -> None:
        """MLflow reads `vars(given)`, and graphene's container is a dictionary beside: both say the same."""
        if isinstance(given, dict):
            given[name] = value
        if given is not None and type(given) is not dict:
            setattr(given, name, value)

    return set_input


def install() -> None:
    from mlflow.server import handlers
    from mlflow_oidc_auth.graphql import middleware

    upstream.replace(middleware, "_set_input_attr", "70be6d337a2be966", _set_input)
    upstream.replace(middleware.GraphQLAuthorizationMiddleware, "resolve", "5d65eb960ff9390f", _resolve)
    upstream.reads(middleware.GraphQLAuthorizationMiddleware, "_check_authorization", "d04d01862d2ab9f3")
    upstream.reads(middleware, "_can_read_run", "0a538dc61d66a42c")
    upstream.reads(handlers, "_graphql", "9505d676f1164c47")
