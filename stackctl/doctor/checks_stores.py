"""Do the programs reach their databases and their cache, with the logins they were given?"""

from __future__ import annotations

from collections.abc import Iterator

from components.connection import Login
from components.mlflow import SERVER as MLFLOW
from components.postgres import DATA_DIRECTORY, ROLES_FILE, password_variable
from components.redis import SERVER as REDIS
from components.redis import redis_address
from settings import PROJECT, is_loopback
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check

# What libpq says to a wrong password, whatever the language of its other messages (SQLSTATE 28P01).
_REFUSED = "password authentication failed"
_NO_PASSWORD = ("AuthenticationError", "WRONGPASS", "NOAUTH")
# Of a database or a role, in English alone.
_NO_DATABASE = "does not exist"
_POSTGRES, _REDIS = "postgres.external", "redis.external"
_NO_NAME = ("could not translate host name", "Name or service not known", "name resolution", "No address associated")


@check(Needs.STACK)
def databases(seen: Observed) -> Iterator[Finding]:
    for program, variable, login in seen.logins():
        if is_loopback(login.host):
            continue
        error = _database_error(seen, variable, login)
        where = f"{program} logs in at {login} ({variable})"
        if error and _REFUSED in error:
            yield Finding("database-password", f"{where}: {_REFUSED}", *_password_cause(seen, program, login))
        elif error and _is_elsewhere(seen, login):
            cause, fix = _elsewhere(seen, _POSTGRES, login, error)
            yield Finding("database-unreachable", f"{where}: {error[-300:]}", cause, fix, elsewhere=True)
        elif error:
            cause = "the server does not run, or its name, port or database is wrong"
            fix = seen.remake(program)
            if seen.instance(login.host) and not seen.runs(login.host):
                cause, fix = f"{login.host} does not run", f"stackctl up --stack {seen.stack}"
            yield Finding("database-unreachable", f"{where}: {error[-300:]}", cause, fix)


def _database_error(seen: Observed, variable: str, login: Login) -> str:
    """What hinders a login; empty when it works, or when nothing here can try it."""
    server = seen.instance(login.host)
    if server is not None and server.running and seen.running is not None:
        # Asked on the server itself, so that a program that does not run any more is examined as well.
        answer = seen.running.execute(
            server,
            ("psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(login.port), "-U", login.user, "-d", login.database,
             "-c", "select 1"),
            {"PGPASSWORD": login.password},
        )  # fmt: skip
        return " ".join(answer.error.split()) if answer.code else ""
    if server is not None:
        return f"{login.host} does not run"
    if seen.settings is not None and seen.settings.postgres.external is None:
        return f"no container of the stack is called {login.host}"
    return seen.inside.databases.get(variable, "") if seen.inside is not None else ""


def _password_cause(seen: Observed, program: str, login: Login) -> tuple[str, str]:
    server = seen.instance(login.host)
    if _is_elsewhere(seen, login):
        return _other_password(seen, _POSTGRES, login)
    if server is None or seen.running is None:
        return ("the server was given another password for this role", seen.remake(program))
    if server.env.get(password_variable(login.user)) == login.password:
        told = f"rm -f {DATA_DIRECTORY}/{ROLES_FILE}"
        return (
            f"the password of role {login.user} was changed in the database; {server.name} was given the right one",
            # At its next start the server is told its passwords again.
            f"{seen.running.shell(server, told)} && {seen.running.restart(server)}",
        )
    return (f"{program} was given another password than {server.name}", seen.remake(program))


@check(Needs.STACK)
def redis(seen: Observed) -> Iterator[Finding]:
    view = seen.mlflow
    if view is None or view.redis is None:
        return
    told = view.redis
    wrong = list(_redis_differences(seen, told))
    if wrong:
        cause = "MLflow was made with other settings than the stack's"
        yield Finding("redis-address", "; ".join(wrong), cause, seen.remake(MLFLOW))
    if is_loopback(told.host):
        return
    error = seen.inside.redis if seen.inside is not None else None
    if error is None:
        error = _asked_on_the_server(seen, told)
    evidence = f"MLflow connects to {told}: {error[:300]}"
    if not error:
        if seen.instance(REDIS) and not seen.runs(REDIS) and told.host == REDIS:
            evidence = f"MLflow connects to {told}, and {REDIS} does not run"
            yield Finding("redis-unreachable", evidence, "the cache does not run", _start(seen))
    elif _is_elsewhere(seen, told):
        yield _redis_elsewhere(seen, told, evidence, error)
    elif any(text in error for text in _NO_PASSWORD):
        cause = "MLflow was given another password than Redis"
        yield Finding("redis-password", evidence, cause, seen.remake(MLFLOW))
    elif "DB index" in error or "invalid DB" in error:
        cause = "Redis has no database of that number"
        yield Finding("redis-address", evidence, cause, seen.remake(MLFLOW))
    elif any(text in error for text in _NO_NAME) and seen.instance(told.host) is None:
        cause = "no container of the stack has that name"
        yield Finding("redis-address", evidence, cause, seen.remake(MLFLOW))
    else:
        cause = "the cache does not run" if not seen.runs(REDIS) else "nothing answers at that address"
        yield Finding("redis-unreachable", evidence, cause, _start(seen))


