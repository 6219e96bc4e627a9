"""The next `up` of a stack made by an earlier release replaces no container, pod, volume, claim or password.

What a release registers with the engine and renders is kept below frozen/, one object a line. The present tree has to
say the same of every object, but for what ALLOWED lists with its reason; the changelog names each of these. To keep
another release: `python -m tests.contract.frozen RELEASE`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.stack import redacted
from platforms.docker import site as docker_site
from platforms.labels import LABEL_PROTECTED
from settings import ROOT, Settings
from tests.contract.engine import GENERATED, run_program, text
from tests.contract.frozen.recording import Objects, View, line
from tests.contract.frozen.recording import views as every_view
from tests.contract.leaves import ADDED, ALLOWED, ANOTHER_IMAGE, COME, GONE, REACHED, SHARED, SPELT_ANEW, STARTED_ANEW
from tests.contract.more import MORE, add_components
from tests.samples import OPERATORS_OWN

FROZEN = Path(__file__).parent / "frozen"
RELEASES = sorted(path.name for path in FROZEN.iterdir() if any(path.glob("*.jsonl")))
_TOLD = frozenset().union(SHARED, *STARTED_ANEW.values())
_NAMES = "|".join(STARTED_ANEW)
_IMAGES = "|".join({*STARTED_ANEW, *ANOTHER_IMAGE})
_DIGESTS = re.compile(rf"\b((?:{_NAMES})-secrets|mlflow-sso/(?:{_IMAGES}):[0-9.]+)-[0-9a-f]{{10,12}}\b")
# The kinds of which nothing may change, and what people lose if something does.
_PODS = "its pods are made anew, and nobody is served meanwhile"
_CONTAINER = "its container is made anew, and nobody is served meanwhile"
_DATA = "its data stays where nobody looks for it, and its program starts with none"
_READ = "it has its digest in its name, and the pods that read it are made anew"
_PEOPLE = "Keycloak would make it anew: passwords, sessions and memberships are lost"
_PROVIDER = "a provider that is replaced replaces everything that was made by it"
IRREPLACEABLE: Mapping[str, str] = {
    **dict.fromkeys(("Container", "service"), _CONTAINER),
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Cluster"), _PODS),
    **dict.fromkeys(("Volume", "volume", "PersistentVolumeClaim", "Namespace"), _DATA),
    **dict.fromkeys(("Network", "network"), "what is on it is cut off, and made anew"),
    **dict.fromkeys(("Secret", "ConfigMap"), _READ),
    **dict.fromkeys(("Realm", "User", "Group"), _PEOPLE),
    **dict.fromkeys(("docker", "kubernetes", "keycloak"), _PROVIDER),
    "RandomPassword": "a password is generated anew, and whoever has stored the old one is locked out",
}
# What keeps a workload running, and so has its name; for the engine, the component around it.
KEEPERS = ("service", "Deployment", "StatefulSet", "CronJob", "Cluster")
# What is said of an object beside what decides its fate.
_ABOUT = ("address", "aliases")
# Options that only keep a resource as it is: it may gain them, and lose none.
PROTECTING = ("options.protect", "options.ignoreChanges", "options.retainOnDelete")


@pytest.fixture
def views(samples: dict[str, Settings], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, View]:
    return every_view(samples, monkeypatch)


def frozen(file: Path) -> dict[str, Any]:
    """What a release said of each object, by its address."""
    return {said["address"]: said for said in map(json.loads, _unnumbered(file.read_text()).splitlines())}


def present(objects: Objects) -> dict[str, Any]:
    """What this tree says of each object, but for what programs that start anew are told on top."""
    lines = (_unnumbered(line(address, said)) for address, said in objects.items())
    return {
        said["address"]: _without_told(said) for said in map(json.loads, lines) if said["address"] not in _VARIABLES
    }


_VARIABLES = {f"variables::{name}" for name in _TOLD}


def _unnumbered(text: str) -> str:
    return _DIGESTS.sub(r"\1-digest", text)


def _without_told(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_told(one) for key, one in value.items() if key not in _TOLD}
    if isinstance(value, list):
        return [_without_told(one) for one in value if not _tells(one)]
    return value


def _tells(one: Any) -> bool:
    names = {one.get("name"), one.get("secretKey")} if isinstance(one, Mapping) else {str(one).partition("=")[0]}
    return bool(names & _TOLD)


def realm(objects: Mapping[str, Any]) -> str:
    """The realm that a stack of these objects has imported, which its next `up` finds beside the rendered files."""
    for said in objects.values():
        inputs = said.get("inputs", {})
        texts = inputs.get("data", {}) if said["type"] == "ConfigMap" else inputs
        for content in texts.values() if said["type"] in ("ConfigMap", "file") else ():
            if '"realm":' in content:
                return str(content)
    return ""


def kind(said: Any) -> str:
    """The last part of a type: docker:index/volume:Volume is a Volume."""
    return str(said["type"]).rpartition(":")[2]


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The paths at which two values differ, with both; a list differs as a whole."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield path, before, after


def problem(address: str, what: str, of: str) -> str:
    lost = IRREPLACEABLE.get(of)
    return f"{address}: {what}. " + (
        f"It must not: {lost}" if lost else "If that is meant, ALLOWED and the changelog say so"
    )


def replaced(before: Mapping[str, Any], after: Objects) -> Iterator[str]:
    """What of a release's objects is gone, or said otherwise without leave."""
    now = {address: json.loads(line(address, said)) for address, said in after.items()}
    known = {**{old: said for said in now.values() for old in said.get("aliases", ())}, **now}
    renamed = {said["address"]: old for old, said in known.items() if old != said["address"]}
    for address, was in before.items():
        if address not in known and kind(was) in GONE:
            continue
        if address not in known:
            yield problem(address, "the stack has it no more, and its next `up` removes it", kind(was))
            continue
        becomes = _under_earlier_names(known[address], renamed)
        if known[address]["address"] != address:
            # An alias may say another type, which the engine then takes for the same resource.
            becomes["type"] = was["type"]
        for path, value, other in differences(_fate(was), _fate(becomes)):
            if _only_protects(path, value, other) or _stays_with(path, value, other, now):
                continue
            if path.removeprefix("inputs.").partition(".")[0] in becomes.get("options", {}).get("ignoreChanges", ()):
                continue
            if (kind(was), _place(path)) not in ALLOWED:
                yield problem(address, f"{path} was {value!r} and becomes {other!r}", kind(was))


