"""What each check of the doctor finds, and what it does not take for a failure."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import yaml

from components.postgres import DATA_DIRECTORY, ROLES_FILE, password_variable
from components.stack import stack_spec
from platforms.running import Answer, Instance, Trouble
from platforms.secrets import SecretText
from settings import PROJECT, from_files, parse
from stackctl.doctor import checks_containers, checks_edge, checks_login, checks_stores, checks_tokens
from stackctl.doctor.findings import Finding, in_order
from stackctl.doctor.probes import Inside, LoginPath, Reply, ask
from tests.samples import settings
from tests.unit.doctor import FakeRunning, ids, mlflow, observed


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("AuthenticationError: invalid username-password pair", "redis-password"),
        ("ResponseError: DB index is out of range", "redis-address"),
        ("ConnectionError: Error -2 connecting to cache:6379. Name or service not known.", "redis-address"),
        ("ConnectionError: Error 111 connecting to cache:6379. Connection refused.", "redis-unreachable"),
    ],
)
def test_redis_failures_are_told_apart(error: str, expected: str) -> None:
    seen = observed(mlflow(CACHE_BACKEND="redis", CACHE_REDIS_URL="redis://:pw@cache:6379/0"))
    seen.inside = Inside(Reply("", 200), error, {})
    assert ids(checks_stores.redis(seen)) == [expected]


def test_redis_settings_beside_the_url_that_contradict_it_are_found() -> None:
    seen = observed(mlflow(CACHE_BACKEND="redis", CACHE_REDIS_URL="redis://:pw@redis:6379/0", REDIS_PORT="6380"))
    seen.inside = Inside(Reply("", 200), "", {})
    assert ids(checks_stores.redis(seen)) == ["redis-address"]


@pytest.mark.parametrize(
    ("grants", "told"),
    [({}, ""), ({"users": 3, "admins": 1}, ""), ({"former": 2, "users": 1, "Admins": 1}, "Admins (1), former (2)")],
)
def test_grants_for_groups_that_no_token_names_are_found(grants: dict[str, int], told: str) -> None:
    seen = observed(mlflow(OIDC_GROUP_NAME="users", OIDC_ADMIN_GROUP_NAME="admins"))
    seen.inside = Inside(Reply("", 200), "", {}, grants)
    found = list(checks_tokens.group_grants(seen))
    assert [one.id for one in found] == (["group-grants"] if told else [])
    assert all(f"grants for {told};" in one.evidence for one in found)


@pytest.mark.parametrize(
    ("env", "count"),
    [
        ({"CACHE_BACKEND": "redis"}, 1),
        ({}, 1),
        ({"CACHE_BACKEND": "memcached"}, 1),
        ({"CACHE_BACKEND": "local", "SESSION_TYPE": "redis"}, 1),
        ({"CACHE_BACKEND": "redis", "CACHE_REDIS_URL": "redis://redis:6379/0"}, 0),
    ],
)
def test_a_cache_without_its_store_is_found(env: dict[str, str], count: int) -> None:
    assert len(list(checks_stores.cache_store(observed(mlflow(**env))))) == count


def test_the_session_store_of_the_old_plugin_is_judged_by_its_own_variables() -> None:
    old = Instance("x-mlflow", "mlflow", True, "mlflow-sso/mlflow:5.7.0-0", env={"SESSION_TYPE": "redis"})
    assert ids(checks_stores.cache_store(observed(old))) == ["cache-store"]
    told = Instance(
        "x-mlflow", "mlflow", True, "mlflow-sso/mlflow:5.7.0-0", env={"SESSION_TYPE": "redis", "REDIS_HOST": "redis"}
    )
    assert ids(checks_stores.cache_store(observed(told))) == []


def test_a_database_login_is_tried_without_the_password_in_a_command_line() -> None:
    answer = Answer(2, "", 'psql: error: FATAL:  password authentication failed for user "mlflow"')
    running = FakeRunning({"psql": answer})
    url = "postgresql+psycopg2://mlflow:pw-pw-pw@postgres:5432/mlflow"
    server = Instance("x-postgres", "postgres", True, "", env={password_variable("mlflow"): "pw-pw-pw"})
    program = mlflow(MLFLOW_BACKEND_STORE_URI=url)
    found = list(checks_stores.databases(observed(program, server, running=running)))
    assert [f.id for f in found] == ["database-password"]
    assert "changed in the database" in found[0].cause
    assert f"rm -f {DATA_DIRECTORY}/{ROLES_FILE}" in found[0].fix
    assert not any("pw-pw-pw" in word for command in running.commands for word in command)
    outdated = Instance("x-postgres", "postgres", True, "", env={password_variable("mlflow"): "another"})
    found = list(checks_stores.databases(observed(program, outdated, running=running)))
    assert "another password than x-postgres" in found[0].cause


_LOGINS = {one: {"database": one, "username": one, "password": "pw-pw-pw"} for one in ("keycloak", "mlflow", "oidc")}
OUTSIDE = {
    "postgres": {"external": {"host": "db.example", "port": 5433, **_LOGINS}},
    "redis": {"external": {"host": "cache.example", "port": 6380, "password": "pw-pw-pw"}},
}
DATABASE = "could not connect: Connection refused"


@pytest.mark.parametrize(
    ("error", "id", "cause"),
    [
        (DATABASE, "database-unreachable", "the server at db.example:5433 does not run"),
        ("could not translate host name", "database-unreachable", "find no address for the name db.example"),
        ('FATAL: database "m" does not exist', "database-unreachable", "has no database m"),
        (
            "FATAL: password authentication failed",
            "database-password",
            "the server at db.example:5433 and the settings",
        ),
    ],
)
def test_a_database_outside_the_stack_is_mended_there(error: str, id: str, cause: str) -> None:
    seen = observed(mlflow(MLFLOW_BACKEND_STORE_URI="postgresql://m:pw@db.example:5433/m"), settings=settings(OUTSIDE))
    seen.inside = Inside(Reply("", 200), "", {"MLFLOW_BACKEND_STORE_URI": error})
    (found,) = checks_stores.databases(seen)
    assert found.id == id
    assert cause in found.cause
    assert "mlflow-sso:postgres.external, then `stackctl up --stack x`" in found.fix
    assert not found.fix.startswith(("rm", "pulumi"))


@pytest.mark.parametrize(
    ("error", "id"),
    [
        ("ConnectionError: Error 111 connecting to cache.example:6380. Connection refused.", "redis-unreachable"),
        ("ConnectionError: Error -2. Name or service not known.", "redis-unreachable"),
        ("AuthenticationError: invalid username-password pair", "redis-password"),
        ("ResponseError: DB index is out of range", "redis-address"),
    ],
)
def test_a_cache_outside_the_stack_is_mended_there(error: str, id: str) -> None:
    url = "rediss://:pw@cache.example:6380/0"
    seen = observed(mlflow(CACHE_BACKEND="redis", CACHE_REDIS_URL=url), settings=settings(OUTSIDE))
    seen.inside = Inside(Reply("", 200), error, {})
    (found,) = checks_stores.redis(seen)
    assert found.id == id
    assert "mlflow-sso:redis." in found.fix
    assert not found.fix.startswith(("rm", "pulumi"))


def test_what_follows_from_a_database_outside_the_stack_says_so_and_comes_last() -> None:
    found = Trouble("container-unhealthy", "x-keycloak: unhealthy", "it last said: invalid_token", "restart x-keycloak")
    other = Trouble("job-failed", "x-job: its last run failed", "it last said: no", "look")
    seen = observed(
        mlflow(MLFLOW_BACKEND_STORE_URI="postgresql://m:pw@db.example:5433/m"),
        running=FakeRunning(found=[found, other]),
        settings=settings(OUTSIDE),
    )
    seen.inside = Inside(Reply("", 200), "", {"MLFLOW_BACKEND_STORE_URI": DATABASE})
    told = in_order([*checks_containers.containers(seen), *checks_stores.databases(seen)])
    assert [one.id for one in told] == ["job-failed", "database-unreachable", "container-unhealthy"]
    assert "follows from database-unreachable" in told[-1].cause
    assert told[-1].fix == told[1].fix
    assert told[0].fix == "look"


def test_a_database_of_the_stack_hides_no_cause() -> None:
    own = [Finding("container-restarting", "x-postgres", "bad data", "f"), Finding("database-unreachable", "", "", "")]
    assert in_order(own) == own


def test_discovery_of_a_realm_that_is_not_there_is_found() -> None:
    seen = observed(mlflow(OIDC_DISCOVERY_URL="http://keycloak:8080/realms/x"))
    seen.inside = Inside(Reply("http://keycloak:8080/realms/x", 404), "", {})
    assert ids(checks_login.discovery(seen)) == ["discovery"]
    seen.inside = Inside(Reply("http://keycloak:8080/realms/x", 200, text='{"issuer": "x"}'), "", {})
    assert ids(checks_login.discovery(seen)) == ["discovery"]
    seen.inside = Inside(Reply("http://keycloak:8080/realms/x", 200, text='{"authorization_endpoint": "y"}'), "", {})
    assert ids(checks_login.discovery(seen)) == []


@pytest.mark.parametrize(
    ("login", "discovery", "expected"),
    [(500, 200, ["mlflow-unreachable"]), (500, 404, []), (0, 404, ["mlflow-unreachable"])],
)
def test_a_login_that_fails_for_want_of_a_realm_is_not_blamed_on_mlflow(
    login: int, discovery: int, expected: list[str]
) -> None:
    seen = observed(mlflow(OIDC_DISCOVERY_URL="http://keycloak:8080/realms/x"))
    seen.inside = Inside(Reply("http://keycloak:8080/realms/x", discovery), "", {})
    seen.login = LoginPath((Reply("http://localhost:5000/login", login),))
    seen.discovery = None
    assert ids(checks_login.reachable(seen)) == expected


def test_a_certificate_that_mlflow_does_not_trust_is_found_and_is_no_other_finding() -> None:
    seen = observed(mlflow(OIDC_DISCOVERY_URL="https://sso.example.com/realms/x"))
    seen.inside = Inside(Reply("https://sso.example.com/realms/x", error="certificate verify", untrusted=True), "", {})
    seen.login = LoginPath((Reply("http://localhost:5000/login", 302),))
    seen.discovery = None
    assert ids(checks_edge.ca_chain(seen)) == ["ca-chain"]
    assert ids(checks_login.discovery(seen)) == []


@pytest.mark.parametrize(
    ("scope", "location", "expected"),
    [
        ("openid email", "", []),
        ("email profile", "", ["scope"]),
        ("openid,email", "http://m/callback?error=invalid_scope&error_description=Invalid+scopes", ["scope"]),
    ],
)
def test_a_scope_is_judged_by_keycloaks_own_answer(scope: str, location: str, expected: list[str]) -> None:
    seen = observed(mlflow(OIDC_SCOPE=scope))
    first = Reply("http://m/login", 302, location=f"http://k/auth?scope={scope.replace(' ', '+')}")
    seen.login = LoginPath((first, Reply("http://k/auth", 302 if location else 200, location=location)))
    assert ids(checks_login.scope(seen)) == expected


def test_a_misspelt_scope_variable_is_found() -> None:
    seen = observed(mlflow(OIDC_SCOPES="openid"))
    seen.login = LoginPath((Reply("http://m/login", 500),))
    assert ids(checks_login.scope(seen)) == ["scope"]


@pytest.mark.parametrize(
    ("patterns", "host", "allowed"),
    [
        (("localhost:5000",), "localhost:5000", True),
        (("localhost",), "localhost:5000", False),
        (("*.example.com",), "mlflow.example.com", True),
        ((), "localhost:5000", True),
        ((), "10.0.0.7:5000", True),
        ((), "mlflow.example.com", False),
    ],
)
def test_allowed_hosts_are_judged_by_mlflows_own_rule(patterns: tuple[str, ...], host: str, allowed: bool) -> None:
    assert checks_edge.allows(patterns, host) is allowed


@pytest.mark.parametrize(
    ("shown", "skew"), [("1000", 0.0), ("1001", 0.0), ("1100", 98.5), ("900", -99.5), ("not a clock", None)]
)
def test_clocks_are_apart_only_by_what_waiting_does_not_explain(shown: str, skew: float | None) -> None:
    assert checks_edge.apart(shown, 1000.5, 1001.5) == skew


@pytest.mark.parametrize(("ahead", "expected"), [(900, ["clock-skew"]), (2, []), (-900, [])])
def test_a_token_from_the_future_is_a_clock_that_is_ahead(ahead: int, expected: list[str]) -> None:
    seen = observed(mlflow())
    seen.own_token = {"iat": int(time.time()) + ahead}
    assert ids(checks_edge.inner_clocks(seen)) == expected


@pytest.mark.parametrize(
    ("used", "available", "expected"),
    [(250_000, 12_000, True), (100_000, 162_000, False), (10**9, 5 * 10**7, False), (0, 0, False)],
)
def test_a_disk_is_full_when_little_is_left_in_share_and_in_size(used: int, available: int, expected: bool) -> None:
    assert checks_containers.full(used, available) is expected


def test_one_disk_of_the_host_is_reported_once() -> None:
    table = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda 1000000 990000 10000 99% /data\n"
    running = FakeRunning({"df": Answer(0, table, "")})
    both = (Instance("x-a", "a", True, ""), Instance("x-b", "b", True, ""))
    found = list(checks_containers.disks(observed(*both, running=running)))
    assert [f.evidence for f in found] == ["x-a: /data has 9 MiB free of 976 MiB"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("//nas/my share 1000000 990000 10000 99% /data", ["x-a: /data has 9 MiB free of 976 MiB"]),
        ("/dev/sda 1000000 990000 10000 99% /my data", ["x-a: /my data has 9 MiB free of 976 MiB"]),
        # What the kernel cannot tell of a file system.
        ("overlay - - - - /", []),
        ("df: /data: Permission denied", []),
        ("", []),
    ],
)
def test_every_line_of_the_disks_is_read_as_it_is(line: str, expected: list[str]) -> None:
    table = f"Filesystem 1024-blocks Used Available Capacity Mounted on\n{line}\n"
    seen = observed(Instance("x-a", "a", True, ""), running=FakeRunning({"df": Answer(0, table, "")}))
    assert [f.evidence for f in checks_containers.disks(seen)] == expected


def test_a_secret_is_compared_with_the_value_of_its_version() -> None:
    spec = stack_spec(parse({}, "x"))
    [defined] = [w for w in spec.workloads if w.name == "redis"]
    name, text = next((name, text) for name, text in defined.secret_env.items() if text.alone is not None)
    assert text.alone is not None
    second = replace(text.alone, version=2)
    kept = {text.alone.name: "of the first version", second.stored: "of the second version"}
    workload = replace(defined, secret_env={name: SecretText.of(second)})
    ports: frozenset[tuple[int, int]] = frozenset()
    env = {**workload.env, name: "of the second version"}
    memory = workload.resources.memory_mib
    instance = Instance("x-redis", "redis", True, workload.image, workload.args, env, ports, memory)
    seen = observed(instance, kept=kept)
    vars(seen)["defined"] = (workload,)
    assert list(checks_containers.definition(seen)) == []
    stale = replace(instance, env={**workload.env, name: "of the first version"})
    seen = observed(stale, kept=kept)
    vars(seen)["defined"] = (workload,)
    assert ids(checks_containers.definition(seen)) == ["container-outdated"]


def test_values_that_only_the_engine_can_read_are_not_compared(tmp_path: Path) -> None:
    cipher = {"secure": "v1:abc"}
    config = {"mlflow": {"env": {"REGION": cipher}, "secretEnv": {"MODEL_API_KEY": cipher}}}
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in config.items()}}))
    settings = from_files("x", file=file, encrypted=True)
    spec = stack_spec(settings)
    [workload] = [w for w in spec.workloads if w.name == "mlflow"]
    env = {**workload.env, **dict.fromkeys(workload.secret_env, "known to the engine"), "REGION": "north"}
    ports = frozenset((port.number, entrance.host_port) for port, entrance in workload.entrances)
    made = Instance(
        "x-mlflow", "mlflow", False, workload.image, workload.args, env, ports, workload.resources.memory_mib
    )
    assert list(checks_containers.definition(observed(made, settings=settings, spec=spec))) == []


def test_trouble_that_only_the_target_knows_becomes_a_finding() -> None:
    running = FakeRunning(found=[Trouble("container-restarting", "x-a: 5 restarts", "it fails", "mend it")])
    found = list(checks_containers.containers(observed(Instance("x-a", "a", True, ""), running=running)))
    assert found == [Finding("container-restarting", "x-a: 5 restarts", "it fails", "mend it")]


def test_a_connection_that_is_cut_off_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a forward is whose pod was replaced; one that is refused means what it says."""
    waited: list[float] = []
    monkeypatch.setattr("stackctl.doctor.probes.time.sleep", waited.append)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/login"

        def serve() -> None:
            server.accept()[0].close()
            taken, _ = server.accept()
            with taken:
                taken.recv(4096)
                taken.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert ask(requests.Session(), url).status == 302
        thread.join(10)
    assert len(waited) == 1
    assert ask(requests.Session(), url).error == "connection refused"
    assert len(waited) == 1
