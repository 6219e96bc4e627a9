"""A group that is declared no more is not removed with its members: the engine asks Keycloak before it writes."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pulumi
import pytest

from components.keycloak import AdminLogin
from components.realm.asked import Asked
from platforms.secrets import Secret
from settings import Settings
from tests.contract.engine import fresh_run
from tests.samples import elsewhere, settings

PEOPLE = ["bob", *(f"p{number:03}" for number in range(100))]
REALM, GROUP = "keycloak:index/realm:Realm", "keycloak:index/group:Group"
LOST = "realm.groups: old, which is no longer declared: 1 member(s) (zoe), 0 group(s) in it"
THERE = elsewhere()
THERE["keycloak"]["existing"]["createRealm"] = False


def asked(monkeypatch: pytest.MonkeyPatch, groups: dict[str, list[str]], roles: tuple[str, ...]) -> Asked:
    """Keycloak with top-level groups and their members. roles: those that stand for groups of the stack."""
    made = Asked("http://localhost", AdminLogin("provisioner", Secret("p"), "master"), "mlflow")

    def answer(url: str, data: bytes | None = None, headers: Any = None) -> Any:
        path, query = urlsplit(url).path.removeprefix("/admin/realms/mlflow"), parse_qs(urlsplit(url).query)
        if data is not None:
            return {"access_token": "token"}
        if path == "/clients":
            return [{"id": "owner"}] if query["clientId"] == ["mlflow-groups"] and roles else []
        if path == "/clients/owner/roles":
            return [{"name": role} for role in roles]
        if path == "/groups":
            (name,) = query["search"]
            # One above that holds a group of the name is found, too.
            found = [one for one in groups if name in one.split("/")]
            return [
                {"id": one.replace("/", "~"), "name": one.split("/")[0], "subGroupCount": one.count("/")}
                for one in found
            ]
        first, most = int(query["first"][0]), int(query["max"][0])
        assert most <= 100
        return [{"username": name} for name in groups[path.split("/")[2].replace("~", "/")][first : first + most]]

    monkeypatch.setattr(made, "_ask", answer)
    return made


@pytest.mark.parametrize(
    ("groups", "roles", "told"),
    [
        ({"old": ["zoe"]}, ("old", "new"), [LOST]),
        ({"old": ["bob", "zoe"]}, ("old", "new"), [LOST]),
        ({"old": ["bob"]}, ("old", "new"), []),
        # Behind a first page of people whom the settings declare.
        ({"old": [*(f"p{number:03}" for number in range(100)), "zoe"]}, ("old", "new"), [LOST]),
        ({"old": []}, ("old", "new"), []),
        ({"old/inside": []}, ("old",), [LOST.replace("1 member(s) (zoe), 0", "0 member(s), 1")]),
        # Those of somebody else: without a role, or below another one.
        ({"old": ["zoe"]}, ("new",), []),
        ({"old": ["zoe"]}, (), []),
        ({"customers/old": ["zoe"]}, ("old",), []),
        ({"new": ["zoe"]}, ("new",), []),
        ({"old": ["a", "b", "c", "d"]}, ("old",), [LOST.replace("1 member(s) (zoe)", "4 member(s) (a, b, c ...)")]),
    ],
)
def test_a_group_of_the_stack_with_others_in_it_is_told(
    groups: dict[str, list[str]], roles: tuple[str, ...], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(monkeypatch, groups, roles).lost("secret", "mlflow-groups", ["new"], PEOPLE) == told


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("given", [settings(), settings(THERE)], ids=["made", "there"])
def test_nothing_is_written_then(given: Settings) -> None:
    written = []
    with pytest.raises(pulumi.RunError, match="zoe"):
        written.append(fresh_run(given, lost=[LOST]))
    assert not written


def test_a_preview_asks_nobody() -> None:
    assert fresh_run(settings(), preview=True, lost=[LOST]).of_type(GROUP)
