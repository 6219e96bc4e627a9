"""What a Workload promises is true on every target, or the target refuses it by name."""

from __future__ import annotations

import pytest

from platforms.secrets import SecretText
from platforms.workload import Workload
from settings import Settings
from tests.contract.targets import TARGETS, Made, OnDocker, Target, secret_value
from tests.samples import OPERATORS_PASSWORD, PROGRAMS, settings

pytestmark = pytest.mark.usefixtures("components")


def pairs(target: Target, sample: Settings) -> list[tuple[Workload, Made]]:
    made = target.deploy(sample, "test")
    workloads = target.workloads(sample, "test")
    assert sorted(made) == sorted(workload.name for workload in workloads)
    return [(workload, made[workload.name]) for workload in workloads]


def filled(text: SecretText) -> str:
    return "".join(text.fold(str, secret_value, lambda written: written.spelt(secret_value(written.secret))))


def test_it_runs_the_image_with_its_arguments_and_exactly_its_variables(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert made.image == workload.image
        assert made.args == workload.args
        expected = {**workload.env, **{name: filled(text) for name, text in workload.secret_env.items()}}
        assert dict(made.env) == expected


def test_data_and_files_are_where_the_program_looks_for_them(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert set(made.volumes) == {volume.path for volume in workload.volumes}
        assert dict(made.files) == {file.path: file.content for file in workload.files}


def test_nothing_is_privileged(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert (made.uid, made.gid) == (workload.uid, workload.uid)
        assert made.uid > 0
        assert made.read_only
        assert made.writable == set(workload.writable)
        assert made.dropped == ("ALL",)
        assert made.added == ()
        assert not made.privilege_kept


def test_only_callers_reach_it(target: Target, sample: Settings) -> None:
    both = pairs(target, sample)
    for called, made in both:
        assert set(called.callers) <= made.reached_by
        # A network is open both ways, so the other way round is not held against a target.
        callees = [w for w, _ in both if called.name in w.callers]
        related = {*called.callers, *(w.name for w in callees)}
        if isinstance(made, OnDocker):
            # On the network of what they call, callers can reach each other (docs/decisions/0008-docker-isolation.md).
            related |= {name for callee in callees for name in callee.callers}
        assert made.reached_by <= related, called.name


def test_limits_hold(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert made.memory_mib == workload.resources.memory_mib


def test_cores_that_do_not_suffice_are_shared_by_what_is_asked_and_its_weight(target: Target, sample: Settings) -> None:
    """In a fight for cores only the relation counts; none may come to nothing."""
    both = pairs(target, sample)
    asked = {w.name: w.resources.cpus * w.resources.weight for w, _ in both}
    own = [asked[name] for name in PROGRAMS if name in asked]
    assert len(set(own)) > 1 or len(own) == 1, "equal shares would prove nothing"
    for workload, made in both:
        assert made.cpu_share == pytest.approx(asked[workload.name], rel=0.02), f"{workload.name} of {asked}"
        assert made.cpu_share > 0


def test_no_workload_takes_more_cores_than_it_may_where_the_target_has_a_limit(
    target: Target, sample: Settings
) -> None:
    for workload, made in pairs(target, sample):
        assert made.cpu_limit in (None, workload.resources.cpus)


def test_it_has_the_time_to_end_that_it_needs(target: Target, sample: Settings) -> None:
    """Postgres that is killed too soon has to recover, and Redis loses what it has not written."""
    for workload, made in pairs(target, sample):
        assert made.stop_seconds >= workload.stop_seconds, workload.name


def test_data_has_the_room_that_is_asked_for_where_the_target_has_quotas(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert set(made.sizes_gib) <= set(made.volumes)
        for volume in workload.volumes:
            assert made.sizes_gib.get(volume.path) in (None, volume.size_gib), f"{workload.name} {volume.name}"


def test_two_stacks_share_no_name(target: Target, sample: Settings) -> None:
    first, second = (
        {name for made in target.deploy(sample, stack).values() for name in made.names} for stack in ("test", "other")
    )
    assert len(first) == len(second) >= len(target.workloads(sample, "test"))
    assert not first & second


def test_operators_secrets_are_quoted_in_urls_and_nowhere_else(target: Target) -> None:
    external = {
        "host": "db.example.com",
        "mlflow": {"database": "m", "username": "someone", "password": OPERATORS_PASSWORD},
        "oidc": {"database": "o", "username": "someone", "password": OPERATORS_PASSWORD},
        "keycloak": {"database": "k", "username": "someone", "password": OPERATORS_PASSWORD},
    }
    made = target.deploy(settings({"postgres": {"external": external}}), "test")
    assert (
        ":operators-own%2Fp%40ss%3Aw%25rd%20%231%3F@db.example.com:5432/m"
        in made["mlflow"].env["MLFLOW_BACKEND_STORE_URI"]
    )
    assert made["keycloak"].env["KC_DB_PASSWORD"] == OPERATORS_PASSWORD


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_dollar_sign_of_the_operator_arrives_as_it_is(name: str) -> None:
    made = TARGETS[name].deploy(settings({"mlflow": {"env": {"PRICE": "$5 $$ ${HOME} $HOME"}}}), "test")
    assert made["mlflow"].env["PRICE"] == "$5 $$ ${HOME} $HOME"


@pytest.mark.parametrize("longest", [3600, 36000])
def test_a_session_of_the_pages_ends_with_the_longest_of_the_realm(target: Target, longest: int) -> None:
    """The plugin's own default is two weeks."""
    config = {"realm": {"lifetimes": {"ssoMaxSeconds": longest}}}
    assert target.deploy(settings(config), "test")["mlflow"].env["SESSION_COOKIE_MAX_AGE_SECONDS"] == str(longest)
