"""The AI gateway: secrets, definitions of models, endpoints, guardrails and budgets, and what calls a model."""

from __future__ import annotations

from collections.abc import Mapping

from tests.matrix.rows import ADMIN, AJAX, LOGIN, MANAGE, READ, ROOT, UPDATE, USE, Needs, Row, under

gateway = under("3.0/mlflow/gateway/")
ajax = under("3.0/mlflow/gateway/", AJAX)
SECRET = {"secret_id": "{secret_id}"}
DEFINITION = {"model_definition_id": "{model_definition_id}"}
ENDPOINT = {"endpoint_id": "{endpoint_id}"}
MODEL = {**DEFINITION, "linkage_type": "PRIMARY", "weight": 1.0}
OTHER = {"model_definition_id": "{other_definition_id}", "linkage_type": "FALLBACK", "fallback_order": 1}
BOUND = {**ENDPOINT, "resource_type": "scorer", "resource_id": "{new}"}
GUARDED = {**ENDPOINT, "guardrail_id": "{guardrail_id}"}
BUDGET = {
    "budget_unit": "USD",
    "budget_amount": 5.0,
    "duration": {"unit": "DAYS", "value": 1},
    "target_scope": "GLOBAL",
    "budget_action": "ALERT",
}

GATEWAY: tuple[Row, ...] = (
    gateway(
        "POST",
        "secrets/create",
        LOGIN,
        {"secret_name": "{new}", "secret_value": {"api_key": "x"}, "provider": "openai"},
    ),
    gateway("GET", "secrets/get?secret_id={secret_id}", READ, shows=READ),
    gateway("POST", "secrets/update", UPDATE, {**SECRET, "secret_value": {"api_key": "y"}}),
    gateway("DELETE", "secrets/delete", MANAGE, SECRET, fresh="secret"),
    gateway("GET", "secrets/list", LOGIN, shows=READ),
    gateway(
        "POST",
        "model-definitions/create",
        USE,
        {"name": "{new}", **SECRET, "provider": "openai", "model_name": "gpt-4"},
    ),
    gateway("GET", "model-definitions/get?model_definition_id={model_definition_id}", READ, shows=READ),
    gateway("POST", "model-definitions/update", UPDATE, {**DEFINITION, "model_name": "{hidden}"}),
    gateway("DELETE", "model-definitions/delete", MANAGE, DEFINITION, fresh="definition"),
    gateway("GET", "model-definitions/list", LOGIN, shows=READ),
    gateway("POST", "endpoints/create", USE, {"name": "{new}", "model_configs": [MODEL]}),
    gateway("GET", "endpoints/get?endpoint_id={endpoint_id}", READ, shows=READ),
    gateway("POST", "endpoints/update", UPDATE, {**ENDPOINT, "model_configs": [MODEL]}),
    gateway("DELETE", "endpoints/delete", MANAGE, ENDPOINT, fresh="endpoint"),
    gateway("GET", "endpoints/list", LOGIN, shows=READ),
    gateway("POST", "endpoints/set-tag", UPDATE, {**ENDPOINT, "key": "a", "value": "b"}),
    gateway("DELETE", "endpoints/delete-tag", UPDATE, {**ENDPOINT, "key": "k"}, fresh="endpoint"),
    gateway("POST", "endpoints/models/attach", UPDATE, {**ENDPOINT, "model_config": OTHER}, fresh="endpoint"),
    gateway("POST", "endpoints/models/detach", UPDATE, {**ENDPOINT, **DEFINITION}, fresh="endpoint"),
    gateway("POST", "endpoints/bindings/create", UPDATE, BOUND),
    gateway(
        "DELETE",
        "endpoints/bindings/delete",
        UPDATE,
        {**ENDPOINT, "resource_type": "scorer", "resource_id": "{bound}"},
        fresh="endpoint",
    ),
    gateway("GET", "endpoints/bindings/list?endpoint_id={endpoint_id}", READ),
    ajax("GET", "provider-config?provider=openai", LOGIN),
    ajax("GET", "secrets/config", LOGIN),
    ajax("GET", "supported-models?provider=openai", USE),
    ajax("GET", "supported-providers", USE),
    under("2.0/mlflow/", AJAX)("GET", "gateway-proxy?gateway_path=api/2.0/endpoints/", USE),
    under("2.0/mlflow/", AJAX)("POST", "gateway-proxy", USE, {"gateway_path": "api/2.0/endpoints/"}),
)

