"""A database that says nothing more ends nobody's patience but its own."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace

import pytest
from mlflow_sso import silence
from mlflow_sso.silence import Watch


@pytest.fixture
def line() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def test_a_question_that_is_not_answered_ends(
    line: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _theirs = line
    monkeypatch.setattr(silence, "_MORE", 0.2)
    watch = Watch(0, looks=0.05)
    watch.begin()
    start = time.monotonic()
    with watch.asking(ours):
        assert ours.recv(1) == b"", "the line ended, and its descriptor is still the library's"
    assert 0.2 <= time.monotonic() - start < 5
    assert ours.fileno() > 0
    assert not watch._asked


@pytest.mark.parametrize(("statement", "seconds"), [("SELECT 1", 5), ("SELECT * FROM runs", 75), ("", 75)])
def test_each_question_has_its_time(
    line: tuple[socket.socket, socket.socket], statement: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = line
    watch, now = Watch(60), time.monotonic()

    def at(moment: float) -> None:
        monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: moment))

    ours.settimeout(0.01)
    with watch.asking(ours, statement):
        at(now + seconds - 1)
        watch.end_late()
        theirs.send(b"x")
        assert ours.recv(1) == b"x"
        at(now + seconds + 1)
        watch.end_late()
        assert ours.recv(1) == b""


def test_a_line_whose_question_was_answered_stays(line: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = line
    watch = Watch(-100)
    with watch.asking(ours):
        pass
    watch.end_late()
    theirs.send(b"x")
    assert ours.recv(1) == b"x"


def test_questions_of_many_threads_are_told_apart() -> None:
    watch, lines = Watch(-100), [socket.socketpair() for _ in range(8)]

    def ask(one: socket.socket) -> None:
        for _ in range(200):
            with watch.asking(one):
                pass

    threads = [threading.Thread(target=ask, args=(ours,)) for ours, _ in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not watch._asked
