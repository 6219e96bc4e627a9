"""What `stackctl gc` asks of a server, says of its answers, and when it changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from platforms.running import EXEC_SECONDS, Answer, Instance
from stackctl.cli import app
from stackctl.clients.trash import AT_ONCE
from stackctl.commands import gc
from tests.unit.doctor import FakeRunning

RUN = {"kind": "run", "id": "r1", "name": "a\x1b[2Jrun", "experiment": "5", "deleted": 1795878045642, "bytes": 5000}
DEAD = {"kind": "experiment", "id": "4", "name": "old", "deleted": None, "bytes": None, "runs": 2, "trouble": "away"}
TRACES = {"kind": "traces", "id": "5", "traces": 3, "bytes": 9}


class Server(FakeRunning):
    """The server's side, which has `things` and fails with those of `failing`."""

    def __init__(self, *things: dict[str, Any], failing: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.things, self.failing = list(things), failing or {}
        self.answer: Answer | None = None
        self.asked: list[Sequence[str]] = []
        self.args: tuple[str, ...] = ("server", "--artifacts-destination", "s3://b/p")

    def serving(self, project: str, stack: str, component: str) -> Instance | None:
        return Instance("x-mlflow", component, True, "", self.args)

    def execute(
        self,
        instance: Instance,
        command: Sequence[str],
        secrets: Mapping[str, str] | None = None,
        seconds: int = EXEC_SECONDS,
    ) -> Answer:
        assert not secrets
        assert seconds > EXEC_SECONDS
        words = list(command)
        at = words.index("--artifacts")
        assert words[at + 1] == self.args[-1]
        self.asked.append(words[at + 2 :])
        said = [json.dumps(document) for document in self._said(words[at + 2 :])]
        return self.answer or self._answered(["a line of a log", *said, ""])

    def _answered(self, lines: Sequence[str]) -> Answer:
        return Answer(0, "\n".join(lines), "")

    def _said(self, words: Sequence[str]) -> Iterator[dict[str, Any]]:
        if words[0] == "show":
            yield {"things": self.things, "grants": 2}
            return
        for kind, _, name in (word.partition(":") for word in words[1:] if word != "--grants"):
            yield {"kind": kind, "id": name, "failed": self.failing.get(name)}
        if "--grants" in words:
            yield {"grants": 2}

    @property
    def removals(self) -> list[Sequence[str]]:
        return [words for words in self.asked if words[0] != "show"]


class Ended(Server):
    """One whose removals end after the first."""

    def _answered(self, lines: Sequence[str]) -> Answer:
        return Answer(137, "\n".join(lines[:2]), "") if self.removals else super()._answered(lines)


def run(monkeypatch: pytest.MonkeyPatch, server: Server, *words: str) -> Result:
    monkeypatch.setattr(gc, "running", lambda *_: server)
    return CliRunner().invoke(app, ["gc", *words])


def test_things_go_in_one_call_with_the_grants_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(DEAD, RUN, {**RUN, "id": "r2"}, TRACES)
    done = run(monkeypatch, server, "--yes", "--older-than", "1d2h")
    assert done.exit_code == 0, done.output
    assert server.asked == [
        ["show", "--older-than", str(26 * 3600 * 1000)],
        ["remove", "--grants", "experiment:4", "run:r1", "run:r2", "traces:5"],
    ]
    assert "Removed 4 of 4, and 2 grants" in done.stderr
    assert "1 experiments, 2 runs, data of 3 deleted traces, 2 grants; 9.8 KiB of artifacts" in done.stderr
    assert "unknown (away)" in done.stdout
    assert "\x1b[2J" not in done.output


@pytest.mark.parametrize(("words", "code"), [(["--dry-run"], 0), (["--dry-run", "--yes"], 0), ([], 2)])
def test_nothing_is_removed_in_a_dry_run_and_without_a_yes(
    monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    server = Server(DEAD, RUN)
    done = run(monkeypatch, server, *words)
    assert (done.exit_code, server.removals) == (code, [])


def test_what_fails_is_named_and_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(RUN, {**RUN, "id": "r2", "name": "other"}, failing={"r1": "AccessDenied: no"})
    done = run(monkeypatch, server, "--yes")
    assert done.exit_code == 1
    assert "run r1 (a\\x1b[2Jrun) stays: AccessDenied: no" in done.stderr
    assert "removed run r2 (other)" in done.stderr
    assert "Removed 1 of 2, and 2 grants" in done.stderr


def test_many_go_in_several_calls_and_grants_in_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(*({**RUN, "id": f"r{number}"} for number in range(2 * AT_ONCE)))
    done = run(monkeypatch, server, "--yes")
    assert f"Removed {2 * AT_ONCE} of {2 * AT_ONCE}" in done.stderr
    assert [words[1] == "--grants" for words in server.removals] == [False, True]


def test_grants_go_where_they_are_all_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    done = run(monkeypatch, server, "--yes")
    assert (done.exit_code, server.removals) == (0, [["remove", "--grants"]])


def test_what_went_before_the_servers_side_was_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Ended(RUN, {**RUN, "id": "r2"})
    done = run(monkeypatch, server, "--yes")
    assert done.exit_code == 1
    assert "removed run r1" in done.stderr
    assert "memory" in done.stderr


def test_versions_of_registered_models_are_named_before_their_files_go(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, Server({**RUN, "registered": ["fraud 3"]}))
    assert "files of 1 versions of registered models (fraud 3)" in done.stderr


@pytest.mark.parametrize("age", ["", "soon", "-1d", "d", "1w", "999999999999d"])
def test_what_is_no_age_is_refused_before_anybody_is_asked(monkeypatch: pytest.MonkeyPatch, age: str) -> None:
    server = Server(RUN)
    done = run(monkeypatch, server, "--yes", "--older-than", age)
    assert (done.exit_code, server.asked) == (2, [])
    assert "--older-than" in done.stderr


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(1, "", "bash: /opt/mlflow/addresses: No such file or directory"), "older than this command"),
        (Answer(137, "", ""), "memory"),
        (Answer(124, "", "no answer in 9 s"), "no answer in 9 s"),
        (Answer(1, "", "Traceback\nOperationalError: connection refused"), "OperationalError: connection refused"),
        (Answer(0, "no document", ""), "said nothing"),
    ],
)
def test_a_server_that_does_not_answer_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, told: str
) -> None:
    server = Server(RUN)
    server.answer = answer
    done = run(monkeypatch, server, "--yes")
    assert done.exit_code == 1
    assert told in done.stderr
    assert len(server.asked) == 1


def test_a_server_that_was_not_told_where_its_artifacts_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(RUN)
    server.args = ("server", "--artifacts-destination")
    done = run(monkeypatch, server, "--yes")
    assert done.exit_code == 1
    assert "--artifacts-destination" in done.stderr