def _redis_elsewhere(seen: Observed, told: Login, evidence: str, error: str) -> Finding:
    if any(text in error for text in _NO_PASSWORD):
        return Finding("redis-password", evidence, *_other_password(seen, _REDIS, told), elsewhere=True)
    if "DB index" in error or "invalid DB" in error:
        fix = f"correct {PROJECT}:redis.db, then `stackctl up --stack {seen.stack}`"
        return Finding("redis-address", evidence, "Redis has no database of that number", fix, elsewhere=True)
    return Finding("redis-unreachable", evidence, *_elsewhere(seen, _REDIS, told, error), elsewhere=True)


def _is_elsewhere(seen: Observed, login: Login) -> bool:
    """Whether a login is at a server that the settings name, and the stack does not run."""
    if seen.settings is None:
        return False
    servers = (seen.settings.postgres.external, seen.settings.redis.external)
    return any(one is not None and (one.host, one.port) == (login.host, login.port) for one in servers)


def _elsewhere(seen: Observed, key: str, login: Login, error: str) -> tuple[str, str]:
    """Why a server outside the stack does not serve a login, and what to look at: nothing in the stack mends it."""
    address = f"{login.host}:{login.port}"
    if any(text in error for text in _NO_NAME):
        cause = f"the stack's containers find no address for the name {login.host}"
    elif _NO_DATABASE in error:
        cause = f"the server at {address} has no database {login.database}, or no role {login.user}"
    else:
        cause = f"the server at {address} does not run, or keeps the stack's containers out"
    look = f"see to it that {address} runs and lets the stack's containers in"
    return cause, f"{look}; if the address is wrong, correct {PROJECT}:{key}, then `stackctl up --stack {seen.stack}`"


def _other_password(seen: Observed, key: str, login: Login) -> tuple[str, str]:
    cause = f"the server at {login.host}:{login.port} and the settings have another password for it"
    return cause, f"correct the password there or in {PROJECT}:{key}, then `stackctl up --stack {seen.stack}`"


def _asked_on_the_server(seen: Observed, told: Login) -> str:
    """What Redis itself says to MLflow's login, for when nothing can be run in MLflow's container."""
    server = seen.instance(told.host)
    if server is None or not server.running or seen.running is None:
        return ""
    command = ("redis-cli", "-e", "-h", "127.0.0.1", "-p", str(told.port), "-n", told.database or "0", "ping")
    answer = seen.running.execute(server, command, {"REDISCLI_AUTH": told.password})
    # A database that is not there is told of on standard error alone.
    return " ".join(f"{answer.error} {answer.out}".split()) if answer.code or answer.error else ""


def _start(seen: Observed) -> str:
    return f"stackctl up --stack {seen.stack}" if seen.imported else seen.remake(REDIS)


def _redis_differences(seen: Observed, told: Login) -> Iterator[str]:
    view = seen.mlflow
    assert view is not None
    yield from view.contradictions
    if seen.settings is not None:
        wanted = redis_address(seen.settings)
        if (told.host, told.port, told.database or "0") != (wanted.host, wanted.port, str(wanted.db)):
            yield f"MLflow connects to {told}, the settings say {wanted.host}:{wanted.port}/{wanted.db}"


@check(Needs.STACK)
def cache_store(seen: Observed) -> Iterator[Finding]:
    view = seen.mlflow
    if view is None:
        return
    for fault in view.cache_faults:
        yield Finding("cache-store", fault.evidence, fault.cause, seen.remake(MLFLOW))
    for name, counts in sorted(view.ignored.items()):
        cause = f"this version of the plugin does not read it; what counts: {counts}"
        yield Finding("cache-store", f"{name} is set", cause, seen.remake(MLFLOW))
