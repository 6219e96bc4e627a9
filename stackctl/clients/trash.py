"""What was deleted in MLflow and is still there: asked and removed beside the server, in its own container.

The other side is `mlflow_sso.gc` of the image. It has the server's own variables, so that no secret goes anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from platforms.running import Instance, Running

# Sizes of large stores, and the removal of many files, take long.
SECONDS = 3600
# What is removed is told after each of these. More of them take longer than a call may, fewer start more programs.
AT_ONCE = 50
_ARTIFACTS = "--artifacts-destination"
# The addresses as the server has them, which on some targets the image completes as it starts.
_BESIDE = '. /opt/mlflow/addresses && exec "$@"'


class TrashError(Exception):
    """The server's side failed, or knows no such thing. The text says which."""


@dataclass(frozen=True)
class Thing:
    """What can go.

    kind: experiment, run, model, or the folders of an experiment's traces. experiment: the one that it is of.
    deleted: milliseconds since 1970. size: bytes; None where `trouble` says why nobody knows.
    registered: versions of registered models that take their files from it.
    """

    kind: str
    id: str
    name: str = ""
    experiment: str = ""
    deleted: int | None = None
    size: int | None = None
    runs: int = 0
    models: int = 0
    traces: int = 0
    registered: tuple[str, ...] = ()
    trouble: str = ""

    @classmethod
    def of(cls, row: dict[str, Any]) -> Thing:
        known = {**row, "size": row.get("bytes"), "registered": tuple(row.get("registered", ()))}
        return cls(**{name: known[name] for name in cls.__dataclass_fields__ if name in known})


@dataclass(frozen=True)
class Removal:
    """What became of a thing. failed: why it stays; None where it is gone."""

    kind: str
    id: str
    failed: str | None


class Trash:
    """One server's. instance: a copy of it that runs."""

    def __init__(self, running: Running, instance: Instance) -> None:
        self._running, self._instance = running, instance

    def things(self, older_than_ms: int) -> tuple[list[Thing], int]:
        """What was deleted that long ago, and the number of grants on it. Raises TrashError."""
        *_, found = self._ask("show", "--older-than", str(older_than_ms))
        return [Thing.of(row) for row in found["things"]], int(found["grants"])

    def remove(self, things: Sequence[Thing]) -> Iterator[Removal | int]:
        """Remove these, some at a time, and last the grants on experiments that are no more, whose number is yielded.

        Raises TrashError; what was told before is removed then.
        """
        for start in range(0, len(things) or 1, AT_ONCE):
            words = [f"{thing.kind}:{thing.id}" for thing in things[start : start + AT_ONCE]]
            last = ("--grants",) if start + AT_ONCE >= len(things) else ()
            for found in self._ask("remove", *last, *words):
                if "grants" in found:
                    yield int(found["grants"])
                else:
                    yield Removal(found["kind"], found["id"], found["failed"])

    def _ask(self, *words: str) -> Iterator[dict[str, Any]]:
        command = ("python", "-m", "mlflow_sso.gc", "--artifacts", self._destination(), *words)
        answer = self._running.execute(self._instance, ("bash", "-c", _BESIDE, "bash", *command), seconds=SECONDS)
        told = list(_documents(answer.out))
        yield from told
        if answer.code != 0 or not told:
            raise TrashError(_reason(answer.code, answer.error))

    def _destination(self) -> str:
        words = self._instance.args
        if _ARTIFACTS not in words[:-1]:
            raise TrashError(f"{self._instance.name} was not told where its artifacts are ({_ARTIFACTS})")
        return words[words.index(_ARTIFACTS) + 1]


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """The lines that are documents of JSON, among those of a log."""
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _reason(code: int, error: str) -> str:
    if "/opt/mlflow/addresses" in error:
        return "the image of the running server is older than this command; the next `stackctl up` brings a newer one"
    if code == 137:
        return "the kernel ended it, since the container's memory did not suffice; mlflow.memoryMib raises that"
    last = error.strip().rpartition("\n")[2]
    return f"the server's side of this ended with code {code}: {last[:300] or 'it said nothing'}"
