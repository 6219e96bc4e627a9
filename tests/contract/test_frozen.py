"""The next `up` of a stack made by an earlier release replaces no container, pod, volume, claim or password.

What a release registers with the engine and renders is kept below frozen/, one object a line. The present tree has to
say the same of every object, but for what ALLOWED lists with its reason; the changelog names each of these. To keep
another release: `FREEZE=<release> pytest tests/contract/test_frozen.py` with its tree.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from platforms.kubernetes import site
from settings import Settings
from tests.contract import kubernetes_samples as cluster
from tests.contract.engine import fresh_run
from tests.contract.targets import compose_document

FROZEN = Path(__file__).parent / "frozen"
FREEZE = os.environ.get("FREEZE")
RELEASES = sorted(path.name for path in FROZEN.iterdir() if path.is_dir()) if FROZEN.exists() else []
CLUSTERS = {**cluster.SAMPLES, "operated": cluster.OPERATED}
# What is said of each object, by its address; and how a stack that has imported a realm is told of.
Objects = Mapping[str, Any]
View = Callable[..., Objects]
# What may differ, by the kind of object and the path of the value, and why nothing is replaced for it. Nothing here may
# be a value of a container, a pod's template, a volume, a claim or a generated password.
ALLOWED = {
    ("NetworkPolicy", "spec.ingress"): "a caller reaches the ports meant for it alone; changed in place",
    ("NetworkPolicy", "spec.egress"): "the same, from the other side; changed in place",
    ("AuthorizationPolicy", "spec.rules"): "in the mesh as well; changed in place",
}
NEVER = (
    "docker:index/container:Container", "docker:index/volume:Volume", "random:index/randomPassword:RandomPassword",
    "Deployment", "StatefulSet", "PersistentVolumeClaim", "Cluster", "service", "volume",
)  # fmt: skip


def registered(settings: Settings, kept: str = "") -> Objects:
    """Every resource by its place among its parents, with the inputs and options that decide what happens to it."""
    run = fresh_run(settings)
    return {
        run.path(urn): {
            "type": r.type,
            # Manifests are compared as they are rendered: the engine makes the same ones (test_kubernetes_program.py).
            "inputs": {} if r.type.startswith("kubernetes:") else r.inputs,
            "secret": sorted(r.secret),
            "secretOutputs": sorted(r.secret_outputs),
            "provider": r.provider,
            "deletedWith": r.deleted_with,
        }
        for urn, r in run.resources.items()
    }


def composed(settings: Settings, kept: str = "") -> Objects:
    """The Compose file's services, networks and volumes, its files, and the names of what its env file holds."""
    document, values, rendered = compose_document(settings, "test", kept)
    objects = {
        f"{kind}::{name}": {"type": kind.removesuffix("s"), "inputs": said}
        for kind in ("services", "networks", "volumes")
        for name, said in document[kind].items()
    }
    objects |= {f"files::{path}": {"type": "file", "inputs": {"text": text}} for path, text in rendered.files.items()}
    return objects | {f"variables::{name}": {"type": "variable", "inputs": {}} for name in values}


def rendered(config: dict[str, Any], kept: str = "") -> Objects:
    """The manifests by kind and name."""
    manifests = cluster.every(config, kept)
    return {f"{m['kind']}::{m['metadata']['name']}": {"type": m["kind"], "inputs": m} for m in manifests}


@pytest.fixture
def views(samples: dict[str, Settings], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, View]:
    """Each stack as each engine is told of it."""
    # The SDK takes defaults of its provider from there.
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(site, "check_cluster", lambda *_: [])
    monkeypatch.setattr(site, "_wait_open", lambda *_: None)
    found: dict[str, View] = {}
    for name, settings in samples.items():
        found[f"docker-{name}"] = partial(registered, settings)
        found[f"compose-{name}"] = partial(composed, settings)
    for name, config in CLUSTERS.items():
        found[f"kubernetes-{name.replace(' ', '-')}"] = partial(rendered, config)
        found[f"pulumi-kubernetes-{name.replace(' ', '-')}"] = partial(registered, cluster.settings(config))
    return found


def frozen(file: Path) -> dict[str, Any]:
    """What a release said of each object, by its address."""
    return {said["address"]: said for said in map(json.loads, file.read_text().splitlines())}


def realm(objects: Mapping[str, Any]) -> str:
    """The realm that a stack of these objects has imported, which its next `up` finds beside the rendered files."""
    for said in objects.values():
        texts = said["inputs"].get("data", {}) if said["type"] == "ConfigMap" else said["inputs"]
        for text in texts.values() if said["type"] in ("ConfigMap", "file") else ():
            if '"realm":' in text:
                return str(text)
    return ""


def line(address: str, said: Any) -> str:
    return json.dumps({"address": address, **said}, sort_keys=True)


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The paths at which two values differ, with both; a list differs as a whole."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield path, before, after


def replaced(before: Mapping[str, Any], after: Objects) -> Iterator[str]:
    """What of a release's objects is gone, or said otherwise without leave."""
    for address, said in before.items():
        now = json.loads(line(address, after[address])) if address in after else None
        if now is None:
            yield f"{address} is registered no more: the next `up` removes it"
            continue
        for path, was, becomes in differences(said, now):
            if (said["type"], path.removeprefix("inputs.")) not in ALLOWED:
                yield f"{address}: {path} was {was!r} and becomes {becomes!r}"


if FREEZE:

    def test_keep_a_release(views: Mapping[str, View]) -> None:
        folder = FROZEN / str(FREEZE)
        folder.mkdir(parents=True, exist_ok=True)
        for name, view in views.items():
            text = "".join(line(address, said) + "\n" for address, said in sorted(view().items()))
            (folder / f"{name}.jsonl").write_text(text)


@pytest.mark.parametrize("release", RELEASES)
def test_the_next_up_replaces_nothing(release: str, views: Mapping[str, View]) -> None:
    problems = []
    for file in sorted((FROZEN / release).glob("*.jsonl")):
        before = frozen(file)
        assert len(before) > 10, f"{file.name} holds nothing to compare"
        problems += [f"{file.stem}: {problem}" for problem in replaced(before, views[file.stem](realm(before)))]
    assert not problems, f"stacks of release {release} would change:\n" + "\n".join(problems)


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_new_is_no_second_form_of_what_was_there(release: str, views: Mapping[str, View]) -> None:
    """A claim or volume that comes under another name starts empty, and looks new."""
    for file in sorted((FROZEN / release).glob("*.jsonl")):
        before = frozen(file)
        new = {address: said for address, said in views[file.stem](realm(before)).items() if address not in before}
        assert [address for address, said in new.items() if said["type"] in NEVER] == [], file.stem


def test_nothing_whose_change_replaces_is_allowed_to_change() -> None:
    assert not {kind for kind, _ in ALLOWED} & set(NEVER)


def test_a_change_is_seen() -> None:
    """The rail itself: a stack that lost a volume, another image, another option."""
    said = {"type": "volume", "inputs": {"name": "a", "labels": {"b": "c"}}, "deletedWith": ""}
    other = {**said, "inputs": {"name": "a", "labels": {"b": "d"}}}
    assert list(replaced({"x": {"address": "x", **said}}, {"x": said})) == []
    assert list(replaced({"x": {"address": "x", **said}}, {})) == ["x is registered no more: the next `up` removes it"]
    assert list(replaced({"x": {"address": "x", **said}}, {"x": other})) == [
        "x: inputs.labels.b was 'c' and becomes 'd'"
    ]
    assert list(replaced({"x": {"address": "x", **said}}, {"x": {**said, "deletedWith": "y"}})) != []
