"""What one call may make the server and its database do, counted before it is done.

Each condition of a search, and each key that it is sorted by, is a join, and the planner's memory is everybody's:
PostgreSQL took all memory of its container for 120 conditions on tags, and ended with every connection to it. The
spans of a trace are read as a whole, also as others are added to them.
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.guard.bodies import within
from mlflow_sso.guard.routes import is_file

CONDITIONS, KEYS = 40, 20
# Traces that one call may name: the plugin asks for the right to each by itself, two milliseconds long, before MLflow
# counts them, and the text of so many is no shorter than this.
TRACES, _SHORTEST = 1000, 4000
# Bytes of spans that a trace may have, and that a call may read.
SPANS = 64 << 20
_LISTS = ("trace_ids", "traceIds", "request_ids", "requestIds")
# Texts and names may hold the word that stands between conditions. MLflow's parser reads quotes another way, so this is
# a first look alone, before it parses: what it found is counted after it.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_AND = re.compile(r"\band\b", re.IGNORECASE)


def conditions(text: str) -> int:
    """How many conditions a filter seems to have, by what stands between them."""
    return len(_AND.findall(_QUOTED.sub("", text))) + 1


def named(body: Any) -> int:
    """How many traces a call names."""
    lists = [body.get(name) for name in _LISTS] if isinstance(body, dict) else []
    return sum(len(one) for one in lists if isinstance(one, list))


def too_much(request: Any) -> str:
    """What a call of Flask's is refused for before anybody asks for rights; empty where for nothing."""
    found = sum(len(request.args.getlist(name)) for name in _LISTS)
    if (request.content_length or 0) >= _SHORTEST and not is_file(request.path):
        # As MLflow reads it, whatever its type is said to be; the text of an object is what its older clients send.
        body = request.get_json(force=True, silent=True)
        try:
            found += named(within(body) if isinstance(body, str) else body)
        except ValueError as error:
            return f"Invalid request: its JSON is a text, and that is no object: {error}."
    return f"A call names {TRACES} traces at most." if found > TRACES else ""


def few(hook: Callable[[], Any], refusal: Callable[[str], Any]) -> Callable[[], Any]:
    """A hook that asks for rights, of which a call that names too many traces asks none."""

    @wraps(hook)
    def before() -> Any:
        from flask import request

        text = too_much(request)
        return refusal(text) if text else hook()

    return before


def _refused(text: str) -> Exception:
    from mlflow.exceptions import MlflowException

    refusal: Exception = MlflowException.invalid_parameter_value(text)
    return refusal


def _many(found: int) -> Exception:
    return _refused(f"A filter has {CONDITIONS} conditions at most, and this one has {found}.")


def _short(text: Any) -> None:
    if isinstance(text, str) and (found := conditions(text)) > CONDITIONS:
        raise _many(found)


def _checked(check: Callable[[Any], None], at: int = 0) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What checks an argument of a function, by its place, before the function is called."""

    def by(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        # Without names: one that was given by its name would not be checked.
        def call(*words: Any) -> Any:
            for word in words[at : at + 1]:
                check(word)
            return original(*words)

        return call

    return by


def _counted(at: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What checks a filter, by its place, before a function parses it, and the conditions that it found in it."""

    def by(original: Callable[..., Any]) -> Callable[..., Any]:
        checked = _checked(_short, at)(original)

        @wraps(original)
        def parse(*words: Any) -> Any:
            found = checked(*words)
            # A filter of metrics is one condition, and no list.
            if isinstance(found, list) and len(found) > CONDITIONS:
                raise _many(len(found))
            return found

        return parse

    return by


def _filtered(original: Any) -> Any:
    """Another class may have inherited what this replaces, and it is called as one of that class."""
    return classmethod(_counted(at=1)(original.__func__))


def _few(keys: Any) -> None:
    if keys is not None and not isinstance(keys, str) and len(keys) > KEYS:
        raise _refused(f"A search is sorted by {KEYS} keys at most, and not by {len(keys)}.")


def _small(session: Any, traces: Any) -> None:
    """Raises a refusal for more spans than the server has memory for."""
    from mlflow.store.tracking.dbmodels.models import SqlSpan
    from sqlalchemy import func

    if session.bind.dialect.name != "postgresql":
        return
    # Known of each text without reading it.
    size = session.query(func.sum(func.octet_length(SqlSpan.content))).filter(SqlSpan.trace_id.in_(traces)).scalar()
    if (size or 0) > SPANS:
        raise _refused(
            f"These traces have {size >> 20} MiB of spans; {SPANS >> 20} MiB are the most of a trace or a call."
        )


def _of_small(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def read(store: Any, session: Any, trace_ids: Any) -> Any:
        known = list(dict.fromkeys(trace_ids))
        if known:
            _small(session, known)
        return original(store, session, known)

    return read


def _into_small(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def upsert(session: Any, model: Any, rows: Any, *more: Any, **named: Any) -> Any:
        done = original(session, model, rows, *more, **named)
        if model.__tablename__ == "spans" and rows:
            # Of those of before as well; with a refusal these are taken back.
            _small(session, sorted({row["trace_id"] for row in rows}))
        return done

    return upsert


def install() -> None:
    from mlflow.store.tracking import sqlalchemy_store
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.utils import search_logged_model_utils
    from mlflow.utils.search_utils import (
        SearchModelVersionUtils,
        SearchTraceMetricsUtils,
        SearchTraceUtils,
        SearchUtils,
    )

    upstream.replace(SearchModelVersionUtils, "parse_search_filter", "1971af02be37d86b", _filtered)
    upstream.replace(SearchTraceMetricsUtils, "parse_search_filter", "a2accb03daec6932", _filtered)
    upstream.replace(SearchTraceUtils, "parse_search_filter_for_search_traces", "41a879cf06256e76", _filtered)
    # Others inherit it.
    upstream.replace(SearchUtils, "parse_search_filter", "1971af02be37d86b", _filtered)
    upstream.replace(search_logged_model_utils, "parse_filter_string", "af051d448fb2d818", _counted(at=0))
    for name, known in (
        ("_get_orderby_clauses", "c048293f9b23c520"),
        ("_get_orderby_clauses_for_search_traces", "3167c0e24822a901"),
        ("_get_search_datasets_order_by_clauses", "4da191024e4d9cf9"),
    ):
        upstream.replace(sqlalchemy_store, name, known, _checked(_few))
    upstream.replace(SqlAlchemyStore, "_load_tracking_store_span_snapshots", "64bce55a64820b7a", _of_small)
    upstream.replace(sqlalchemy_store, "_bulk_upsert", "4e227a4061834562", _into_small)
    # Behind the store itself, a query and a session.
    models = _checked(_few, at=3)
    upstream.replace(SqlAlchemyStore, "_apply_order_by_search_logged_models", "5d396eb59454b47a", models)
