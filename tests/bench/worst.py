"""The worst that the limits let one user send, by kind. Bodies are files, made once."""

from __future__ import annotations

import json
import os
import secrets
import struct
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.bench.flood import Sent
from tests.e2e.asking import GRAPHQL, V2, Person

MIB = 1 << 20
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
# The default limits (mlflow.limits in the settings; images/mlflow/app, `mlflow_sso.guard`): bytes of a body and of a
# query, objects and arrays in one, artifacts on their way, spans and fields in a body of these.
BODY, QUERY, VALUES, TRANSFERS, SPANS, FIELDS = 16 * MIB, 1 << 16, 250_000, 16, 25_000, 1_500_000
# MLflow's own: entities and bytes of a batch, root fields and selections of a GraphQL query (`mlflow.utils.validation`
# and `mlflow.server.graphql.graphql_no_batching`, 3.17.2).
ENTITIES, BATCH, ROOTS, SELECTIONS = 1000, 1_000_000, 10, 1000
CALLERS = 16


class Worst:
    """What one user sends. person: whose rights it has; folder: where bodies are."""

    def __init__(self, person: Person, folder: Path) -> None:
        self._folder = folder
        self._experiment = person.experiment()
        self._run = person.run(self._experiment)
        self._files = {
            "batch": json.dumps(self._batch()).encode(),
            "large": filled({"run_id": self._run}, "metrics", BODY, VALUES - 10),
            "search": filled({"experiment_ids": [self._experiment]}, "order_by", BODY, VALUES - 10),
            "query": json.dumps({"query": self._query()}).encode(),
            "long query": json.dumps({"query": "{ " + "a " * (QUERY // 2 - 20) + "}"}).encode(),
            "artifact": os.urandom(64 * MIB),
            "spans": spans(SPANS, FIELDS // SPANS - 10),
        }
        for name, content in self._files.items():
            (folder / name).write_bytes(content)

    def by_kind(self, person: Person) -> Mapping[str, tuple[Sent, ...]]:
        """Everything, by a login of now, and all of it at once."""
        login = {"Authorization": person.authorization}
        headers = {"Content-Type": "application/json", **login}

        def post(path: str, body: str, callers: int = CALLERS) -> Sent:
            return Sent("POST", path, headers, str(self._folder / body), callers)

        place = f"{ARTIFACTS}/{self._experiment}/{self._run}/artifacts"
        file = str(self._folder / "artifact")
        uploads = [Sent("PUT", f"{place}/{n}.bin", login, file) for n in range(TRANSFERS // 2)]
        downloads = [Sent("GET", f"{place}/{n}.bin", login) for n in range(TRANSFERS // 2)]
        wrong = b64encode(f"{person.name}:{secrets.token_hex(16)}".encode()).decode()
        forged = person.token.rpartition(".")[0] + "." + "A" * 342
        get = f"{V2}/experiments/get?experiment_id={self._experiment}"
        traced = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": self._experiment, **login}
        kinds = {
            "batches": (post(f"{V2}/runs/log-batch", "batch"),),
            "large bodies": (
                post(f"{V2}/runs/log-batch", "large", CALLERS // 2),
                post(f"{V2}/runs/search", "search", CALLERS // 2),
            ),
            "GraphQL": (post(GRAPHQL, "query"),),
            "long GraphQL": (post(GRAPHQL, "long query"),),
            "artifacts": (*uploads, *downloads),
            "spans": (Sent("POST", "/v1/traces", traced, str(self._folder / "spans"), 4),),
            "wrong tokens": (
                Sent("GET", get, {"Authorization": f"Basic {wrong}"}, callers=CALLERS),
                Sent("GET", get, {"Authorization": f"Bearer {forged}"}, callers=CALLERS),
            ),
        }
        few = [replace(one, callers=min(one.callers, 4)) for kind in kinds.values() for one in kind]
        return {**kinds, "all at once": tuple(few)}

    def _batch(self) -> dict[str, object]:
        """As many entities as a batch may have, and as many bytes."""
        metrics = [{"key": f"metric-{n}", "value": n, "timestamp": n, "step": n} for n in range(ENTITIES - 100)]
        tags = [{"key": f"tag-{n}", "value": "v" * 7000} for n in range(100)]
        return {"run_id": self._run, "metrics": metrics, "tags": tags}

    def _query(self) -> str:
        """As many searches in one query as it may have, each with as much of each run as may be asked for."""
        ids = json.dumps([self._experiment])
        data = "metrics { key value step timestamp } params { key value } tags { key value }"
        inner = "runs { info { runId } data { " + data + " } }"
        search = "s%d: mlflowSearchRuns(input: {experimentIds: " + ids + ", maxResults: 1000}) { " + inner + " }"
        return "query { " + " ".join(search % n for n in range(ROOTS)) + " }"


def filled(body: dict[str, object], key: str, size: int, values: int) -> bytes:
    """A body of at most so many bytes, and nearly as many, with so many objects in the list of a key."""
    head = json.dumps({**body, key: []}).encode()[: -len("]}")]
    pattern = b'{"key":"%s","value":1}'
    longest = (size - len(head) - len("]}")) // values - len(pattern) + len("%s") - len(",")
    one = pattern % (b"k" * longest)
    return head + b",".join([one] * values) + b"]}"


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes (Protocol Buffers, "Encoding")."""
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def spans(count: int, attributes: int) -> bytes:
    """So many spans of one trace, as short as they may be but for so many fields of attributes in each.

    Source: opentelemetry.proto.trace.v1, `Span`.
    """
    trace = secrets.token_bytes(16)
    times = b"".join(bytes([number << 3 | 1]) + struct.pack("<Q", 1_700_000_000_000_000_000) for number in (7, 8))
    # The parent of each is the first one. An attribute is four fields: itself, its key, its value, the value's number.
    rest = _field(4, b"\1" * 8) + _field(5, b"s") + times
    rest += b"".join(_field(9, _field(1, b"%d" % n) + _field(2, b"\x18\1")) for n in range(attributes // 4))
    each = [_field(2, _field(1, trace) + _field(2, struct.pack(">Q", n)) + rest) for n in range(1, count + 1)]
    return _field(1, _field(2, b"".join(each)))
