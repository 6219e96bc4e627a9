"""Keeps a stack's loopback URLs forwarded to the cluster, where no Gateway or Ingress serves them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from mlflow_sso_client.files import private_directory, write_private

from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.plan import Forward, KubernetesPlan
from platforms.ports import is_free
from platforms.processes import ProcessError
from platforms.processes import run as run_program
from problems import Problem
from settings import ROOT
from stackctl.context import Context, stack_directory
from stackctl.progress import say

ADDRESS = "127.0.0.1"
# A forward ends when its pod does; the next one is tried at once, and given up with the namespace.
RETRY_SECONDS = 0.5
NAMESPACE_SECONDS = 5
SETTLE_SECONDS, ANSWER_SECONDS = 20.0, 5.0


def check(plan: KubernetesPlan) -> list[Problem]:
    """Ports here that something else holds."""
    if _running(plan.stack):
        return []
    return [
        Problem(f"port of {r.service}", str(r.local), f"in use on {ADDRESS}; expected a free one")
        for r in plan.forwarded()
        if not is_free(ADDRESS, r.local)
    ]


def start(context: Context, plan: KubernetesPlan) -> None:
    """Forward in the background, until `stop` or the end of the namespace."""
    if not plan.forwarded() or _running(context.stack):
        return
    directory = private_directory(stack_directory(context.stack) / "forward")
    command = (sys.executable, "-m", "stackctl", "forward", "--stack", context.stack)
    with (directory / "log").open("w") as log:
        child = subprocess.Popen(
            (*command, "--config-file", str(context.config_file.resolve())),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=ROOT,
        )  # fmt: skip
    write_private(directory / "pid", f"{child.pid}\n")


def settle(plan: KubernetesPlan, seconds: float = SETTLE_SECONDS) -> None:
    """Return once each route answers, or after so many seconds.

    A forward to a pod that has gone takes one more connection, and drops it: here, and not somebody's first one.
    """
    end = time.monotonic() + seconds
    for route in plan.forwarded():
        while not _answers(route.local) and time.monotonic() < end:
            time.sleep(RETRY_SECONDS)


def _answers(port: int) -> bool:
    """Whether a program is there: it answers plain HTTP, or ends a handshake of TLS, with whatever certificate."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    for secured in (False, True):
        with suppress(OSError), socket.create_connection((ADDRESS, port), timeout=ANSWER_SECONDS) as connection:
            if secured:
                anybody.wrap_socket(connection).close()
                return True
            connection.sendall(b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            if connection.recv(1):
                return True
    return False


def stop(stack: str) -> None:
    """End the background forward of a stack; none is no error."""
    pid = _running(stack)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    directory = stack_directory(stack) / "forward"
    shutil.rmtree(directory, ignore_errors=True)
    with suppress(OSError):
        # Other files of the stack keep it.
        directory.parent.rmdir()


def run(plan: KubernetesPlan) -> None:
    """Forward every route in the foreground, until it is told to end or the namespace is gone."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    children: dict[Forward, subprocess.Popen[str]] = {}
    there, asked = False, 0.0
    try:
        while True:
            for route in plan.forwarded():
                child = children.get(route)
                if child is not None and child.poll() is not None:
                    _, errors = child.communicate()
                    say(f"{route.service}: {(errors.strip().splitlines() or ['ended'])[-1]}")
                if child is None or child.poll() is not None:
                    children[route] = _forward(plan, route)
            if time.monotonic() - asked > NAMESPACE_SECONDS:
                asked, was_there = time.monotonic(), there
                there = _namespace_is_there(plan, there)
                if was_there and not there:
                    return
            time.sleep(RETRY_SECONDS)
    finally:
        for child in children.values():
            child.terminate()


def _forward(plan: KubernetesPlan, route: Forward) -> subprocess.Popen[str]:
    words = Kubectl(plan.options.context).words(
        "port-forward", "-n", plan.namespace, "--address", ADDRESS, f"service/{route.service}",
        f"{route.local}:{route.port}",
    )  # fmt: skip
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _namespace_is_there(plan: KubernetesPlan, otherwise: bool) -> bool:
    try:
        return Kubectl(plan.options.context).get("namespace", plan.namespace) is not None
    except KubernetesError:
        return otherwise


def _running(stack: str) -> int | None:
    """The process that forwards for the stack, if it runs still."""
    path: Path = stack_directory(stack) / "forward" / "pid"
    try:
        pid = int(path.read_text())
    except (OSError, ValueError):
        return None
    try:
        words = run_program("ps", "-o", "args=", "-p", str(pid)).output.split()
    except ProcessError:
        return None
    return pid if "forward" in words and stack in words else None