GUARDRAILS: tuple[Row, ...] = (
    gateway(
        "POST",
        "guardrails/create",
        ADMIN,
        {"name": "{new}", "scorer_id": "{scorer_id}", "scorer_version": 1, "stage": "BEFORE", "action": "VALIDATION"},
    ),
    gateway("GET", "guardrails/get?guardrail_id={guardrail_id}", ADMIN),
    gateway("GET", "guardrails/list", ADMIN),
    gateway("DELETE", "guardrails/delete", ADMIN, {"guardrail_id": "{guardrail_id}"}, fresh="guardrail"),
    gateway("POST", "guardrails/add-to-endpoint", ADMIN, GUARDED, fresh=("endpoint", "guardrail")),
    gateway("DELETE", "guardrails/remove-from-endpoint", ADMIN, GUARDED, fresh=("endpoint", "guard")),
    gateway("GET", "guardrails/list-for-endpoint?endpoint_id={endpoint_id}", ADMIN),
    gateway("PATCH", "guardrails/update-config", ADMIN, {**GUARDED, "execution_order": 2}, fresh=("endpoint", "guard")),
)

BUDGETS: tuple[Row, ...] = (
    gateway("POST", "budgets/create", ADMIN, BUDGET),
    gateway("GET", "budgets/get?budget_policy_id={budget_policy_id}", ADMIN),
    gateway("POST", "budgets/update", ADMIN, {"budget_policy_id": "{budget_policy_id}", "budget_amount": 6.0}),
    gateway("DELETE", "budgets/delete", ADMIN, {"budget_policy_id": "{budget_policy_id}"}, fresh="budget"),
    gateway("GET", "budgets/list", ADMIN),
    gateway("GET", "budgets/windows", ADMIN),
)

calls = under("gateway/", ROOT, at={"endpoint_name": "endpoint_name"})
NO_MODEL = "there is no model to call; a refusal comes before the call, and the failure of it after"
# A stream tells of a failure in itself.
FAILED = (200, 400, 404, 422, 500, 502, 503, 504)
SAID = {"model": "{endpoint_name}", "messages": [{"role": "user", "content": "x"}]}


def _call(path: str, body: Mapping[str, object], needs: Needs = USE) -> Row:
    return calls("POST", path, needs, body, good=FAILED, never=NO_MODEL)


CALLS: tuple[Row, ...] = (
    calls("GET", "mlflow/v1/models", LOGIN),
    _call("{endpoint_name}/mlflow/invocations", SAID),
    _call("mlflow/v1/chat/completions", SAID),
    _call("openai/v1/chat/completions", SAID),
    _call("openai/v1/embeddings", {"model": "{endpoint_name}", "input": "x"}),
    _call("openai/v1/responses", {"model": "{endpoint_name}", "input": "x"}),
    # The plugin does not know this one, and so has it for administrators alone.
    _call("openai/v1/responses/compact", {"model": "{endpoint_name}", "input": "x"}, ADMIN),
    _call("anthropic/v1/messages", {**SAID, "max_tokens": 1}),
    _call("gemini/v1beta/models/{endpoint_name}:generateContent", {"contents": []}),
    _call("gemini/v1beta/models/{endpoint_name}:streamGenerateContent", {"contents": []}),
    _call("typesafe/v1/systemone", SAID),
    calls("POST", "proxy/{endpoint_name}/{path}", USE, SAID, at={"path": "tag"}, good=FAILED, never=NO_MODEL),
)

TABLES = {"gateway": GATEWAY, "guardrails": GUARDRAILS, "budgets": BUDGETS, "calls of models": CALLS}
