"""The doctor's judgement on facts that are given to it, without a stack."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from mlflow_sso_client.oidc import claims
from typer.testing import CliRunner

from components.connection import Login
from components.observed import keycloak_view
from components.stack import stack_spec
from platforms.inventory import InventoryError
from settings import ROOT, Platform, parse
from stackctl.cli import app
from stackctl.clients.keycloak_admin import Provisioner
from stackctl.commands.common import Output
from stackctl.commands.doctor import CHECKED_BY, _write, missing
from stackctl.doctor import checks_edge, checks_tokens
from stackctl.doctor.findings import KINDS, Finding, Mask
from stackctl.doctor.observed import Observed
from stackctl.doctor.probes import Reply
from stackctl.doctor.registry import CHECKS, Needs, Registered, Report, examine
from stackctl.people.connection import Where
from tests.unit.doctor import ids, mlflow, observed


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
