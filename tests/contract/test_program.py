"""The whole program on the SDK's mocks: secrecy, order, parents, logical names, refusal before the first resource."""

from __future__ import annotations

import gc
import logging
from urllib.parse import quote

import pulumi
import pytest
from pulumi.runtime.settings import SETTINGS

from components.stack import stack_spec
from platforms.workload import Service
from problems import StackError
from settings import Settings
from tests.contract.engine import GENERATED, fresh_run, run, text
from tests.contract.names import hold_to_snapshot, names
from tests.contract.targets import secret_value
from tests.fakes import FakeDocker
from tests.samples import OPERATORS_OWN, OPERATORS_PASSWORD, PROGRAMS, settings

NETWORK = "docker:index/network:Network"


def holds_a_secret(value: object) -> bool:
    return GENERATED in text(value) or OPERATORS_OWN in text(value)


def test_no_input_holds_a_secret_unless_it_is_marked(sample: Settings) -> None:
    done = run(sample)
    for resource in done.resources.values():
        for name, value in resource.inputs.items():
            if name not in resource.secret:
                assert not holds_a_secret(value), f"{resource.name}.{name} shows a secret"


def test_every_secret_of_the_stack_arrives_somewhere_marked(sample: Settings) -> None:
    done = run(sample)
    marked = [r.inputs[name] for r in done.resources.values() for name in r.secret]
    for secret in stack_spec(sample).secrets:
        value = secret_value(secret)
        found = any(shown in text(marked) for shown in (text(value)[1:-1], quote(value, safe="")))
        assert found, f"{secret.name} is made and given to nobody"


def test_the_tls_key_is_marked(samples: dict[str, Settings]) -> None:
    done = run(samples["everything"])
    with_it = [r for r in done.resources.values() if "operators-own-tls-key" in text(r.inputs)]
    assert len(with_it) == 2, "one for Keycloak and one for MLflow"
    for resource in with_it:
        assert "uploads" in resource.secret


def test_an_output_is_secret_exactly_when_it_holds_one(sample: Settings) -> None:
    done = run(sample)
    assert done.secret_outputs == {name for name, value in done.outputs.items() if holds_a_secret(value)}
    assert "client_secret" in done.secret_outputs
    assert {"mlflow_url", "issuer_url", "client_id"}.isdisjoint(done.secret_outputs)


def test_outputs_are_complete_and_are_those_of_the_other_engine(sample: Settings) -> None:
    done = run(sample)
    expected = {"mlflow_url", "issuer_url", "keycloak_url", "realm", "client_id", "client_secret", "users"}
    assert expected <= set(done.outputs)
    assert set(done.outputs) == set(stack_spec(sample).outputs())
    assert OPERATORS_PASSWORD not in text(stack_spec(sample).outputs()), "a Secret shows its value"


def test_generated_secrets_stay_secret_in_state(sample: Settings) -> None:
    made = run(sample).of_type("random:index/randomPassword:RandomPassword")
    assert made
    for resource in made.values():
        assert {"result", "bcryptHash"} <= resource.secret_outputs
        assert resource.inputs["length"] >= 20
        # Only people's have signs, which are not in URLs.
        assert resource.inputs["special"] is resource.name.startswith("user-")


def test_the_operators_own_secrets_are_not_generated_again(samples: dict[str, Settings]) -> None:
    sample = samples["elsewhere"]
    given = {s.name for s in stack_spec(sample).secrets if s.value is not None}
    assert given
    assert not given & set(run(sample).of_type("random:index/randomPassword:RandomPassword"))


def test_every_resource_belongs_to_a_component(sample: Settings) -> None:
    done = run(sample)
    for resource in done.resources.values():
        ours = resource.type.startswith("mlflow-sso:index:")
        assert (resource.parent not in done.resources) == ours, f"{resource.name} is a child of {resource.parent}"


def test_a_container_and_its_volumes_belong_to_the_component_of_the_same_name(sample: Settings) -> None:
    done = run(sample)
    for kind in ("docker:index/container:Container", "docker:index/volume:Volume"):
        for name, resource in done.of_type(kind).items():
            component = done.resources[resource.parent].name
            assert name == component or name.startswith(component + "-")
    for name, network in done.of_type(NETWORK).items():
        assert done.resources[network.parent].name == "networks", name


