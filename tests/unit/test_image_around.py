"""What the MLflow image decides around MLflow, the plugin and their stores, which tests here do not have."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from mlflow_sso import databases
from mlflow_sso.jobs import rights

from tests.unit.absent import stood_in
from tests.unit.asgi_client import run


@pytest.fixture(autouse=True)
def around() -> Iterator[None]:
    with stood_in():
        yield


def upstream(name: str) -> Any:
    """A module of a package that stands in."""
    return importlib.import_module(name)


class _Column:
    """Of a table: compared with a value, it tells which rows have it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __eq__(self, value: object) -> Any:
        return lambda row: row[self._name] == value

    __hash__ = None  # type: ignore[assignment]


class _Jobs:
    """MLflow's store of jobs."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = rows

    @contextmanager
    def ManagedSessionMaker(self) -> Iterator[Any]:
        yield SimpleNamespace(query=lambda _: SimpleNamespace(filter=self._those))

    def _those(self, *meant: Callable[[Any], bool]) -> Any:
        return SimpleNamespace(count=lambda: sum(all(one(row) for one in meant) for row in self._rows))


def hold(jobs: list[dict[str, Any]], creator: str | None = "bob", caller: str = "") -> None:
    """Asks whether one job more is taken."""
    upstream("mlflow.entities._job_status").JobStatus.PENDING.to_int = lambda: "waits"
    upstream("mlflow.server.handlers")._get_job_store = lambda: _Jobs(*jobs)
    upstream("mlflow.server").jobs._current_authenticated_user = lambda: caller
    table = SimpleNamespace(status=_Column("status"), creator=_Column("creator"))
    upstream("mlflow.store.tracking.dbmodels.models").SqlJob = table
    rights._hold(creator)


def test_a_hundred_jobs_of_one_user_wait_at_most() -> None:
    waiting = [{"status": "waits", "creator": "bob"}] * rights.MOST_WAITING
    assert rights.MOST_WAITING == 100
    hold(waiting[1:])
    with pytest.raises(upstream("mlflow.exceptions").MlflowException, match="100 jobs of yours wait") as caught:
        hold(waiting)
    assert caught.value.error_code is upstream("mlflow.protos.databricks_pb2").REQUEST_LIMIT_EXCEEDED
    with pytest.raises(upstream("mlflow.exceptions").MlflowException):
        hold(waiting, creator=None, caller="bob")


def test_jobs_of_others_and_those_that_run_or_ended_keep_nobody() -> None:
    others = [{"status": "waits", "creator": "alice"}, {"status": "runs", "creator": "bob"}] * rights.MOST_WAITING
    hold(others)
    hold(others, creator=None, caller="bob")


def test_a_job_beyond_them_is_not_taken_and_its_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, ended = list[str](), list[Any]()
    monkeypatch.setenv("MLFLOW_SSO_JOBS_KEY", "key")
    monkeypatch.setattr(rights, "_end_run", ended.append)
    upstream("mlflow.genai.scorers.scorer_utils").scorer_params_use_direct_provider_model = lambda *_: False
    submit = rights._submit(lambda *_, **__: taken.append("job"))
    job = SimpleNamespace(_job_fn_metadata=SimpleNamespace(name="invoke_scorer"))
    monkeypatch.setattr(rights, "_hold", lambda _: None)
    submit(job, {"run_id": "7"}, creator="bob")
    assert (taken, ended) == (["job"], [])

    def full(creator: str) -> None:
        raise LookupError(creator)

    monkeypatch.setattr(rights, "_hold", full)
    with pytest.raises(LookupError, match="bob"):
        submit(job, {"run_id": "7"}, creator="bob")
    assert (taken, ended) == (["job"], ["7"])


class _Redis:
    """The plugin's cache in Redis, which may be away. clearing: is called as all of it goes."""

    def __init__(self, **entries: str) -> None:
        self.entries, self.away = entries, False
        self.clearing: Callable[[], None] = lambda: None
        self._until = 0.0

    def get(self, key: str) -> str | None:
        self._ask()
        return self.entries.get(key)

    def delete(self, key: str) -> None:
        self._ask()
        self.entries.pop(key, None)

    def empty(self) -> None:
        self._ask()
        self.clearing()
        self.entries.clear()

    def clear(self) -> None:
        raise AssertionError("the mended one: it would not say that it failed")

    clear.__wrapped__ = empty  # type: ignore[attr-defined]

    def _ask(self) -> None:
        if self.away:
            raise upstream("redis.exceptions").RedisError


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Callable[[str], Any], Callable[[str], None]]:
    """A cache in Redis with a grant of bob's, a look into it, and the removal of an entry."""
    upstream("mlflow_oidc_auth.cache.redis_backend").RedisCacheBackend = _Redis
    mend = importlib.import_module("mlflow_sso.cache")
    monkeypatch.setattr(mend, "_REST", -1)
    redis = _Redis(bob="EDIT")
    mend._started(lambda *_: None)(redis, "redis://", "", 1)
    look, remove = mend._passed_over(_Redis.get), mend._made_good(_Redis.delete)
    return redis, lambda key: look(redis, key), lambda key: remove(redis, key)


