"""Real servers of object stores, each with an empty bucket, and how the image would reach them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.storage.blob import BlobServiceClient
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from mlflow_sso.artifacts.azure import Azure
from mlflow_sso.artifacts.gcs import Gcs
from mlflow_sso.artifacts.objects import Kind
from mlflow_sso.artifacts.s3 import S3
from moto.server import ThreadedMotoServer

from tests.e2e.harness import free_ports
from tests.unit.store_programs import BUCKET, running, s3_client, s3_server

EXTRA = {"ServerSideEncryption": "AES256"}
# The account that azurite has unless it is told of another (its documentation, "Default Storage Account").
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# By name, since the library reads a name from addresses of some hosts alone.
CREDENTIAL = {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY}


@dataclass(frozen=True)
class ObjectServer:
    """A server that runs. kind: one of its buckets, by name; url: where it is; client: the store's own."""

    kind: Callable[[str], Kind]
    url: str
    client: Any


def _s3(url: str, extra: dict[str, str]) -> ObjectServer:
    client = s3_client(url)
    client.create_bucket(Bucket=BUCKET)
    return ObjectServer(lambda bucket: S3(client, bucket, extra), url, client)


@contextlib.contextmanager
def moto(_: Path, host: str = "127.0.0.1") -> Iterator[ObjectServer]:
    server = ThreadedMotoServer(host, 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield _s3(f"http://{host}:{port}", EXTRA)
    server.stop()


@contextlib.contextmanager
def versitygw(folder: Path, host: str = "127.0.0.1") -> Iterator[ObjectServer]:
    with s3_server(folder, host) as url:
        yield _s3(url, {})


@contextlib.contextmanager
def fake_gcs(folder: Path, host: str = "127.0.0.1") -> Iterator[ObjectServer]:
    (port,) = free_ports(1)
    place = f"{host}:{port}"
    words = ("-scheme", "http", "-host", host, "-port", str(port), "-public-host", place)
    more = ("-external-url", f"http://{place}", "-filesystem-root", str(folder), "-log-level", "error")
    with running("fake-gcs-server", port, *words, *more, host=host) as url:
        client = storage.Client("p", credentials=AnonymousCredentials(), client_options={"api_endpoint": url})
        client.create_bucket(BUCKET)
        yield ObjectServer(lambda bucket: Gcs(client.bucket(bucket)), url, client)


@contextlib.contextmanager
def azurite(folder: Path, host: str = "127.0.0.1") -> Iterator[ObjectServer]:
    (port,) = free_ports(1)
    words = ("--silent", "--disableTelemetry", "--blobHost", host, "--blobPort", str(port), "--location", str(folder))
    with running("azurite-blob", port, *words, "--skipApiVersionCheck", host=host) as url:
        client = BlobServiceClient(f"{url}/{ACCOUNT}", CREDENTIAL, retry_total=0)
        client.create_container(BUCKET)
        yield ObjectServer(lambda bucket: Azure(client.get_container_client(bucket)), url, client)


SERVERS = {"moto": moto, "versitygw": versitygw, "fake-gcs-server": fake_gcs, "azurite": azurite}


def away(name: str) -> Kind:
    """A bucket of a server that is not there."""
    url = "http://127.0.0.1:9"
    if name == "azurite":
        client = BlobServiceClient(f"{url}/{ACCOUNT}", CREDENTIAL, retry_total=0)
        return Azure(client.get_container_client(BUCKET))
    if name == "fake-gcs-server":
        options = {"api_endpoint": url}
        bucket = storage.Client("p", credentials=AnonymousCredentials(), client_options=options).bucket(BUCKET)
        return Gcs(bucket, patience=0.5)
    return S3(s3_client(url, retries={"max_attempts": 0}, connect_timeout=1), BUCKET, {})
