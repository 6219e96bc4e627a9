"""An interrupt ends every command at once, whatever it waits for, and says what goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from settings import PROJECT, ROOT
from settings.catalogue import refs
from tests.e2e.harness import free_ports
from tests.fakes import FakeDocker

# What a test waits for at most, and what an interrupted command may take: less than the wait that it cuts off.
PATIENCE, AT_ONCE = 120.0, 40.0
UP = "interrupted; the same `stackctl up` goes on, `stackctl destroy --stack test` removes it."
DESTROY = "interrupted; the same `stackctl destroy` goes on."
CLEANUP = "interrupted; the same `stackctl cleanup` goes on."

_HANGS = """\
#!/bin/sh
case " $* " in *" {word} "*) : > {mark}; exec sleep 600 ;; esac
exec {docker} "$@"
"""


# The command itself, which gives up no program by itself: nothing but an interrupt ends its wait.
_WAITS = """\
import subprocess
from stackctl.__main__ import main

communicate = subprocess.Popen.communicate
subprocess.Popen.communicate = lambda program, given=None, timeout=None: communicate(program, given)
main()
"""


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell that starts tests in its background has them ignore interrupts, and the commands that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def until(mark: Path) -> None:
    start = time.monotonic()
    while not mark.exists():
        assert time.monotonic() - start < PATIENCE
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("command", "word", "said"),
    [
        ("up --engine compose", "info", UP),
        ("up --engine compose", "up", UP),
        ("up --engine compose", "exec", UP),
        ("destroy", "down", DESTROY),
        ("cleanup --yes", "ps", CLEANUP),
        ("verify-clean", "ps", "interrupted"),
        ("images", "image", "interrupted"),
    ],
)
def test_a_command_that_waits_ends_at_once(
    command: str, word: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = FakeDocker(tmp_path / "docker", monkeypatch)
    docker.engine()
    docker.images(*refs().values())
    docker.container("running")
    if command == "destroy":
        folder = tmp_path / PROJECT / "test"
        folder.mkdir(parents=True)
        (folder / "outputs.json").write_text(json.dumps({}))
    mark, hanging = tmp_path / "asked", tmp_path / "bin" / "docker"
    hanging.parent.mkdir()
    hanging.write_text(_HANGS.format(word=word, mark=mark, docker=docker.path))
    hanging.chmod(0o755)
    config = tmp_path / "Pulumi.test.yaml"
    ports = zip(("mlflow", "keycloak"), free_ports(2), strict=True)
    urls = {f"{PROJECT}:{name}": {"url": f"http://localhost:{port}"} for name, port in ports}
    config.write_text(json.dumps({"config": urls}))
    homes = dict.fromkeys(("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), str(tmp_path))
    started = subprocess.Popen(
        (sys.executable, "-c", _WAITS, *command.split(), "--stack", "test", "--config-file", str(config)),
        cwd=ROOT, env={**os.environ, **homes, "PATH": f"{hanging.parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(mark)
        interrupted = time.monotonic()
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=PATIENCE)
    finally:
        started.kill()
    assert time.monotonic() - interrupted < AT_ONCE
    assert started.returncode == 130, errors
    assert errors.splitlines()[-1] == said
    assert errors.count("interrupted") == 1
    assert "Traceback" not in errors


def until_it_waits(started: subprocess.Popen[bytes]) -> None:
    """Whoever started a program is woken once by that, and then sleeps (proc_pid_stat(5)) until that ends."""
    start = time.monotonic()
    while Path(f"/proc/{started.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() - start < PATIENCE
        time.sleep(0.05)


def test_a_program_in_front_of_people_ends_in_its_own_way(tmp_path: Path) -> None:
    """Pulumi gives its lock back, which it could not if it were killed."""
    ready, clean = tmp_path / "ready", tmp_path / "clean"
    program = f"trap 'sleep 1; : > {clean}; exit 1' INT; : > {ready}; while :; do sleep 0.1; done"
    code = f"from platforms.processes import show; show('sh', '-c', {program!r})"
    words = (sys.executable, "-c", code)
    # Without a terminal.
    started = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until(ready)
        until_it_waits(started)
        started.send_signal(signal.SIGINT)
        started.wait(PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
    assert clean.exists()


# The main thread does not hear of the signal itself, as where it comes just before a wait begins.
_DEAF = """\
import os, signal, threading
from stackctl import interrupts

interrupts.heed()
ready = threading.Event()
threading.Thread(target=lambda: (ready.set(), threading.Event().wait()), daemon=True).start()
ready.wait()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
try:
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()
except KeyboardInterrupt:
    print("heard", flush=True)
    os._exit(0)
"""


def test_an_interrupt_just_before_a_wait_is_heard() -> None:
    done = subprocess.run(
        (sys.executable, "-c", _DEAF), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
