"""Names, numbers and variables of a workload that not every target takes are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from platforms.rules import check_workloads
from platforms.secrets import Secret, SecretText
from platforms.workload import Entrance, HttpCheck, Outside, Port, Volume
from tests.unit.test_workload_rules import ONE, OTHER, SERVICE, named

LABEL = "expected a DNS label: up to 63 of a-z, 0-9 and -, neither first nor last a -"
NUMBER = "expected a number from 1 to 65535"
NO_LABELS = ["", "One", "a.b", "a_b", "-a", "a-", "a" * 64, "a\n", "ä", "a b"]


def values(*changes: Any) -> list[str]:
    return [problem.value for problem in check_workloads(changes)]


@pytest.mark.parametrize("name", NO_LABELS)
def test_a_name_that_is_no_label_is_named(name: str) -> None:
    assert [problem.expected for problem in check_workloads([replace(ONE, name=name)])] == [LABEL]
    kept = replace(ONE, volumes=(Volume(name, "/data"),))
    assert values(kept) == [f"volume {name}"]


@pytest.mark.parametrize("name", ["a", "0", "a-1", "a" * 63])
def test_a_label_is_taken(name: str) -> None:
    assert named(replace(ONE, name=name, volumes=(Volume(name, "/data"),))) == []


@pytest.mark.parametrize("name", [*NO_LABELS, "a" * 16, "80", "a--b"])
def test_a_ports_name_that_kubernetes_does_not_take_is_named(name: str) -> None:
    assert values(replace(ONE, ports=(Port(name, 80, callers=("other",)),)), OTHER) == [f"port {name}"]


@pytest.mark.parametrize("name", ["a", "a-1", "1-a", "jgroups-fd", "a" * 15])
def test_a_ports_name_is_taken(name: str) -> None:
    assert named(replace(ONE, ports=(Port(name, 80, callers=("other",)),)), OTHER) == []


def test_two_volumes_of_one_workload_have_two_names() -> None:
    two = replace(ONE, volumes=(Volume("data", "/a"), Volume("data", "/b")))
    assert named(two) == ["workload one = volume data: expected a name used once"]


@pytest.mark.parametrize("uid", [0, -1, True, None, "0"])
def test_a_user_that_is_none_or_root_is_named(uid: Any) -> None:
    assert named(replace(ONE, uid=uid)) == [f"workload one = uid {uid}: expected a non-root user"]


@pytest.mark.parametrize(
    ("least", "most", "problem"),
    [
        (0, None, "replicas = 0: expected at least 1"),
        (-1, 3, "replicas = -1: expected at least 1"),
        (True, None, "replicas = True: expected at least 1"),
        (2, 1, "scaling = up to 1 replicas: expected 2 or more"),
        (1, 0, "scaling = up to 0 replicas: expected 1 or more"),
    ],
)
def test_copies_that_cannot_be_are_named(least: int, most: int | None, problem: str) -> None:
    runs = replace(SERVICE, replicas=least, max_replicas=most)
    assert named(replace(ONE, runs=runs)) == [f"workload one, {problem}"]


@pytest.mark.parametrize("number", ["80", None, True, 80.0, 65536, -1])
def test_a_port_that_is_no_number_is_named_once(number: Any) -> None:
    called = replace(ONE, ports=(Port("http", number, callers=("other",)),))
    assert named(called, OTHER) == [f"workload one = port http = {number}: {NUMBER}"]
    opened = replace(ONE, ports=(Port("http", 80, entrance=Entrance("http://localhost", number)),))
    assert named(opened) == [f"workload one = host port {number} of port http: {NUMBER}"]
    way = replace(ONE, outside=(Outside("s3.example.com", number),))
    assert values(way) == ["way out to s3.example.com"]


def test_probes_of_ports_that_are_no_numbers_are_named() -> None:
    odd: Any = "9000"
    probe = replace(SERVICE.probe, http=HttpCheck(odd, "/"), live=HttpCheck(9001, "/"))
    assert values(replace(ONE, runs=replace(SERVICE, probe=probe))) == ["probe of port 9000", "probe of port 9001"]


def test_two_ports_of_one_workload_cannot_share_a_port_of_the_host() -> None:
    door = Entrance("http://localhost", 8000)
    both = replace(ONE, ports=(Port("http", 80, entrance=door), Port("https", 81, entrance=door)))
    assert named(both) == ["workload one = port 8000: already published by its port http"]


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A.B", "A=B", "A B", "A\n", "Ä"])
def test_a_variable_that_not_every_target_carries_is_named(name: str) -> None:
    assert values(replace(ONE, env={name: "x"})) == [f"variable {name}"]
    secret = SecretText.of(Secret("token"))
    assert values(replace(ONE, secret_env={name: secret})) == [f"variable {name}"]
