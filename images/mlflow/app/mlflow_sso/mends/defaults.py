"""`experiments/search` with `{}` finds what every guide says it finds, as other searches do.

The message has no default for `max_results`, unlike all its kin (`service.proto`, SearchExperiments, MLflow 3.17.2), so
a body without it asks for zero results, which the store refuses. A zero that somebody sent is refused as before.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow.protos.service_pb2 import SearchExperiments
from mlflow.server import handlers
from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT
from mlflow_oidc_auth.hooks import after_request

from mlflow_sso import upstream


def install() -> None:
    """Puts the mend in place."""
    own = SearchExperiments.DESCRIPTOR.fields_by_name["max_results"].has_default_value
    upstream.holds("whether SearchExperiments.max_results has a default", own, False)
    for home in (handlers, after_request):
        upstream.replace(home, "_get_request_message", "6f8d3d06867cd171", _with_default)


def _with_default(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def read(message: Any, *words: Any, **more: Any) -> Any:
        result = original(message, *words, **more)
        if isinstance(result, SearchExperiments) and not result.HasField("max_results"):
            result.max_results = SEARCH_MAX_RESULTS_DEFAULT
        return result

    return read
