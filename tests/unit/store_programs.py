"""Programs that are object stores, which scripts/test-tools installs, and the client of S3."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from stackctl.directories import cache_home
from tests.e2e.harness import free_ports

BUCKET = "artifacts"
KEY_ID, SECRET_KEY, REGION = "id", "secret-key", "us-east-1"
_TOOLS = cache_home() / "stores"


@contextlib.contextmanager
def running(name: str, port: int, *words: str, host: str = "127.0.0.1", **env: str) -> Iterator[str]:
    """A program that scripts/test-tools installs; its URL once it takes connections."""
    program = _TOOLS / name
    if not program.exists():
        pytest.skip(f"{name} is not installed; scripts/test-tools does that where Go and npm are")
    with subprocess.Popen([program, *words], env={**os.environ, **env}, stdout=subprocess.DEVNULL) as process:
        try:
            _until_open(host, port, process)
            yield f"http://{host}:{port}"
        finally:
            process.terminate()


def _until_open(host: str, port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("a store does not listen")


def s3_client(url: str, **config: Any) -> Any:
    keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET_KEY, "region_name": REGION}
    return boto3.client("s3", endpoint_url=url, config=Config(**config), **keys)


@contextlib.contextmanager
def s3_server(folder: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """versitygw, without a bucket, with its objects in a folder; its URL."""
    (port,) = free_ports(1)
    keys = {"ROOT_ACCESS_KEY": KEY_ID, "ROOT_SECRET_KEY": SECRET_KEY}
    words = ("--quiet", "--port", f"{host}:{port}", "posix", str(folder))
    with running("versitygw", port, *words, host=host, **keys) as url:
        yield url