def test_a_grant_that_could_not_be_removed_is_not_believed_once_redis_is_back(cached: Any) -> None:
    redis, look, remove = cached
    assert look("bob") == "EDIT"
    redis.away = True
    remove("bob")
    assert look("bob") is None
    redis.away = False
    assert (look("bob"), redis.entries) == (None, {})
    redis.entries["alice"] = "READ"
    assert look("alice") == "READ", "it is emptied once"


def test_a_removal_that_fails_while_the_cache_is_emptied_has_it_emptied_again(cached: Any) -> None:
    redis, look, remove = cached
    redis.away = True
    remove("alice")
    redis.away = False

    def meanwhile() -> None:
        redis.clearing = lambda: None
        redis.away = True
        remove("bob")
        redis.away = False

    redis.clearing = meanwhile
    assert look("alice") is None
    # A process that read the grant before it was taken away wrote it after the cache was emptied.
    redis.entries["bob"] = "EDIT"
    assert look("bob") is None


def test_a_grant_is_not_believed_while_another_thread_empties_the_cache(cached: Any) -> None:
    redis, look, remove = cached
    redis.away = True
    remove("bob")
    redis.away = False
    seen = list[Any]()

    def meanwhile() -> None:
        redis.clearing = lambda: None
        seen.append(look("bob"))

    redis.clearing = meanwhile
    look("alice")
    assert seen == [None]


def test_a_cache_that_could_not_be_emptied_is_emptied_later(cached: Any) -> None:
    redis, look, remove = cached
    redis.away = True
    remove("bob")
    assert look("bob") is None
    assert look("bob") is None
    redis.away = False
    assert look("bob") is None


@pytest.fixture
def accounts() -> Any:
    module = importlib.import_module("mlflow_sso.shortcuts.accounts")
    for name in ("_WORKLOAD_BEARER", "_BEARER_IDENTITY"):
        setattr(module.auth_middleware, name, ContextVar(name, default=None))
    return module


ALICE = SimpleNamespace(refusal="", active=True, is_admin=False, is_service_account=False, service_account_source=None)


def facts(accounts: Any, *, session: Any = None, keeps: bool = False, fails: bool = False) -> tuple[Any, list[str]]:
    """What the plugin is told of alice, as it asks, and in which threads the database was asked."""
    asked = list[str]()

    def account_of(username: str) -> Any:
        asked.append(threading.current_thread().name.partition("_")[0])
        if fails:
            raise OSError
        return ALICE

    async def original(*_: Any) -> Any:
        if keeps:
            accounts._keep("alice", ALICE)
        return True, "alice", ""

    async def dispatch() -> Any:
        request = SimpleNamespace(state=SimpleNamespace(resolved_session=session))
        found, name, _ = await accounts._known(original)(None, request)
        return accounts._facts(None)(None, name) if found and session is None else found

    accounts.account_of = account_of
    return run(dispatch()), asked