def test_everything_in_keycloak_goes_through_the_stacks_own_provider(sample: Settings) -> None:
    done = run(sample)
    in_keycloak = [r for r in done.resources.values() if r.type.startswith("keycloak:")]
    assert in_keycloak
    assert {"pulumi:providers:keycloak" in r.provider for r in in_keycloak} == {True}
    provider = done.of_type("pulumi:providers:keycloak")["keycloak"]
    assert provider.inputs["url"] == sample.keycloak.url
    assert provider.inputs["initialLogin"] == "false"
    assert "password" not in provider.inputs
    assert "clientSecret" in provider.secret


@pytest.mark.parametrize(("name", "volume"), [("default", "postgres-data"), ("everything", "postgres-keycloak-data")])
def test_the_realm_goes_with_the_volume_that_holds_it(name: str, volume: str, samples: dict[str, Settings]) -> None:
    done = run(samples[name])
    (urn,) = [urn for urn in done.resources if urn.endswith(f"docker:index/volume:Volume::{volume}")]
    in_keycloak = [r for r in done.resources.values() if r.type.startswith("keycloak:")]
    assert {resource.deleted_with for resource in in_keycloak} == {urn}


def test_what_was_made_in_a_keycloak_that_stays_is_removed_one_by_one(samples: dict[str, Settings]) -> None:
    done = run(samples["elsewhere"])
    assert {r.deleted_with for r in done.resources.values() if r.type.startswith("keycloak:")} == {""}


@pytest.mark.parametrize("name", ["default", "everything", "elsewhere"])
def test_logical_names_are_stable(name: str, samples: dict[str, Settings]) -> None:
    hold_to_snapshot(f"docker-{name}", run(samples[name]))


def test_logical_names_do_not_depend_on_the_stack(sample: Settings) -> None:
    assert names(run(sample)) == names(run(sample, "other"))


def test_a_preview_waits_for_nothing_and_asks_no_container(docker: FakeDocker) -> None:
    done = fresh_run(settings(), preview=True)
    assert done.of_type("docker:index/container:Container")
    assert not [call for call in docker.calls if call.startswith(("exec", "logs"))]
    # What runs already is looked at once, for the ports that it holds.
    assert [call for call in docker.calls if call.startswith("inspect")] == ["inspect --type container 0123abcd"]


def serving() -> set[str]:
    """The containers of what runs for ever."""
    services = [w.name for w in stack_spec(settings()).workloads if isinstance(w.runs, Service)]
    assert set(PROGRAMS) <= set(services)
    return {f"mlflow-sso-test-{name}" for name in services}


def test_an_up_asks_each_container_whether_it_serves(docker: FakeDocker) -> None:
    fresh_run(settings())
    asked = {call.split()[1] for call in docker.calls if call.startswith("exec")}
    assert asked == serving()


def test_an_up_does_not_ask_a_container_that_the_engine_calls_healthy(docker: FakeDocker) -> None:
    docker.runs("id-of-keycloak", 5000, 8080, health="healthy")
    fresh_run(settings())
    asked = {call.split()[1] for call in docker.calls if call.startswith("exec")}
    assert asked == serving() - {"mlflow-sso-test-keycloak"}


def test_a_container_that_exits_fails_the_up_with_its_last_lines(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.fail("exec", "container is not running")
    docker.container("exited", exit_code=3)
    docker.answer("logs", "FATAL: out of ideas\n")
    # Other outputs fail with it, and asyncio would tell of each when it is collected.
    monkeypatch.setattr(logging.getLogger("asyncio"), "disabled", True)
    with pytest.raises(pulumi.RunError, match=r"exited, last exit code 3(.|\n)*FATAL: out of ideas"):
        fresh_run(settings())
    SETTINGS.outputs.clear()
    gc.collect()


def test_what_the_target_cannot_do_is_refused_before_the_first_resource(docker: FakeDocker) -> None:
    docker.engine(version="19.03.5")
    docker.images("something:else")
    with pytest.raises(StackError) as caught:
        fresh_run(settings(stack="refused"), "refused")
    message = str(caught.value)
    assert "nothing was created" in message
    assert "docker engine = 19.03.5: expected 20.10 or later" in message
    for workload in stack_spec(settings()).workloads:
        assert f"image = {workload.image}:" in message
    assert not [call for call in docker.calls if call.startswith(("exec", "run", "create"))]


def test_an_output_in_an_f_string_raises_in_these_tests() -> None:
    with pytest.raises(Exception, match="not supported"):
        str(pulumi.Output.from_input("never shown"))
