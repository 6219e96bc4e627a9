"""What a release asks its engines for, one object a line.

`python -m tests.contract.frozen RELEASE` puts this file into the tree of that release and runs it there, so it imports
nothing but what every release has under the same name.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from platforms.select import engine_platform
from settings import PROJECT, Settings
from tests.contract import kubernetes_samples as cluster
from tests.contract.engine import fresh_run
from tests.contract.targets import compose_document

# What is said of each object, by its address; and how a stack is told of that has imported a realm, if it has.
Objects = Mapping[str, Any]
View = Callable[..., Objects]
# By a Gateway, with an address of its own for administration.
ADMINISTERED: dict[str, Any] = {
    **cluster.SCALED,
    "keycloak": {**cluster.SCALED["keycloak"], "adminUrl": "http://localhost:8081"},
}
RENDERED: Mapping[str, dict[str, Any]] = {
    **cluster.SAMPLES,
    "operated": cluster.OPERATED,
    "administered": ADMINISTERED,
    "fetched": cluster.FETCHED,
}
# The engine has to know the secrets of the realm, so it brings up no stack whose secrets come from elsewhere.
REGISTERED = {name: config for name, config in RENDERED.items() if config is not cluster.FETCHED}


def registered(settings: Settings, kept: str = "") -> Objects:
    """Every resource by its place among its parents, with the inputs and options that decide what happens to it."""
    run = fresh_run(settings)
    return {
        run.path(urn): {
            "type": r.type,
            "aliases": sorted(run.former(urn)),
            "inputs": r.inputs,
            "secret": sorted(r.secret),
            "secretOutputs": sorted(r.secret_outputs),
            "provider": r.provider,
            "deletedWith": r.deleted_with,
            "options": {
                "protect": r.protect,
                "ignoreChanges": sorted(r.ignored),
                "deleteBeforeReplace": r.deleted_first,
                "replaceOnChanges": sorted(r.replaced_on),
                "retainOnDelete": r.retained,
            },
        }
        for urn, r in run.resources.items()
    }


def composed(settings: Settings, kept: str = "") -> Objects:
    """The Compose file's services, networks and volumes, its files, and the names of what its env file holds."""
    document, values, rendered = compose_document(settings, "test", *_given(kept))
    objects = {
        f"{kind}::{name}": {"type": kind.removesuffix("s"), "inputs": said}
        for kind in ("services", "networks", "volumes")
        for name, said in document[kind].items()
    }
    objects |= {f"files::{path}": {"type": "file", "inputs": {"text": text}} for path, text in rendered.files.items()}
    return objects | {f"variables::{name}": {"type": "variable", "inputs": {}} for name in values}


def rendered(config: dict[str, Any], kept: str = "") -> Objects:
    """The manifests by kind and name."""
    manifests = cluster.every(config, *_given(kept))
    objects = {f"{m['kind']}::{m['metadata']['name']}": {"type": m["kind"], "inputs": m} for m in manifests}
    assert len(objects) == len(manifests), "two objects of one kind have one name"
    return objects


def _given(kept: str) -> tuple[str, ...]:
    """The realm that a stack has imported, where there is one."""
    return (kept,) if kept else ()


def views(samples: Mapping[str, Settings], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, View]:
    """Each stack as each engine is told of it."""
    # The SDK takes defaults of its provider from there.
    monkeypatch.delenv("KUBECONFIG", raising=False)
    _fit_cluster(monkeypatch)
    every: dict[str, View] = {}
    for name, settings in samples.items():
        every[f"docker-{name}"] = partial(registered, settings)
        every[f"compose-{name}"] = partial(composed, settings)
    for name, config in RENDERED.items():
        every[f"kubernetes-{name.replace(' ', '-')}"] = partial(rendered, config)
    for name, config in REGISTERED.items():
        every[f"pulumi-kubernetes-{name.replace(' ', '-')}"] = partial(registered, cluster.settings(config))
    return every


def _fit_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that has nothing against the stack, and answers at once, whichever module asks it."""
    engine_platform(cluster.settings({}), PROJECT, "test")
    answers: Mapping[str, Callable[..., Any]] = {"check_cluster": lambda *_: [], "_wait_open": lambda *_: None}
    for name, module in list(sys.modules.items()):
        for question, answer in answers.items():
            if name.startswith("platforms.") and hasattr(module, question):
                monkeypatch.setattr(module, question, answer)


def line(address: str, said: Any) -> str:
    """One object. Nothing that is not said of it takes room."""
    options = {key: value for key, value in said.get("options", {}).items() if value}
    kept = {key: value for key, value in {**said, "options": options}.items() if value not in ("", [], {})}
    return json.dumps({"address": address, **kept}, sort_keys=True)


def lines(objects: Objects) -> Iterable[str]:
    return (line(address, said) + "\n" for address, said in sorted(objects.items()))


def test_what_this_release_asks_for_is_written_down(
    samples: dict[str, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not collected with the other tests: tests/contract/frozen/__main__.py runs it in the tree of a release."""
    folder = Path(os.environ["FROZEN"])
    for name, view in views(samples, monkeypatch).items():
        (folder / f"{name}.jsonl").write_text("".join(lines(view())))
