"""A list from which things are hidden looks as if they were not there: full pages, and no word of what comes behind.

The plugin takes hidden rows out of pages. Where it filled them up again, the token said whether hidden rows follow;
where it did not, a page that is too short told how many there were.
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends.callers import caller
from mlflow_sso.mends.filling import fill

# Behind the last row of any list.
_END = 10**9
# Who reads the registry of MCP servers, whose handlers the plugin does not tell: a name, and the plugin's context.
_reader: ContextVar[tuple[str, Any] | None] = ContextVar("reader of the registry", default=None)


def _page(search: Callable[[str | None, int], Any], keep: Callable[[Any], bool], most: int, token: str | None) -> Any:
    """A page of one of MLflow's searches by offset."""
    from mlflow.store.entities.paged_list import PagedList
    from mlflow.utils.search_utils import SearchUtils

    def fetch(start: int, count: int) -> tuple[Any, bool]:
        found = search(SearchUtils.create_page_token(start) if start else None, count)
        return found, found.token is not None

    rows, behind = fill(fetch, keep, most, SearchUtils.parse_start_offset_from_page_token(token))
    return PagedList(rows, None if behind is None else SearchUtils.create_page_token(behind))


def of_registry(search: Callable[..., Any], named: dict[str, Any]) -> Any:
    """A page of the registry as its reader sees it. search: takes MLflow's arguments by name."""
    reader, most = _reader.get(), named.get("max_results")
    if reader is None or not isinstance(most, int) or most < 1:
        return search(**named)
    from mlflow_oidc_auth.middleware import mcp_server_registry as registry

    known: dict[str, bool] = {}

    def keep(row: Any) -> bool:
        name = str(getattr(row, "server_name", None) or row.name)
        if name not in known:
            with registry._bridged(reader[1]):
                known[name] = registry._may_read(name, reader[0])
        return known[name]

    search(**named)  # MLflow's own refusal of arguments that it does not take.
    return _page(
        lambda token, count: search(**{**named, "page_token": token, "max_results": count}),
        keep,
        most,
        named.get("page_token"),
    )


def _validator(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def get_validator(path: str) -> Callable[[str, Any], Any]:
        asked = original(path)

        async def validate(username: str, request: Any) -> Any:
            from mlflow_oidc_auth.entities.auth_context import AUTH_CONTEXT_KEY

            # The handler runs in a copy of this context.
            _reader.set((username, request.scope.get(AUTH_CONTEXT_KEY)))
            return await asked(username, request)

        return validate

    return get_validator


def _links(store: Any, datasets: list[str]) -> dict[str, list[str]]:
    """The experiments of datasets, of all in one question: a stack may hold many that others own."""
    from mlflow.entities.entity_type import EntityAssociationType
    from mlflow.store.tracking.dbmodels.models import SqlEntityAssociation as Link

    found: dict[str, list[str]] = {}
    with store.ManagedSessionMaker() as session:
        rows = session.query(Link.source_id, Link.destination_id).filter(
            Link.source_type == EntityAssociationType.EVALUATION_DATASET,
            Link.source_id.in_(datasets),
            Link.destination_type == EntityAssociationType.EXPERIMENT,
        )
        for dataset, experiment in rows:
            found.setdefault(dataset, []).append(str(experiment))
    return found


def _datasets(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def search_datasets(self: Any, **named: Any) -> Any:
        asking, most = caller(), named.get("max_results")
        if asking is None or asking.administrator or not isinstance(most, int) or most < 1:
            return original(self, **named)
        from mlflow_oidc_auth.hooks import after_request

        context = after_request._request_grant_context(asking.name)
        links: dict[str, list[str]] = {}

        def search(token: str | None, count: int) -> Any:
            found = original(self, **{**named, "page_token": token, "max_results": count})
            links.update(_links(self, [str(row.dataset_id) for row in found]))
            return found

        def keep(row: Any) -> bool:
            experiments = links.get(str(row.dataset_id), ())
            return bool(experiments) and all(after_request._can_read_experiment(context, each) for each in experiments)

        return _page(search, keep, most, named.get("page_token"))

    return search_datasets


def _search(original: Callable[[str], bool]) -> Callable[[str], bool]:
    """The plugin lets nobody search datasets of all experiments, where it does so for runs and for experiments."""

    @wraps(original)
    def may_search(username: str) -> bool:
        from mlflow_oidc_auth.validators._experiment_scope import values_mlflow_also_reads

        # Whoever names none is shown what they may read: `_datasets` leaves the rest out.
        return not values_mlflow_also_reads("experiment_ids") or original(username)

    return may_search


def _top_up(original: Callable[..., str]) -> Callable[..., str]:
    @wraps(original)
    def top_up_page(rows: Any, max_results: int, page_token: str, fetch: Any, keep: Any, **codec: Any) -> str:
        from mlflow.utils.search_utils import SearchUtils

        token = original(rows, max_results, page_token, fetch=fetch, keep=keep, **codec)
        if token or len(rows) < max_results:
            return token
        last = (codec.get("encode_offset") or SearchUtils.create_page_token)(_END)
        return last.decode() if isinstance(last, bytes) else str(last)

    return top_up_page


def _unfiltered(original: Callable[..., bool]) -> Callable[..., bool]:
    @wraps(original)
    def needs_no_filtering(payload: Any, context: Any) -> bool:
        from mlflow.protos.service_pb2 import SearchLoggedModels
        from mlflow.server.handlers import _get_request_message

        models = payload.get("models") if isinstance(payload, dict) else None
        full = isinstance(models, list) and len(models) >= _get_request_message(SearchLoggedModels()).max_results
        return not full and original(payload, context)

    return needs_no_filtering


def install() -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow_oidc_auth.hooks import after_request, before_request
    from mlflow_oidc_auth.middleware import fastapi_permission_middleware, mcp_server_registry
    from mlflow_oidc_auth.validators import _experiment_scope

    upstream.replace(after_request, "_top_up_page", "bf55ffd3ff162924", _top_up)
    upstream.replace(after_request, "_search_logged_models_needs_no_filtering", "43d6cdcf7e804377", _unfiltered)
    upstream.replace(SqlAlchemyStore, "search_datasets", "fc4b408925ef732d", _datasets)
    name = "validate_can_search_evaluation_datasets"
    upstream.replace_listed(before_request, "BEFORE_REQUEST_VALIDATORS", name, "7683c163c7d45d16", _search)
    upstream.reads(_experiment_scope, "values_mlflow_also_reads", "0333d42a3359ce41")
    upstream.reads(after_request, "_filter_search_evaluation_datasets", "e8f285db2714535a")
    upstream.replace(fastapi_permission_middleware, "get_mcp_server_validator", "dc00e6ee98a7a78e", _validator)
    upstream.reads(mcp_server_registry, "_filter_search_body", "a674b494150d54f3")