def _place(path: str) -> str:
    """A path as ALLOWED names it: all annotations of an object are one."""
    return re.sub(r"^(metadata\.annotations)\..*", r"\1", path.removeprefix("inputs."))


def _only_protects(path: str, value: Any, other: Any) -> bool:
    """Whether an option that keeps a resource as it is came, and none went."""
    if path not in PROTECTING:
        return False
    return bool(other) and (not value or set(value) <= set(other))


def _stays_with(path: str, value: Any, other: Any, now: Mapping[str, Any]) -> bool:
    """Whether it no longer goes with what is protected now: the engine would forget it, and it would stay."""
    holders = (f"::{address}" for address, said in now.items() if said.get("options", {}).get("protect"))
    return path == "deletedWith" and not other and str(value).endswith(tuple(holders))


def _fate(said: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"options": {}, **{key: value for key, value in said.items() if key not in _ABOUT}}


def _under_earlier_names(said: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """With every other resource that it names called as it was before its alias."""
    named = dict(said)
    for key in ("provider", "deletedWith"):
        for new, old in renamed.items():
            if key in named:
                named[key] = named[key].replace(f"::{new}", f"::{old}")
    return named


def workloads(objects: Objects) -> set[str]:
    return {
        address.rpartition("::")[2]
        for address, said in objects.items()
        if said["type"] in KEEPERS or said["type"].startswith("mlflow-sso:index:")
    }


def added(before: Mapping[str, Any], after: Objects) -> Iterator[str]:
    """What is new without leave, and does not come with a workload that is new."""
    new = workloads(after) - workloads(before)
    for address, said in after.items():
        if address in before or set(said.get("aliases", ())) & set(before) or said["type"] == "output":
            continue
        name = address.rpartition("::")[2]
        spelt = name.lower().replace("_", "-").replace("/", "-")
        owners = [owner for owner in workloads(after) if spelt == owner or spelt.startswith(f"{owner}-")]
        if kind(said) in COME or (kind(said), name) in ADDED:
            continue
        if max(owners, key=len, default="") not in new:
            yield (
                f"{address}: the stack did not have it. Data or a password of its own would be empty or unknown there; "
                "where it is right, ADDED and the changelog say so"
            )


def changes(release: str, views: Mapping[str, View]) -> Iterator[str]:
    for file in sorted((FROZEN / release).glob("*.jsonl")):
        before = frozen(file)
        assert len(before) > 10, f"{file.name} holds nothing to compare"
        after = present(views[file.stem](realm(before)))
        for change in (*replaced(before, after), *added(before, after)):
            if not _spelt_anew(file.stem, change) and not REACHED.match(change):
                yield f"{file.stem}: {change}"


def _spelt_anew(view: str, change: str) -> str:
    """The program that the change starts anew by leave: with another command, or another template of its secrets."""
    for name in (name for known, name in SPELT_ANEW if known == view):
        pods = rf"\S*Deployment::{name}(-deployment)?: inputs\.spec\.template\.spec\.containers was "
        if re.match(rf"{pods}|ExternalSecret::{name}-secrets-\w+: the stack (has it no more|did not have it)", change):
            return name
    return ""


@pytest.mark.parametrize("release", RELEASES)
def test_the_next_up_replaces_nothing(release: str, views: Mapping[str, View]) -> None:
    problems = list(changes(release, views))
    assert not problems, f"stacks of release {release} would change:\n" + "\n".join(problems)


@pytest.mark.parametrize("release", RELEASES)
def test_components_that_are_added_need_no_leave(
    release: str, views: Mapping[str, View], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(changes(release, views))
    add_components(monkeypatch)
    assert workloads(views["compose-default"]()) >= {workload.name for workload in MORE}
    assert list(changes(release, views)) == before


@pytest.mark.parametrize("release", RELEASES)
def test_every_view_of_a_stack_is_held_against_a_release(release: str, views: Mapping[str, View]) -> None:
    assert {file.stem for file in (FROZEN / release).glob("*.jsonl")} == set(views)


@pytest.mark.parametrize("release", RELEASES)
def test_outputs_that_an_earlier_release_has_kept_are_shown_without_their_secrets(release: str) -> None:
    seen = 0
    for file in (FROZEN / release).glob("*.jsonl"):
        said = {a.removeprefix("outputs::"): o for a, o in frozen(file).items() if a.startswith("outputs::")}
        shown = redacted({name: output["inputs"]["value"] for name, output in said.items()})
        assert GENERATED not in text(shown), f"{file.name}: a secret is shown"
        assert OPERATORS_OWN not in text(shown), f"{file.name}: a secret of the operator is shown"
        for name, output in said.items():
            if "secret" not in output:
                assert shown[name] == output["inputs"]["value"], f"{file.name}: {name} is hidden from everybody"
            seen += 1
    assert seen > 100, "no outputs were kept"


def test_nothing_whose_change_replaces_is_allowed_to_change() -> None:
    # Of an object itself these change in place, whatever its kind; those of its pods stand in its template.
    in_place = ("metadata.annotations", f"metadata.labels.{LABEL_PROTECTED}")
    assert not {*(of for of, path in ALLOWED if path not in in_place), *GONE} & set(IRREPLACEABLE)


def test_the_changelog_names_what_is_allowed_to_change() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    for of in (*(of for of, _ in (*ALLOWED, *ADDED)), *COME, *GONE):
        assert of.removesuffix("y") in changelog, f"people are not told that the next `up` changes a {of}"


def test_each_leave_is_used(views: Mapping[str, View]) -> None:
    """One that no release needs any more would let the next mistake through."""
    used, spelt = set(), set()
    for release in RELEASES:
        for file in (FROZEN / release).glob("kubernetes-*.jsonl"):
            before = frozen(file)
            after = present(views[file.stem](realm(before)))
            named = {(file.stem, _spelt_anew(file.stem, change)) for change in replaced(before, after)}
            spelt |= named - {(file.stem, "")}
            for address, was in before.items():
                if _spelt_anew(file.stem, problem(address, "inputs.spec.template.spec.containers was ", "")):
                    continue
                if address in after or (file.stem, address.partition("::")[2].split("-")[0]) not in SPELT_ANEW:
                    for path, _, _ in differences(_fate(was), _fate(json.loads(line(address, after[address])))):
                        if not path.endswith(".OIDC_TOKEN_URL"):
                            used.add((kind(was), _place(path)))
    assert used == set(ALLOWED)
    kinds = {kind(was) for file in FROZEN.glob("*/docker-*.jsonl") for was in frozen(file).values()}
    assert set(GONE) <= kinds - {kind(said) for said in present(views["docker-default"]()).values()}
    assert spelt == {(view, name) for view, name in SPELT_ANEW if view.startswith("kubernetes-")}


SAID = {"type": "volume", "inputs": {"name": "a", "labels": {"b": "c"}}, "deletedWith": "urn:pulumi:s::p::t::w"}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({"volumes::x": SAID}, []),
        ({}, ["volumes::x: the stack has it no more, and its next `up` removes it. It must not: its data stays"]),
        (
            {"volumes::x": {**SAID, "inputs": {"name": "a", "labels": {"b": "d"}}}},
            ["volumes::x: inputs.labels.b was 'c' and becomes 'd'. It must not: its data stays"],
        ),
        ({"volumes::x": {**SAID, "deletedWith": ""}}, ["volumes::x: deletedWith was 'urn:pulumi:s::p::t::w' and"]),
        ({"volumes::x": {**SAID, "deletedWith": ""}, "t::w": {**SAID, "options": {"protect": True}}}, []),
        (
            {"volumes::x": {**SAID, "options": {"deleteBeforeReplace": True}}},
            ["volumes::x: options.deleteBeforeReplace was None and becomes True"],
        ),
        ({"volumes::x": {**SAID, "options": {"ignoreChanges": ["labels"], "protect": True}}}, []),
        ({"volumes::x": {**SAID, "secret": ["name"]}}, ["volumes::x: secret was None and becomes ['name']"]),
        ({"volumes::y": {**SAID, "aliases": ["volumes::x"]}}, []),
        (
            {
                "volumes::y": {**SAID, "aliases": ["volumes::x"], "deletedWith": "urn:pulumi:s::p::t::v"},
                "t::v": {"type": "t", "aliases": ["t::w"]},
            },
            [],
        ),
    ],
)
def test_each_way_of_being_replaced_is_seen(now: dict[str, Any], expected: list[str]) -> None:
    """The rail itself: a stack that lost a volume, another name, another option, and one whose alias keeps it."""
    problems = list(replaced({"volumes::x": {"address": "volumes::x", **SAID}}, now))
    assert len(problems) == len(expected)
    for told, start in zip(problems, expected, strict=True):
        assert told.startswith(start), told