def test_no_way_to_log_in_asks_the_database_on_the_event_loop(accounts: Any) -> None:
    assert facts(accounts) == ((False, True, "", (False, None)), ["cookies"])


def test_an_account_that_was_read_is_not_read_again(accounts: Any) -> None:
    assert facts(accounts, keeps=True) == ((False, True, "", (False, None)), [])
    assert facts(accounts, session="of alice") == (True, [])


def test_whose_account_cannot_be_read_is_nobody(accounts: Any) -> None:
    assert facts(accounts, fails=True) == (False, ["cookies"])


def test_a_page_does_not_wait_while_a_login_or_a_renewal_is_heard(
    accounts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = importlib.import_module("mlflow_sso.groups.pages")
    heard, go_on = list[str](), threading.Event()

    def bring(_provider: Any, username: str, *_: Any) -> str:
        heard.append(username)
        go_on.wait(10)
        return pages.accounts.STRANGER if username == "carol" else ""

    def end(username: str) -> None:
        go_on.wait(10)

    async def login(name: str) -> Any:
        pages._login.get().provider, pages._login.get().username = "keycloak", name
        return name, []

    async def renew(*_: Any) -> Any:
        pages._renewal.get().ended = True

    async def scenario() -> tuple[str, ...]:
        works = [
            asyncio.ensure_future(pages._logged_in(login)("alice")),
            asyncio.ensure_future(pages._logged_in(login)("carol")),
            asyncio.ensure_future(pages._renewed(renew)("1", None, SimpleNamespace(username="dave"))),
        ]
        await asyncio.sleep(0)
        while not heard:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            page = await accounts.aside(accounts.cookies, lambda: "page")
        go_on.set()
        await asyncio.gather(*works)
        return page, *sorted(heard)

    monkeypatch.setattr(pages, "_bring", bring)
    monkeypatch.setattr(pages.accounts, "end_sessions", end)
    assert run(scenario()) == ("page", "alice", "carol")


def test_each_thread_that_finds_out_who_asks_is_counted_as_a_connection(accounts: Any) -> None:
    """Those of the shortcuts, and the plugin's own for personal tokens."""
    pools = [pool for pool in vars(accounts).values() if isinstance(pool, ThreadPoolExecutor)]
    assert sum(pool._max_workers for pool in pools) + 1 == databases.KEPT


class _Served(ModuleType):
    """What imports the plugin. steps: what happened until then."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__("mlflow_sso.served")
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        if name != "app":
            raise AttributeError(name)
        self._steps.append("served")
        return "the application"


def test_engines_are_bounded_before_the_plugin_makes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = list[str]()
    for step in ("databases.size", "databases.bind", "names.add", "jobs.share", "metrics.share"):
        monkeypatch.setattr(f"mlflow_sso.{step}", lambda step=step: steps.append(step))
    monkeypatch.setitem(sys.modules, "mlflow_sso.served", _Served(steps))
    package = importlib.import_module("mlflow_sso")
    try:
        assert [package.app, package.app] == ["the application"] * 2
    finally:
        vars(package).pop("app", None)
    assert (steps.count("databases.bind"), steps[-1]) == (1, "served")
    assert steps.index("databases.size") < steps.index("databases.bind")


def test_engines_are_bounded_without_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    put, heard = dict[str, Any](), dict[str, Any]()
    monkeypatch.setattr("mlflow_sso.upstream.replace", lambda _, name, __, by: put.update({name: by}))
    upstream("sqlalchemy").event.listen = lambda _, name, by: heard.update({name: by})
    databases.bind()
    assert (set(put), set(heard)) == ({"create_engine", "_do_get"}, {"do_connect", "connect", "handle_error"})
    assert not any(name.startswith("mlflow_oidc_auth") for name in sys.modules)
    made = put["create_engine"](lambda url, **more: more)
    assert made("postgresql://") == {"query_cache_size": databases.STATEMENTS}
