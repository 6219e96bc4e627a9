"""The doctor's judgement on facts that are given to it, without a stack."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from mlflow_sso_client.oidc import claims
from typer.testing import CliRunner

from components.observed import Login, keycloak_view, mlflow_view
from components.plugin.profile import plugin_profile
from components.redis import redis_address
from components.stack import stack_spec
from platforms.inventory import InventoryError
from platforms.running import Answer, Instance, Trouble
from platforms.secrets import SecretText
from platforms.workload import Workload
from settings import PROJECT, ROOT, Platform, from_files, parse
from stackctl.cli import app
from stackctl.clients.keycloak_admin import Provisioner
from stackctl.commands.common import Output
from stackctl.commands.doctor import CHECKED_BY, _write, missing
from stackctl.doctor import checks_containers, checks_edge, checks_login, checks_stores, checks_tokens
from stackctl.doctor.findings import KINDS, Finding, Mask
from stackctl.doctor.observed import Observed
from stackctl.doctor.probes import Inside, LoginPath, Reply, ask
from stackctl.doctor.registry import CHECKS, Needs, Registered, Report, examine
from stackctl.people.connection import Where


@dataclass
class FakeRunning:
    """Answers commands by their first word."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    found: list[Trouble] = field(default_factory=list)
    commands: list[Sequence[str]] = field(default_factory=list)

    def instances(self, project: str, stack: str) -> list[Instance]:
        return []

    def troubles(self, project: str, stack: str, defined: Sequence[Workload] = ()) -> list[Trouble]:
        return self.found

    def execute(self, instance: Instance, command: Sequence[str], secrets: Mapping[str, str] | None = None) -> Answer:
        self.commands.append(command)
        return self.answers.get(command[0], Answer(0, "", ""))

    def removal(self, instance: Instance) -> str:
        return f"rm {instance.name}"

    def restart(self, instance: Instance) -> str:
        return f"restart {instance.name}"

    def space(self, instance: Instance, path: str) -> str:
        return "space"

    def shell(self, instance: Instance, script: str) -> str:
        return f"exec {instance.name} {script}"


def observed(*instances: Instance, running: FakeRunning | None = None, **more: Any) -> Observed:
    return Observed("x", "http://localhost:5000", requests.Session(), running or FakeRunning(), instances, **more)


def mlflow(**env: str) -> Instance:
    return Instance("x-mlflow", "mlflow", True, "mlflow-sso/mlflow:11.0.2-0", env=env)


def ids(found: Iterator[Finding]) -> list[str]:
    return [finding.id for finding in found]


def test_every_finding_has_a_section_in_the_guide_and_every_section_a_finding() -> None:
    guide = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text()
    assert [line[3:].strip() for line in guide.splitlines() if line.startswith("## ")] == list(KINDS)


def test_every_check_is_registered_by_a_module_the_command_knows() -> None:
    known = {module.__name__ for module in CHECKED_BY}
    assert {one.run.__module__ for one in CHECKS} == known
    assert len({one.name for one in CHECKS}) == len(CHECKS)


def test_a_finding_outside_the_list_cannot_be_written() -> None:
    with pytest.raises(KeyError):
        Finding("no-such-kind", "", "", "").row()


def test_what_mlflow_was_told_is_read_back_as_it_was_meant() -> None:
    """The names of the plugin's variables stand in two places: where they are set, and where they are read."""
    from components.mlflow import plugin_inputs

    settings = parse({}, "x")
    inputs, profile = plugin_inputs(settings), plugin_profile("11.0.2")

    def fill(text: SecretText) -> str:
        return "".join(text.fold(str, lambda _: "s3cret/", lambda _: "s3cret%2F"))

    env = {**profile.env(inputs), **{name: fill(text) for name, text in profile.secret_env(inputs).items()}}
    view, redis = mlflow_view(env), redis_address(settings)
    assert (view.client_id, view.client_secret, view.discovery_url, view.issuer, view.audience, view.redirect_uri) == (
        inputs.client_id, "s3cret/", inputs.discovery_url, inputs.issuer, inputs.audience, inputs.redirect_uri,
    )  # fmt: skip
    assert (view.scope, view.groups_claim, view.user_groups, view.admin_groups) == (
        inputs.scope, inputs.groups_claim, inputs.user_groups, inputs.admin_groups,
    )  # fmt: skip
    assert view.cache == "redis"
    assert view.redis == Login(redis.host, redis.port, "0", "", "s3cret/")
    assert view.redis_parts == {"REDIS_HOST": "redis", "REDIS_PORT": "6379", "REDIS_DB": "0"}
    assert view.users_database == Login("postgres", 5432, "oidc", "oidc", "s3cret/")
    assert view.misspelt == {}


