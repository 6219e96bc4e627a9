"""The workloads as a Compose file, without the Pulumi engine and without a secret in it.

Secrets are variables that an env file beside it fills in. Everything written is plain Compose specification
that docker-compose 1.29 reads as well as `docker compose` 2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from posixpath import basename
from typing import Any

import yaml

from platforms.docker import jobs
from platforms.docker.plan import LOG_DRIVER, LOG_OPTIONS, SECURITY_OPTIONS, DockerPlan, shares, tmpfs_options
from platforms.quantities import docker_memory
from platforms.secrets import (
    ConfigQuoted,
    ExpressionQuoted,
    ImportQuoted,
    Secret,
    SecretText,
    UrlQuoted,
    Written,
)
from platforms.workload import File, Probe, Workload
from problems import Problem

# The profile of what `up` does not start.
ON_DEMAND = "on-demand"
# What an env file cannot carry so that both generations of Compose read it back unchanged.
_UNPORTABLE = re.compile(r"[\n\r]")
# The end of the variable that carries a secret in another spelling.
_ENDINGS: Mapping[type[Written], str] = {
    UrlQuoted: "_URL",
    ExpressionQuoted: "_EXPRESSION",
    ImportQuoted: "_IMPORT",
    ConfigQuoted: "_CONFIG",
}


@dataclass(frozen=True)
class Rendered:
    """A stack as files. `compose` is the document's text; `files` maps relative paths to texts."""

    compose: str
    files: Mapping[str, str]


def project_name(plan: DockerPlan) -> str:
    """Compose's own name for the stack. Distinct stacks have distinct names.

    Compose allows small letters, digits, hyphens and underscores; 1.29 drops or lowers the rest without a word. Then
    `up` of a stack Dev would take the containers of a stack dev for its own, and replace them.
    """
    plain = re.sub(r"[^a-z0-9_-]", "", f"{plan.project}-{plan.stack}".lower())
    if plain == f"{plan.project}-{plan.stack}":
        return plain
    return f"{plain}-{hashlib.sha256(plan.stack.encode()).hexdigest()[:6]}"


def env_values(
    secrets: Iterable[Secret], values: Mapping[str, str], workloads: Iterable[Workload] = ()
) -> dict[str, str]:
    """The lines of the env file: each secret as it is, as a part of a URL, and in the spellings of the workloads."""
    found: dict[str, str] = {}
    for secret in secrets:
        found[secret.variable] = values[secret.name]
        if secret.value is not None:
            found[_variable(UrlQuoted(secret))] = UrlQuoted(secret).spelt(values[secret.name])
    for written in (part for w in workloads for text in w.secret_env.values() for part in text.written):
        found[_variable(written)] = written.spelt(values[written.secret.name])
    return found


def check_secrets(secrets: Iterable[Secret]) -> list[Problem]:
    """The secrets that an env file cannot carry: the operator's by their value, any by its name."""
    given = tuple(dict.fromkeys(secrets))
    names = {secret.variable: secret.name for secret in given}
    problems = [
        Problem(f"secret {s.name}", "[secret]", "expected no line break in it for Compose")
        for s in given
        if s.value is not None and _UNPORTABLE.search(s.value)
    ]
    # The one would be given to whoever reads the other.
    expected = "expected another name: a spelling of secret {} has its variable"
    return problems + [
        Problem(f"secret {names[variable]}", "", expected.format(secret.name))
        for secret in given
        for variable in (secret.variable + ending for ending in _ENDINGS.values())
        if variable in names
    ]


def render(plan: DockerPlan, bind_address: str) -> Rendered:
    """The stack as a Compose file and the files that it mounts."""
    files: dict[str, str] = {}
    document = {
        "services": {w.name: _service(plan, w, bind_address, files) for w in plan.workloads},
        "networks": {
            name: {"name": plan.physical(name), "internal": internal, "labels": plan.labels(name)}
            for name, internal in plan.networks().items()
        },
        "volumes": {
            f"{w.name}-{v.name}": {"name": plan.physical(f"{w.name}-{v.name}"), "labels": plan.volume_labels(w, v)}
            for w in plan.workloads
            for v in w.volumes
        },
    }
    return Rendered(yaml.safe_dump(document, sort_keys=False, width=120), files)


