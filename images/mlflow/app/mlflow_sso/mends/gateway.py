"""The AI gateway connects to its providers, not to what a user makes of their names, and keeps calls to itself.

Providers put regions, places and projects of a user's secret into host names without a look at them, and MLflow's guard
at connect time stands only before secrets with an `api_base`. Values are held as they are written and as they are used.

What an endpoint is asked is kept in an experiment that is new with it. MLflow takes one that has its name already,
whoever made that.
"""

import secrets
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends import destinations
from mlflow_sso.mends.refusals import invalid

# How long the catalogue of models, which a page of the gateway shows, is not asked for again once it was out of reach.
CATALOGUE_PAUSE = 600.0


def _nowhere(_: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """MLflow's assistant writes files and starts programs for whoever is on the server's own machine.

    That is nobody here: `kubectl port-forward` and proxies beside the server in its pod come from its loopback address.
    """
    return lambda request: False


def _hold(settings: Any, secrets: Any) -> None:
    key = destinations.refused(settings, secrets)
    if key is not None:
        raise invalid(f"Invalid value of '{key}': it becomes a part of an address, and cannot be one itself.")


def _settings(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def validate(auth_config: Any) -> Any:
        _hold(auth_config, None)
        return original(auth_config)

    return validate


def _secrets(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def validate(secret_value: Any) -> Any:
        _hold(None, secret_value)
        return original(secret_value)

    return validate


def _use(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def build(endpoint_name: str, model_config: Any, endpoint_type: Any) -> Any:
        _hold(model_config.auth_config, model_config.secret_value)
        return original(endpoint_name, model_config, endpoint_type)

    return build


def _guard(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def enable(endpoint_config: Any, *, raw_proxy: bool = False) -> None:
        # Whatever the secret says: the addresses that a provider makes of its other values are no safer.
        original(endpoint_config, raw_proxy=True)

    return enable


def _experiment(original: Callable[..., str]) -> Callable[..., str]:
    @wraps(original)
    def create(self: Any, experiment_name: str, tags: Any = None) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(self.create_experiment(experiment_name, tags=tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return str(self.create_experiment(f"{experiment_name}-{secrets.token_hex(4)}", tags=tags))

    return create


def _catalogue(original: Callable[..., Any]) -> Callable[..., Any]:
    missed_at = float("-inf")

    @wraps(original)
    def fetch(provider: str, url: str) -> Any:
        nonlocal missed_at
        if time.monotonic() - missed_at < CATALOGUE_PAUSE:
            return None
        answer = original(provider, url)
        if answer is None:
            missed_at = time.monotonic()
        return answer

    return fetch


def install() -> None:
    from mlflow.gateway.providers.bedrock import AmazonBedrockProvider
    from mlflow.gateway.providers.vertex_ai import VertexAIProvider
    from mlflow.server import gateway_api, handlers
    from mlflow.server.assistant import api as assistant
    from mlflow.store.tracking.gateway.sqlalchemy_mixin import SqlAlchemyGatewayStoreMixin as Endpoints
    from mlflow.utils import providers

    upstream.replace(assistant, "_is_localhost", "03faa91c49b39e61", _nowhere)
    upstream.replace(handlers, "_validate_gateway_secret_auth_config", "3bfba25e7434f8c9", _settings)
    upstream.replace(handlers, "_validate_gateway_secret_value", "971c1f96e3f1b982", _secrets)
    upstream.replace(gateway_api, "_build_endpoint_config", "050a4fecae87d069", _use)
    upstream.replace(gateway_api, "_enable_upstream_ssrf_protection", "8e0f8f30145584fc", _guard)
    upstream.replace(Endpoints, "_get_or_create_experiment_id", "52f8e7f50c6daf3b", _experiment)
    upstream.reads(AmazonBedrockProvider, "_get_token_auth_base_url", "e17010be3a55873a")
    upstream.reads(VertexAIProvider, "_get_credentials", "14cee09eb1344c06")
    # Each of about a hundred providers is tried so often, for 5 s each time, where nothing can be reached.
    upstream.holds("providers._REMOTE_FETCH_MAX_RETRIES", providers._REMOTE_FETCH_MAX_RETRIES, 3)
    providers._REMOTE_FETCH_MAX_RETRIES = 0
    upstream.replace(providers, "_fetch_http_provider", "8e3e0b7ecec04af4", _catalogue)