def test_a_resource_loses_no_option_that_keeps_it() -> None:
    kept = {"volumes::x": {**SAID, "options": {"ignoreChanges": ["labels", "name"], "protect": True}}}
    (fewer, bare) = ({"volumes::x": {**SAID, "options": options}} for options in ({"ignoreChanges": ["name"]}, {}))
    for now in (fewer, bare):
        told = list(replaced(kept, now))
        assert [part.split()[1] for part in told] == ["options.ignoreChanges", "options.protect"]


def test_a_change_anywhere_in_a_container_is_seen(views: Mapping[str, View], monkeypatch: pytest.MonkeyPatch) -> None:
    """From end to end: the program asks for one value that differs."""
    monkeypatch.setattr(docker_site, "shares", lambda workload: 7)
    before = frozen(FROZEN / RELEASES[-1] / "docker-default.jsonl")
    problems = list(replaced(before, present(views["docker-default"]())))
    assert len(problems) == 4, "one for each container"
    for told in problems:
        assert "container:Container::" in told
        assert "inputs.cpuShares was" in told
        assert told.endswith("nobody is served meanwhile")


def test_what_is_new_comes_with_a_new_workload_or_by_leave() -> None:
    """A second volume of a database would start empty; the volume of a new program may."""
    before = {"services::db": {"type": "service"}, "volumes::db-data": {"type": "volume"}}
    other = {**before, "volumes::db-data2": {"type": "volume"}, "variables::DB_PASSWORD": {"type": "variable"}}
    assert [told.partition(":")[0] for told in added(before, other)] == ["volumes", "variables"]
    new = {"services::db-copy": {"type": "service"}, "volumes::db-copy-data": {"type": "volume"}}
    assert list(added(before, {**before, **new, "files::db-copy/conf": {"type": "file"}})) == []
    assert list(added(before, {**before, "volumes::x": {"type": "volume", "aliases": ["volumes::db-data"]}})) == []


def test_the_aliases_of_a_component_hold_for_what_is_in_it() -> None:
    """As the engine inherits them: by the types of the parents, and by names that start with theirs."""

    class Part(pulumi.ComponentResource):
        pass

    def program() -> Mapping[str, pulumi.Input[object]]:
        before = pulumi.Alias(name="old", type_="x:index:Old")
        part = Part("x:index:New", "new", None, pulumi.ResourceOptions(aliases=[before]))
        inside = pulumi.ResourceOptions(parent=part)
        pulumi.CustomResource("y:index:Thing", "new-thing", {}, inside)
        pulumi.CustomResource("y:index:Thing", "thing", {}, inside)
        return {}

    done = run_program(program)
    assert {done.path(urn): set(done.former(urn)) for urn in done.resources} == {
        "x:index:New::new": {"x:index:Old::old"},
        "x:index:New$y:index:Thing::new-thing": {"x:index:Old$y:index:Thing::old-thing"},
        "x:index:New$y:index:Thing::thing": {"x:index:Old$y:index:Thing::thing"},
    }
