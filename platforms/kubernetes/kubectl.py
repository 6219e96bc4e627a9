"""The `kubectl` command, which finds the cluster as its user has set it up (KUBECONFIG, context, credentials)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from platforms.kubernetes.plan import Manifest
from platforms.processes import ProcessError, run

# A line of kubectl's own log (klog): its level, month and day. "Error from server" is no such line.
_LOG_LINE = re.compile(r"[IWEF]\d{4} ")


class KubernetesError(Exception):
    """The cluster did not answer, refused, or did not get ready; the text says which and what to do."""


@dataclass(frozen=True)
class Kubectl:
    """Calls to one cluster."""

    context: str | None = None

    def words(self, *args: str) -> tuple[str, ...]:
        return ("kubectl", *(("--context", self.context) if self.context else ()), *args)

    def run(self, *args: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run `kubectl ARGS` and return its output. Raises KubernetesError."""
        try:
            done = run(*self.words(*args), what=f"kubectl {args[0]}", timeout=timeout, given=stdin)
        except ProcessError as error:
            raise KubernetesError(str(error)) from None
        if done.code != 0:
            lines = [line for line in done.errors.strip().splitlines() if not _LOG_LINE.match(line)]
            reason = "\n".join(lines[-12:]) or done.errors.strip()[-600:]
            raise KubernetesError(reason or f"{done.what} exited {done.code}")
        return done.output

    def json(self, *args: str, stdin: str | None = None, timeout: float = 60) -> Any:
        return json.loads(self.run(*args, "-o", "json", stdin=stdin, timeout=timeout))

    def get(self, resource: str, name: str, namespace: str | None = None) -> Manifest | None:
        """One object, or None when there is none of that name (or of that kind)."""
        where = ("-n", namespace) if namespace else ()
        text = self.run("get", resource, name, *where, "--ignore-not-found", "-o", "json", timeout=30)
        return dict(json.loads(text)) if text.strip() else None

    def keys(self, resource: str, name: str, namespace: str) -> set[str] | None:
        """The keys of a Secret's or ConfigMap's data, without the values; None when there is none of that name."""
        template = "go-template={{range $key, $_ := .data}}{{$key}} {{end}}."
        text = self.run("get", resource, name, "-n", namespace, "--ignore-not-found", "-o", template, timeout=30)
        return set(text.rstrip(".").split()) if text else None

    def server(self) -> str:
        """The URL of the API server that is spoken to. Raises KubernetesError without a kubeconfig."""
        shown = self.run("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
        if not shown:
            raise KubernetesError("no cluster is named by the kubeconfig")
        return shown

    def groups(self) -> set[str]:
        """The API groups that the cluster serves, each by its name and with each of its versions (group/v1)."""
        found = json.loads(self.run("get", "--raw", "/apis", timeout=20))["groups"]
        return {group["name"] for group in found} | {v["groupVersion"] for group in found for v in group["versions"]}

    def denied(self, wanted: Sequence[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
        """Those of (verb, API group, resource, namespace) that this user may not do."""
        reviews = [
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {
                    "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
                },
            }
            for verb, group, resource, namespace in wanted
        ]
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
        # One JSON document after the other, in the order of the questions.
        answers = list(_documents(self.run("create", "-f", "-", "-o", "json", stdin=document)))
        return [what for what, answer in zip(wanted, answers, strict=True) if not answer["status"].get("allowed")]


def _documents(text: str) -> Iterator[Any]:
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        document, position = decoder.raw_decode(text, position)
        yield document
        while position < len(text) and text[position].isspace():
            position += 1


def owned(item: Manifest, groups: Collection[str]) -> bool:
    """Whether another object, of a kind that the cluster still knows, takes this one along when it goes."""
    owners = item["metadata"].get("ownerReferences", [])
    return any(str(owner.get("apiVersion", "v1")).rpartition("/")[0] in groups for owner in owners)
