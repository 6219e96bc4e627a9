"""One stack for each engine that is here, shared by every test that leaves it as it was."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from stackctl.engines import pulumi_cli
from tests.e2e.asking import Person, person
from tests.e2e.cluster import JOBS, cluster_or_skip, has_istio
from tests.e2e.harness import WORKLOADS, Client, Stack
from tests.e2e.keycloak import KeycloakAdmin

ENGINES = ("compose", "pulumi")


# What the shared stack declares beside the sample users. The tests of a module share the tokens of two people.
DECLARED = {
    "lifetimes": {"accessTokenSeconds": 1500},
    "users": [{"username": "carol", "email": "carol@example.com", "firstName": "Carol", "lastName": "Outside"}],
    "serviceAccounts": [{"clientId": "trainer", "groups": ["mlflow-users"]}],
}


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.e2e)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the last lines of the stack's containers beside a failure: the stack is gone when somebody reads of it."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections += [(f"the last lines of {name}", stack.logs(name)) for name in WORKLOADS]
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by engine, and last those that restart and then remove its shared stack."""
    mine = [item for item in items if item.get_closest_marker("e2e")]
    others = [item for item in items if not item.get_closest_marker("e2e")]
    items[:] = [*others, *sorted(mine, key=lambda item: (_engine(item), _lateness(item)))]


def _engine(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("engine", "")) if callspec else ""


def _lateness(item: pytest.Item) -> int:
    return 2 if item.get_closest_marker("destroys") else 1 if item.get_closest_marker("restarts") else 0


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn; the tests of one that is not here are skipped, with the reason.

    A test that asks for `render` has a stack of rendered files on the cluster.
    """
    name = str(request.param)
    if name == "pulumi":
        reason = pulumi_cli.unavailable()
        if reason:
            pytest.skip(reason)
    elif name == "render":
        cluster_or_skip()
    return name


@pytest.fixture(scope="session")
def stack(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    cluster = {"platform": "kubernetes", "kubernetes": {"mesh": {"enabled": has_istio()}}} if engine == "render" else {}
    with Stack.make(engine, tmp_path_factory.mktemp(engine), realm=DECLARED, **cluster).running() as made:
        yield made


@pytest.fixture(scope="session")
def client(stack: Stack) -> Client:
    return Client(stack.outputs())


@pytest.fixture(scope="module")
def alice(client: Client) -> Person:
    """An administrator."""
    return person(client, "alice")


@pytest.fixture(scope="module")
def bob(client: Client) -> Person:
    """A plain user to whom nobody granted anything."""
    return person(client, "bob")


@pytest.fixture(scope="session")
def keycloak(client: Client) -> KeycloakAdmin:
    return KeycloakAdmin(client.outputs)


@pytest.fixture(scope="session")
def neighbour(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Another stack beside the first, with the same settings; brought up by Compose whatever engine that has."""
    with Stack.make("compose", tmp_path_factory.mktemp("neighbour"), realm=DECLARED).running() as made:
        yield made


@pytest.fixture(scope="session")
def mesh() -> bool:
    """Whether the cluster under test, without which there is none of these tests, has Istio."""
    cluster_or_skip()
    return has_istio()


@pytest.fixture(scope="session")
def k8s(mesh: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack on a cluster, shared by every test that leaves it as it was."""
    options = {"mesh": {"enabled": mesh}, "callers": [JOBS]}
    made = Stack.make("render", tmp_path_factory.mktemp("k8s"), platform="kubernetes", kubernetes=options)
    with made.running():
        yield made


@pytest.fixture(scope="session")
def people(k8s: Stack) -> Client:
    return Client(k8s.outputs())
