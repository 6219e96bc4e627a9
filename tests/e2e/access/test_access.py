"""Every way to log in, every kind of revocation, and a long job, against real services."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
import requests

from settings import ROOT
from stackctl.clients.keycloak_admin import KeycloakAdmin
from tests.e2e.access.conftest import LIFETIME, LONGEST
from tests.e2e.harness import TIMEOUT, docker, eventually
from tests.e2e.people import Browser, Person, keycloak_of

# One worker of pytest-xdist, and so one stack, for all of these.
pytestmark = pytest.mark.xdist_group("access")


class TestLogin:
    def test_password(self, alice: Person) -> None:
        assert "as alice, an administrator" in alice.log_in().stderr
        assert alice.mlflow(alice.token()) == 200
        kept = list((alice.home / "config").rglob("*.json"))
        assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]

    def test_device_grant(self, bob: Person) -> None:
        assert "as bob, a user" in bob.log_in_by_device()
        assert bob.mlflow(bob.token()) == 200

    def test_browser_on_loopback(self, alice: Person) -> None:
        with subprocess.Popen(
            alice.command("login", "--browser"),
            env={**alice.environment, "BROWSER": "/bin/true"}, cwd=ROOT,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as running:  # fmt: skip
            assert running.stderr is not None
            running.stderr.readline()
            browser = Browser()
            page = browser.submit(
                browser.open(running.stderr.readline().strip()), username="alice", password=alice.password
            )
            assert "You are logged in" in page.text
            assert "as alice" in running.stderr.read()
            assert running.wait(30) == 0
        assert alice.mlflow(alice.token()) == 200

    @pytest.mark.usefixtures("short_tokens")
    def test_service_account(self, alice: Person, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text(alice.stack.outputs()["service_accounts"]["ci"]["client_secret"] + "\n")
        options = ("--client-credentials", "--client-id", "ci", "--client-secret-file", str(secret))
        assert "as service-account-ci" in alice.run("login", *options).stderr
        first = alice.token()
        time.sleep(LIFETIME)
        assert alice.token() != first
        # The command gives out a token while it has seconds left.
        eventually(lambda: alice.mlflow(alice.token()), lambda status: status == 200, "a token that is used in time")

    def test_a_laptop_needs_the_url_alone(self, laptop: Person) -> None:
        url = laptop.stack.outputs()["mlflow_url"]
        assert "as alice" in laptop.log_in("--url", url).stderr
        assert laptop.mlflow(laptop.token()) == 200
        assert json.loads(laptop.run("tokens", "list", "--output", "json").stdout) is not None
        assert "may administer Keycloak" in laptop.run("sessions", "list", code=6).stderr

    def test_env_is_what_a_shell_needs(self, alice: Person) -> None:
        alice.log_in()
        script = 'eval "$(stackctl env)" && curl -sf -H "Authorization: Bearer $MLFLOW_TRACKING_TOKEN" '
        script += '"$MLFLOW_TRACKING_URI/api/2.0/mlflow/users/current"'
        shown = subprocess.run(
            ("bash", "-c", script), env=alice.environment, capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert json.loads(shown.stdout)["username"] == "alice"

    def test_logout_ends_the_session_at_keycloak(self, alice: Person) -> None:
        alice.log_in()
        kept = next((alice.home / "config").rglob("*.json"))
        stolen = json.loads(kept.read_text())["refresh_token"]
        alice.run("logout")
        assert not kept.exists()
        assert f"run `stackctl login --stack {alice.stack.name}`" in alice.run("token", code=3).stderr
        answer = requests.post(
            alice.stack.outputs()["token_url"],
            data={"grant_type": "refresh_token", "client_id": "mlflow-cli", "refresh_token": stolen},
            timeout=TIMEOUT,
        )
        assert answer.json()["error"] == "invalid_grant"

    def test_a_wrong_password_has_an_exit_code_of_its_own(self, alice: Person) -> None:
        options = ("--username", "alice", "--password-stdin")
        told = alice.run("login", *options, given="not-the-password\n", code=4).stderr
        assert "wrong name or password" in told
        assert "not-the-password" not in told

    def test_services_that_are_down_are_told_apart(self, alice: Person, laptop: Person) -> None:
        url = laptop.stack.outputs()["mlflow_url"]
        assert "MLflow does not answer" in laptop.run("login", "--url", "http://localhost:1", code=8).stderr
        dead = ("login", "--url", url, "--issuer", "http://localhost:1/realms/mlflow")
        assert "Keycloak does not answer" in laptop.run(*dead, code=7).stderr


class TestTokens:
    def test_from_creation_to_deletion(self, bob: Person) -> None:
        bob.log_in()
        secret = bob.run("tokens", "create", "--name", "nightly", "--expires", "12h").stdout.strip()
        assert bob.mlflow(auth=("bob", secret)) == 200
        listed = json.loads(bob.run("tokens", "list", "--output", "json").stdout)
        found = next(row for row in listed if row["name"] == "nightly")
        assert found["last_used_at"]
        assert secret not in json.dumps(listed)
        assert "add --yes" in bob.run("tokens", "delete", "--token-id", str(found["id"]), code=2).stderr
        assert bob.mlflow(auth=("bob", secret)) == 200
        bob.run("tokens", "delete", "--token-id", str(found["id"]), "--yes")
        assert bob.mlflow(auth=("bob", secret)) == 401
        assert "no token with id" in bob.run("tokens", "delete", "--token-id", str(found["id"]), "--yes", code=5).stderr
        bob.run("tokens", "delete", "--token-id", str(found["id"]), "--yes", "--force")

    def test_an_administrator_deletes_those_of_a_user(self, alice: Person, bob: Person) -> None:
        bob.log_in()
        alice.log_in()
        secret = alice.run("tokens", "create", "--name", "given", "--user", "bob").stdout.strip()
        assert bob.mlflow(auth=("bob", secret)) == 200
        alice.run("tokens", "delete", "--user", "bob", "--all", "--yes", "--verbose")
        assert bob.mlflow(auth=("bob", secret)) == 401

    def test_a_plain_user_is_no_administrator(self, bob: Person) -> None:
        bob.log_in()
        told = bob.run("tokens", "list", "--user", "alice", code=6).stderr
        assert "log in as an MLflow administrator" in told

    def test_a_token_does_not_outlive_a_year(self, bob: Person) -> None:
        bob.log_in()
        assert "at most 365d" in bob.run("tokens", "create", "--name", "x", "--expires", "400d", code=2).stderr


class TestSessions:
    def test_each_kind_is_listed_and_ended(self, alice: Person, bob: Person) -> None:
        alice.log_in()
        # An offline login leaves no other session behind; this one stays beside it.
        bob.log_in()
        bob.log_in("--offline")
        browser = Browser()
        url = bob.stack.outputs()["mlflow_url"]
        browser.submit(browser.open(f"{url}/login"), username="bob", password=bob.password)
        current = f"{url}/api/2.0/mlflow/users/current"
        assert browser.open(current).json()["username"] == "bob"
        listed = json.loads(alice.run("sessions", "list", "--user", "bob", "--output", "json").stdout)
        assert {row["kind"] for row in listed} == {"keycloak", "keycloak-offline", "mlflow"}
        (page,) = [row for row in listed if row["kind"] == "mlflow"]
        lives = datetime.fromisoformat(page["ends"]) - datetime.fromisoformat(page["started"])
        assert abs(lives.total_seconds() - LONGEST) <= 2, "a session of the pages outlives the realm's longest"
        everybody = json.loads(alice.run("sessions", "list", "--output", "json").stdout)
        assert {"alice", "bob"} <= {row["user"] for row in everybody}

        alice.run("sessions", "revoke", "--session-id", page["id"], "--yes")
        # The page session alone is gone; the login of the command line lives.
        assert browser.ask(current).status_code == 401
        assert bob.mlflow(bob.token()) == 200

        assert "s more" in alice.run("sessions", "revoke", "--user", "bob", "--client", "mlflow-cli", "--yes").stderr
        assert bob.refresh_is_refused()
        assert (
            "there is no session" in alice.run("sessions", "revoke", "--session-id", page["id"], "--yes", code=5).stderr
        )


class TestRevokeEverything:
    @pytest.mark.usefixtures("short_tokens")
    def test_old_credentials_of_every_kind_are_dead(self, alice: Person, bob: Person) -> None:
        alice.log_in()
        bob.log_in("--offline")
        secret = bob.run("tokens", "create", "--name", "laptop").stdout.strip()
        browser = Browser()
        url = bob.stack.outputs()["mlflow_url"]
        browser.submit(browser.open(f"{url}/login"), username="bob", password=bob.password)
        current = f"{url}/api/2.0/mlflow/users/current"
        assert browser.open(current).status_code == 200
        access_token = bob.token()

        told = alice.run("revoke", "bob", "--everything", "--yes", "--output", "json")
        report = json.loads(told.stdout)
        assert report["complete"]
        assert report["revoked"]["personal_tokens"] == 1
        assert len(report["proofs"]) == 6
        assert report["access_token_seconds"] == LIFETIME
        log = docker("logs", bob.stack.container("keycloak"))
        assert re.search(r'type="LOGIN".*username="bob"', log)
        assert re.search(r'type="IMPERSONATE".*impersonator=', log), "somebody acted as bob, and nobody sees it"

        assert bob.refresh_is_refused()
        assert bob.mlflow(auth=("bob", secret)) == 401
        assert browser.ask(current).status_code == 401
        login = browser.open(f"{url}/login")
        assert 'name="password"' in login.text, "Keycloak still knows the browser"
        # What the report says of an access token that is out already holds: it ends, and not before.
        assert bob.mlflow(access_token) in (200, 401)
        time.sleep(LIFETIME)
        assert bob.mlflow(access_token) == 401

    def test_a_disabled_user_is_out_at_once(self, alice: Person, bob: Person) -> None:
        alice.log_in()
        bob.log_in()
        access_token = bob.token()
        assert bob.mlflow(access_token) == 200
        report = json.loads(alice.run("revoke", "bob", "--everything", "--disable", "--yes", "-o", "json").stdout)
        assert report["complete"]
        assert report["access_token_seconds"] == 0
        assert bob.mlflow(access_token) == 401
        bob.run("login", "--username", "bob", "--password-stdin", given=bob.password + "\n", code=4)
        alice.run("users", "enable", "bob")
        bob.log_in()

    def test_nothing_happens_without_a_yes(self, alice: Person, bob: Person) -> None:
        alice.log_in()
        bob.log_in()
        assert "add --yes" in alice.run("revoke", "bob", "--everything", code=2).stderr
        assert bob.mlflow(bob.token()) == 200

    def test_an_administrator_does_not_lock_himself_out(self, alice: Person) -> None:
        alice.log_in()
        told = alice.run("revoke", "alice", "--everything", "--disable", "--yes", code=2).stderr
        assert "let another one do it" in told
        assert alice.mlflow(alice.token()) == 200

    def test_an_administrator_revokes_his_own_access(self, alice: Person) -> None:
        alice.log_in()
        report = json.loads(alice.run("revoke", "alice", "--everything", "--yes", "--output", "json").stdout)
        assert report["complete"]
        assert alice.refresh_is_refused()

    def test_nobody_of_that_name(self, alice: Person) -> None:
        alice.log_in()
        assert "nobody-here" in alice.run("revoke", "nobody-here", "--everything", "--yes", code=5).stderr


class TestMend:
    @staticmethod
    def groups(keycloak: KeycloakAdmin, name: str) -> set[str]:
        return set(keycloak.memberships(keycloak.find_user(name).id))

    def test_a_declared_user_is_in_the_declared_groups_again(self, alice: Person, bob: Person) -> None:
        alice.log_in()
        keycloak = keycloak_of(alice.stack.outputs())
        ids = {row["name"]: row["id"] for row in keycloak.pages("/groups")}
        user = keycloak.find_user("bob").id
        keycloak.join(user, ids["mlflow-admins"])
        keycloak.leave(user, ids["mlflow-users"])
        told = alice.run("users", "list", code=1).stdout
        assert "not in mlflow-users" in told
        alice.run("users", "mend", "bob", "--dry-run", code=1)
        assert self.groups(keycloak, "bob") == {"mlflow-admins"}
        alice.run("users", "mend", "bob", "--yes")
        assert self.groups(keycloak, "bob") == {"mlflow-users"}
        assert "Nothing differs" in alice.run("users", "mend", "bob").stderr

    def test_an_account_of_somebody_who_is_gone_ends(self, alice: Person, bob: Person) -> None:
        alice.log_in()
        keycloak, name = keycloak_of(alice.stack.outputs()), f"guest-{secrets.token_hex(4)}"
        known = {"firstName": "G", "lastName": "Uest", "email": f"{name}@example.com", "emailVerified": True}
        password = {"type": "password", "value": bob.password, "temporary": False}
        keycloak.request("POST", "/users", json={"username": name, "enabled": True, "credentials": [password], **known})
        user = keycloak.find_user(name).id
        keycloak.join(user, next(row["id"] for row in keycloak.pages("/groups") if row["name"] == "mlflow-users"))
        bob.run("login", "--username", name, "--password-stdin", given=bob.password + "\n")
        token = bob.token()
        assert bob.mlflow(token) == 200
        assert "--undeclared" in alice.run("users", "mend", name, "--yes", code=1).stderr
        assert self.groups(keycloak, name) == {"mlflow-users"}
        alice.run("users", "mend", name, "--undeclared", "--yes")
        assert self.groups(keycloak, name) == set()
        keycloak.request("DELETE", f"/users/{user}")
        assert "--gone" in alice.run("users", "mend", name, "--yes", code=1).stderr
        assert bob.mlflow(token) == 200
        assert "is deactivated in MLflow" in alice.run("users", "mend", name, "--gone", "--yes").stderr
        assert bob.mlflow(token) == 401
        assert "Nothing differs" in alice.run("users", "mend", name).stderr


LONG_JOB = """
import functools, multiprocessing, sys, time, uuid
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

