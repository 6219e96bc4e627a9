"""What no target can honour is named, all of it at once, whatever the target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from platforms.rules import check_workloads
from platforms.workload import (
    Entrance,
    ExecCheck,
    HttpCheck,
    OnDemand,
    Outside,
    Port,
    Probe,
    Protocol,
    Resources,
    Scheduled,
    Service,
    Volume,
    Workload,
)

SERVICE = Service(Probe(ExecCheck(("true",))))
ONE = Workload(name="one", image="x:1", uid=1, resources=Resources(64, 1.0), runs=SERVICE)
OTHER = replace(ONE, name="other")
PEOPLE = Port("http", 80, entrance=Entrance("http://localhost", 8000))


def named(*workloads: Workload) -> list[str]:
    return [str(problem) for problem in check_workloads(workloads)]


def test_what_is_right_has_no_problem() -> None:
    probe = Probe(ExecCheck(("true",)), http=HttpCheck(9000, "/ready"))
    read = Port("read", 82, Protocol.HTTP, metrics="/metrics")
    ports = (PEOPLE, Port("probed", 9000), Port("called", 81, callers=("other",)), read)
    ways = tuple(Outside(host, 443) for host in ("s3.example.com", "10.0.0.0/8", "192.0.2.1", "2001:db8::1"))
    nightly = replace(ONE, name="nightly", runs=Scheduled("0 3 * * *", 60), args=("run",))
    asked = replace(ONE, name="asked", runs=OnDemand(60), args=("run",))
    assert named(replace(ONE, runs=Service(probe), ports=ports, outside=ways), OTHER, nightly, asked) == []


@pytest.mark.parametrize(
    ("ports", "problem"),
    [
        ((Port("http", 80),), "one = port http: expected a caller, an entrance, a probe or metrics: nobody uses it"),
        ((Port("http", 80, callers=("three",)),), "one = caller three of port http: expected a workload's name"),
        ((Port("http", 0, callers=("other",)),), "one = port http = 0: expected a number from 1 to 65535"),
        (
            (Port("m", 80, Protocol.HTTP, metrics="metrics"),),
            "one = metrics metrics of port m: expected a path that starts with /",
        ),
        ((Port("m", 80, metrics="/metrics"),), "one = metrics of port m = tcp: expected http or https"),
        (
            (Port("a", 80, Protocol.HTTP, metrics="/m"), Port("b", 81, Protocol.HTTP, metrics="/m")),
            "one = metrics of ports a, b: expected those of one port",
        ),
        (
            (Port("a", 80, callers=("other",)), Port("b", 80, callers=("other",))),
            "one = port 80: expected a number used once",
        ),
        (
            (Port("a", 80, callers=("other",)), Port("a", 81, callers=("other",))),
            "one = port a: expected a name used once",
        ),
    ],
)
def test_a_wrong_port_is_named(ports: tuple[Port, ...], problem: str) -> None:
    assert named(replace(ONE, ports=ports), OTHER) == [f"workload {problem}"]


@pytest.mark.parametrize(
    ("way", "problem"),
    [
        (Outside("s3.example.com", 0), "s3.example.com: expected a port from 1 to 65535, not 0"),
        (Outside("", 443), "nowhere: expected a host name, an address or a network"),
        (Outside("10.0.0.1/8", 443), "10.0.0.1/8: expected an IPv4 network such as 10.0.0.0/8"),
        (Outside("10.0.0.256", 443), "10.0.0.256: expected a host name, or an IPv4 address such as 10.0.0.1"),
        (Outside("010.0.0.1", 443), "010.0.0.1: expected a host name, or an IPv4 address such as 10.0.0.1"),
        (Outside("*.example.com", 443), "*.example.com: expected a host name, or an IPv4 address such as 10.0.0.1"),
        (Outside("10.0.0.0/255.0.0.0", 443), "10.0.0.0/255.0.0.0: expected an IPv4 network such as 10.0.0.0/8"),
        *(
            (Outside(host, 443), f"{host}: expected a host name, or an IPv4 address such as 10.0.0.1")
            for host in ("x.com:443", "a:b c", "::1", "fe80::1%eth0", "[2001:db8::1]", "fe80::%")
        ),
        (Outside("a b", 443), "a b: expected a host name, or an IPv4 address such as 10.0.0.1"),
    ],
)
def test_a_wrong_way_out_is_named(way: Outside, problem: str) -> None:
    assert named(replace(ONE, outside=(way,))) == [f"workload one = way out to {problem}"]


def test_a_wrong_schedule_is_named_with_all_else_that_is_wrong() -> None:
    wrong = replace(ONE, uid=0, runs=Scheduled("every night", 0), ports=(PEOPLE,))
    assert named(wrong, OTHER, OTHER) == [
        "workload other: expected a name used once",
        "workload one = uid 0: expected a non-root user",
        "workload one, schedule = every night: "
        "expected five fields in UTC: minute, hour, day of the month, month, day of the week",
        "workload one, timeout = 0: expected at least 1 second",
        "workload one = arguments: expected what it runs: no target knows it",
        "workload one = port http: expected none: nobody can call what does not run for ever",
    ]


def test_a_probe_of_a_port_that_is_not_there_is_named() -> None:
    runs = Service(Probe(ExecCheck(("true",)), live=HttpCheck(9000, "/live")))
    assert named(replace(ONE, runs=runs)) == ["workload one = probe of port 9000: expected one of its ports"]


def test_two_workloads_cannot_share_a_port_of_the_host() -> None:
    both = (replace(ONE, ports=(PEOPLE,)), replace(OTHER, ports=(PEOPLE,)))
    assert named(*both) == ["workload other = port 8000: already published by one"]


@pytest.mark.parametrize("percent", [0, -300])
def test_a_load_that_is_none_never_calls_for_another_replica(percent: int) -> None:
    scaled = replace(ONE, runs=replace(SERVICE, max_replicas=3, scale_at_percent=percent))
    assert named(scaled) == [f"workload one, scaling = {percent} %: expected at least 1 %"]


def test_data_of_two_workloads_never_shares_a_name() -> None:
    one = replace(ONE, name="a", volumes=(Volume("b-c", "/data"),))
    other = replace(ONE, name="a-b", volumes=(Volume("c", "/data"),))
    expected = "expected another name: together with the workload's it is that of a volume of a"
    assert named(one, other) == [f"workload a-b = volume c: {expected}"]


def test_no_workload_is_on_the_way_out_of_another_one_by_its_name() -> None:
    one = replace(ONE, outside=(Outside("s3.example.com", 443),))
    assert named(one, replace(ONE, name="one-outside")) == [
        "workload one-outside: expected another name: the way out of one has it"
    ]


def test_two_things_at_one_path_are_named() -> None:
    """Data below a directory in memory would be gone with the container."""
    wrong = replace(ONE, volumes=(Volume("data", "/data"),), writable=("/data", "/tmp"))
    assert named(wrong) == ["workload one = path /data: expected one thing there: the last one would hide the others"]


@pytest.mark.parametrize("path", ["data", "/data/", "/a/../data", "/data:rw", "/$HOME", "/a\nb", "//data"])
def test_a_path_that_targets_spell_in_different_ways_is_named(path: str) -> None:
    shown = path.replace("\n", "\\n")
    expected = f"workload one = path {shown}: expected an absolute path as short as can be, without : and $"
    assert named(replace(ONE, volumes=(Volume("data", path),))) == [expected]