def test_what_keycloak_was_told_is_read_back_and_no_password_is_shown() -> None:
    env = {"KC_DB_URL": "jdbc:postgresql://db:5433/kc?sslmode=require", "KC_DB_USERNAME": "kc", "KC_DB_PASSWORD": "pw"}
    view = keycloak_view(env)
    assert view.database == Login("db", 5433, "kc", "kc", "pw")
    assert str(view.database) == "kc@db:5433/kc"
    assert "pw" not in repr(view)


def test_secrets_in_the_messages_of_other_programs_are_hidden() -> None:
    env = {"A_PASSWORD": "hunter2-hunter2", "DB_URI": "postgresql://u:dbpass-dbpass@h/d", "OIDC_SCOPE": "openid email"}
    mask = Mask(Mask.secrets_of(env))
    found = mask.finding(Finding("scope", "a hunter2-hunter2", "b dbpass-dbpass", "c openid email"))
    assert (found.evidence, found.cause, found.fix) == ("a [secret]", "b [secret]", "c openid email")


def test_a_check_without_an_answer_is_no_sign_of_health(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(seen: Observed) -> Iterator[Finding]:
        yield Finding("scope", "seen before", "", "")
        raise InventoryError("the engine went away with hunter2-hunter2")

    monkeypatch.setattr("stackctl.doctor.registry.CHECKS", [Registered("one", Needs.URL, fails)])
    report = examine(observed(kept={"p": "hunter2-hunter2"}))
    assert not report.healthy
    assert ids(iter(report.findings)) == ["scope"]
    assert report.unchecked == (("one", "the engine went away with [secret]"),)


def test_away_from_the_stack_only_what_needs_a_url_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def check(name: str) -> Any:
        def run(seen: Observed) -> Iterator[Finding]:
            asked.append(name)
            return iter(())

        return run

    both = [Registered("far", Needs.URL, check("far")), Registered("near", Needs.STACK, check("near"))]
    monkeypatch.setattr("stackctl.doctor.registry.CHECKS", both)
    assert examine(Observed("x", "http://localhost:5000", requests.Session())).healthy
    assert asked == ["far"]


def test_a_stack_that_is_not_there_is_not_healthy() -> None:
    assert not missing("x").healthy


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
    server = Instance("x-postgres", "postgres", True, "", env={"MLFLOW_PASSWORD": "pw-pw-pw"})
    program = mlflow(MLFLOW_BACKEND_STORE_URI=url)
    found = list(checks_stores.databases(observed(program, server, running=running)))
    assert [f.id for f in found] == ["database-password"]
    assert "changed in the database" in found[0].cause
    assert not any("pw-pw-pw" in word for command in running.commands for word in command)
    outdated = Instance("x-postgres", "postgres", True, "", env={"MLFLOW_PASSWORD": "another"})
    found = list(checks_stores.databases(observed(program, outdated, running=running)))
    assert "another password than x-postgres" in found[0].cause


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


def jwt(payload: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.x"


# Whatever may stand where a token is expected (RFC 7519, section 7.2: three parts, the second a JSON object).
NO_TOKENS = [
    "", ".", "..", "a.b", "a.b.c.d.e", "opaque-0123", "a.%%%.c", "a.bb\xfcro.c", "a.YQ.c", "a.b!c.d", "a.e.c",
    *(jwt(text) for text in (b"", b"5", b"null", b"[]", b'["ab", "cd"]', b'[["iss", "x"]]', b'"text"', b'{"iss": ')),
    *(jwt(text) for text in (b"\xff\xfe", b"[" * 100_000)),
]  # fmt: skip


@pytest.mark.parametrize("token", NO_TOKENS, ids=range(len(NO_TOKENS)))
def test_what_is_no_token_has_no_claims(token: str) -> None:
    assert claims(token) is None


def test_a_token_has_the_claims_that_it_says() -> None:
    assert claims("a.eyJpc3MiOiAieCJ9.c") == {"iss": "x"}
    assert claims(jwt(b"{}")) == {}


@pytest.mark.parametrize("token", NO_TOKENS, ids=range(len(NO_TOKENS)))
def test_a_token_that_cannot_be_read_is_a_finding_and_ends_no_check(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"OIDC_ISSUER": "http://localhost:8080/realms/mlflow", "OIDC_CLIENT_ID": "mlflow", "OIDC_AUDIENCE": "mlflow"}
    seen = observed(mlflow(**told))
    vars(seen)["discovery"] = Reply("http://localhost:8080", 404)
    monkeypatch.setattr(
        Observed, "token_endpoint", lambda self, path, form: Reply("", 200, json.dumps({"access_token": token}))
    )
    assert ids(checks_tokens.issuer(seen)) == ([] if token == "" else ["issuer"])
    assert ids(checks_edge.inner_clocks(seen)) == []
    assert not [f for f in checks_tokens.issuer(seen) if len(token) > 8 and token in str(f)]


@pytest.mark.parametrize(
    "error", [ValueError("hunter2"), KeyError("hunter2"), RecursionError(), AssertionError(), TypeError("hunter2")]
)
def test_a_check_that_fails_is_one_finding_and_the_others_are_shown(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(seen: Observed) -> Iterator[Finding]:
        yield Finding("scope", "seen before", "", "")
        raise error

    def works(seen: Observed) -> Iterator[Finding]:
        yield Finding("audience", "seen after", "", "")

    both = [Registered("the-broken-one", Needs.URL, fails), Registered("two", Needs.URL, works)]
    monkeypatch.setattr("stackctl.doctor.registry.CHECKS", both)
    report = examine(observed())
    assert not report.healthy
    assert ids(iter(report.findings)) == ["scope", "not-examined", "audience"]
    told = report.findings[1]
    assert "the-broken-one" in told.evidence
    assert type(error).__name__ in told.evidence
    # The text of an unknown error may hold anything.
    assert "hunter2" not in str(told)


def test_a_stack_that_cannot_be_looked_at_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(where: Where, on: Platform | None) -> None:
        raise KeyError("State")

    monkeypatch.setattr("stackctl.commands.doctor.gather", fails)
    result = CliRunner().invoke(app, ("doctor", "--stack", "x", "--output", "json"))
    assert result.exit_code == 1
    assert [found["id"] for found in json.loads(result.stdout)["findings"]] == ["not-examined"]
    assert "Traceback" not in result.output


def test_evidence_does_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """It may quote a log, and a log what people sent."""
    finding = Finding("container-unhealthy", "x-a: it last said: \x1b[2J\x1b[1;32mhealthy", "it fails", "mend it")
    _write(Report((finding,), (), 1), "dev", Output.TABLE)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"it last said: \x1b[2J\x1b[1;32mhealthy" in shown


def test_the_realm_is_asked_for_at_the_address_for_administration() -> None:
    keycloak = {"url": "https://sso.example.com", "adminUrl": "http://localhost:8081"}
    given = {"mlflow-sso:mlflow": {"url": "https://m.example.com", "tls": {"proxy": True}}}
    spec = stack_spec(parse({**given, "mlflow-sso:keycloak": {**keycloak, "tls": {"proxy": True}}}, "x"))
    seen = observed(spec=spec, provisioner=Provisioner("provisioner", "s3cret"))
    # What `seen.discovery` would ask the network for.
    vars(seen)["discovery"] = Reply("https://sso.example.com", 200)
    assert seen.admin is not None
    assert seen.admin.web.base_url == "http://localhost:8081"