def _service(plan: DockerPlan, workload: Workload, bind_address: str, files: dict[str, str]) -> dict[str, Any]:
    joined = plan.joined(workload)
    service: dict[str, Any] = {
        "container_name": plan.physical(workload.name),
        "hostname": workload.name,
        "image": workload.image,
        "user": f"{workload.uid}:{workload.uid}",
        "command": [_literal(word) for word in jobs.command(workload)],
        "environment": {
            **{name: _literal(value) for name, value in workload.env.items()},
            **{name: _text(text) for name, text in workload.secret_env.items()},
        },
        "group_add": list(plan.groups(workload)),
        "networks": {n: {"aliases": [n]} if n == workload.name else {} for n in joined},
        "network_mode": "" if joined else "none",
        "ports": [f"{_host(bind_address)}:{e.host_port}:{p.number}" for p, e in workload.entrances],
        "volumes": [
            *(f"{workload.name}-{v.name}:{v.path}" for v in workload.volumes),
            *(f"{r.workload}-{r.volume}:{r.path}:ro" for r in workload.readings),
            # A volume without a name, which goes with its container.
            *(scratch.path for scratch in workload.scratch),
            *(f"./{_keep(files, file)}:{file.path}:ro" for file in workload.files),
        ],
        "healthcheck": _health(jobs.probe(workload)),
        "mem_limit": docker_memory(workload.resources.memory_mib),
        "memswap_limit": docker_memory(workload.resources.memory_mib),
        "cpu_shares": shares(workload),
        "read_only": True,
        "tmpfs": [f"{path}:{tmpfs_options(workload.uid)}" for path in workload.writable],
        "cap_drop": ["ALL"],
        "security_opt": list(SECURITY_OPTIONS),
        "restart": jobs.restart(workload),
        # Of a profile that `up` does not name, so that it is there for those who do.
        "profiles": [] if jobs.starts(workload) else [ON_DEMAND],
        "stop_grace_period": f"{workload.stop_seconds}s",
        "logging": {"driver": LOG_DRIVER, "options": dict(LOG_OPTIONS)},
        "labels": {name: _literal(value) for name, value in plan.container_labels(workload).items()},
    }
    return {key: value for key, value in service.items() if value not in ([], {}, "")}


def _health(probe: Probe | None) -> dict[str, Any]:
    if probe is None:
        return {}
    return {
        "test": ["CMD", *(_literal(word) for word in probe.local.command)],
        "interval": f"{probe.interval_seconds}s",
        "timeout": f"{probe.timeout_seconds}s",
        "retries": probe.failures,
        "start_period": f"{probe.start_seconds}s",
    }


def _keep(files: dict[str, str], file: File) -> str:
    """A path that changes with the content, so that a container is made anew when its file changes."""
    digest = hashlib.sha256(file.content.encode()).hexdigest()[:12]
    path = f"files/{digest}/{basename(file.path)}"
    files[path] = file.content
    return path


def _literal(text: str) -> str:
    """Compose replaces $NAME; a doubled sign stands for itself."""
    return text.replace("$", "$$")


def _text(text: SecretText) -> str:
    return "".join(
        text.fold(_literal, lambda secret: f"${{{secret.variable}}}", lambda written: f"${{{_variable(written)}}}")
    )


def _variable(written: Written) -> str:
    """The variable that carries a secret in a spelling: its own where that is the same text."""
    secret = written.secret
    # Generated secrets are letters and digits, which are spelt alike everywhere.
    same = secret.value is None or (written != UrlQuoted(secret) and written.spelt(secret.value) == secret.value)
    return secret.variable if same else secret.variable + _ENDINGS[type(written)]


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