def answered(call, *args, **more):
    # A token has seconds left as it is sent. What takes as long to be heard may be refused, and is sent once more.
    while True:
        start = time.monotonic()
        try:
            return call(*args, **more)
        except MlflowException:
            if time.monotonic() - start < 2:
                raise

def work(experiment, seconds, number):
    client = MlflowClient()
    run = answered(client.create_run, experiment, run_name=f"worker-{number}")
    end, step = time.time() + seconds, 0
    while time.time() < end:
        answered(client.log_metric, run.info.run_id, "loss", 1 / (step + 1), step=step)
        if step % 20 == 0:
            answered(client.log_text, run.info.run_id, "so far", f"notes/{step}.txt")
        step += 1
        time.sleep(0.4)
    answered(client.set_terminated, run.info.run_id)
    return step

if __name__ == "__main__":
    experiment = answered(MlflowClient().create_experiment, uuid.uuid4().hex)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(sum(pool.map(functools.partial(work, experiment, float(sys.argv[1])), range(2))))
"""


class TestLongJob:
    @pytest.mark.usefixtures("short_tokens")
    def test_workers_log_through_three_lifetimes_with_the_uri_alone(self, bob: Person, tmp_path: Path) -> None:
        bob.log_in("--offline")
        program = tmp_path / "job.py"
        program.write_text(LONG_JOB)
        # The client itself tries no call twice: a single prompt refusal ends the job.
        env = {**bob.environment, "MLFLOW_TRACKING_URI": bob.url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        done = subprocess.run(
            (sys.executable, str(program), str(3 * LIFETIME + 5)), env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        # The client's own words stand before the number of steps.
        assert int(done.stdout.split()[-1]) > 3 * LIFETIME
        assert "stackctl:" not in done.stderr
