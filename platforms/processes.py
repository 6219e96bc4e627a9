"""Starts other programs and waits for their end: the one place that does, so that what goes wrong is told in one way.

A message for people names the program and what it said last. It never holds an argument, a variable or the input,
which may be secret.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

# Shorter texts are no secrets, and stand in every message by chance.
_SHORTEST_SECRET = 4


class ProcessError(Exception):
    """A program was not started, gave no answer, or failed; the text says which, in one or a few lines for people."""


class NotStartedError(ProcessError):
    """There is no such program, or this user may not start it."""


class NoAnswerError(ProcessError):
    """It did not end in time, and was ended."""


@dataclass(frozen=True)
class Done:
    """A program that has ended. code: its exit code, 0 for success; output, errors: what it wrote."""

    what: str
    code: int
    output: str
    errors: str = ""

    def last(self, count: int = 1) -> str:
        """The last lines of what it has to say: of its errors, or of its output where there are none."""
        return "\n".join((self.errors.strip() or self.output.strip()).splitlines()[-count:])

    def checked(self) -> str:
        """Its output. Raises ProcessError with the last line of its errors where it failed."""
        if self.code != 0:
            lines = self.errors.strip().splitlines()
            raise ProcessError(lines[-1] if lines else f"{self.what} exited {self.code}")
        return self.output


def run(
    *command: str,
    what: str = "",
    timeout: float | None = None,
    given: str | None = None,
    variables: Mapping[str, str] | None = None,
    hidden: Collection[str] = (),
    directory: Path | None = None,
    merged: bool = False,
) -> Done:
    """Run a program to its end, whatever its exit code is. Raises NotStartedError or NoAnswerError.

    what: how messages call it; by default the program and its first argument, so that one must be no secret.
    timeout: in seconds; none: it may take for ever. given: what it reads from standard input, by default nothing.
    variables: put into its environment beside those of this process. hidden: secrets that it knows; where it repeats
    one in its errors, they do not. directory: where it runs. merged: its errors are a part of its output, in order.
    """
    name = what or " ".join(command[:2])
    try:
        done = subprocess.run(
            command,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            env=_environment(variables),
            cwd=directory,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"{name} gave no answer in {timeout:.0f} s") from None
    except OSError as error:
        raise _not_started(command[0], error) from None
    if merged:
        return Done(name, done.returncode, _without(hidden, done.stdout))
    return Done(name, done.returncode, done.stdout, _without(hidden, done.stderr))


def show(*command: str, variables: Mapping[str, str] | None = None) -> int:
    """Run a program in front of people, who see what it writes and answer what it asks; returns its exit code.

    What it writes to standard output goes to standard error: standard output is for data alone.
    An interrupt is the program's too: it is waited for until it has ended in its own way, and a second one ends it at
    once. Raises NotStartedError, or KeyboardInterrupt when the program has ended.
    """
    try:
        child = subprocess.Popen(command, stdout=sys.stderr, env=_environment(variables))
    except OSError as error:
        raise _not_started(command[0], error) from None
    with child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            if not _in_front():
                # A terminal interrupts every program in front of it; whoever else does, this one alone.
                child.send_signal(signal.SIGINT)
            try:
                child.wait()
            except KeyboardInterrupt:
                child.kill()
            raise


def _in_front() -> bool:
    """Whether this process belongs to what a terminal interrupts."""
    try:
        with open("/dev/tty") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _environment(variables: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(variables or {})}


def _not_started(program: str, error: OSError) -> NotStartedError:
    name = Path(program).name
    if isinstance(error, FileNotFoundError):
        return NotStartedError(f"the {name} command is not installed")
    return NotStartedError(f"the {name} command cannot be started ({error.strerror})")


def _without(hidden: Collection[str], text: str) -> str:
    # The longest first: one may be a part of another.
    for secret in sorted((s for s in hidden if len(s) >= _SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text
