"""A container beside MLflow's own: the same image, networks, volumes and processors, and another program in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from platforms.docker.daemon import docker
from tests.bench.figures import until
from tests.e2e.harness import Stack, free_ports, inspect

PORT = 5000
CPUS = "2"


@contextmanager
def beside(
    stack: Stack, name: str, command: tuple[str, ...], path: str, kept: Callable[[str], bool], env: Mapping[str, str]
) -> Iterator[str]:
    """Runs a program that serves on PORT; yields its URL once it answers 200 for `path`, and removes it at the end.

    kept: which of MLflow's variables it has, by name; env: more of them.
    """
    mlflow = inspect(stack.container("mlflow"))
    (port,) = free_ports(1)
    container = f"{stack.physical}-{name}"
    variables = [one for one in mlflow["Config"]["Env"] if kept(one.partition("=")[0])]
    variables += [f"{key}={value}" for key, value in env.items()]
    networks = sorted(mlflow["NetworkSettings"]["Networks"])
    program, *words = command
    docker(
        "create", "--name", container, "--network", networks[0], "--publish", f"127.0.0.1:{port}:{PORT}",
        "--cpus", CPUS, "--cpu-shares", str(mlflow["HostConfig"]["CpuShares"]),
        "--memory", str(mlflow["HostConfig"]["Memory"]), "--volumes-from", mlflow["Id"],
        *(word for one in variables for word in ("--env", one)),
        "--tmpfs", "/tmp", "--entrypoint", program, mlflow["Config"]["Image"], *words,
    )  # fmt: skip
    try:
        for network in networks[1:]:
            docker("network", "connect", network, container)
        docker("start", container)
        url = f"http://127.0.0.1:{port}"
        until(lambda: _answers(url, path))
        yield url
    finally:
        docker("rm", "--force", "--volumes", container)


def _answers(url: str, path: str) -> bool:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
