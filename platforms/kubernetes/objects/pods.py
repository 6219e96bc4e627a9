"""A workload as pods: the template that every way of running makes them from, and the probes.

Everything here satisfies the Pod Security Standard `restricted`.
"""

from __future__ import annotations

from collections.abc import Collection
from math import ceil
from posixpath import basename, dirname
from typing import Any

from platforms.kubernetes.plan import (
    AMBIENT,
    CPU_PROMISED,
    DATAPLANE_MODE,
    KubernetesPlan,
    Manifest,
    authority,
    content_name,
)
from platforms.labels import metrics_marks
from platforms.quantities import mebibytes, millicores
from platforms.secrets import Secret, SecretText
from platforms.workload import ExecCheck, File, HttpCheck, Reading, Service, Workload

# Seconds between two questions while a pod starts: what `up` waits for is seen at once.
STARTUP_PERIOD = 2
# A pod that is going keeps serving until every node has heard of it.
DRAIN_SECONDS = 5
SCRATCH_MIB = 256
# Stakater's Reloader, where the cluster has it, restarts pods whose Secrets others have changed.
_RELOADED = {"reloader.stakater.com/auto": "true"}


def file_keys(files: tuple[File, ...]) -> dict[str, File]:
    """The files by a key for a ConfigMap or Secret, where a directory is no part of a key."""
    return {f"{number}-{basename(file.path)}": file for number, file in enumerate(files)}


def plain_files(workload: Workload) -> dict[str, str]:
    return {key: f.content for key, f in file_keys(workload.files).items() if not f.secret}


def secret_files(workload: Workload) -> dict[str, str]:
    return {key: f.content for key, f in file_keys(workload.files).items() if f.secret}


def has_secret(workload: Workload) -> bool:
    """Whether it has a Secret of its own, beside those that the cluster keeps already."""
    return any(not text.kept for text in workload.secret_env.values()) or bool(secret_files(workload))


def secret_prefix(workload: Workload) -> str:
    """The first part of the name of the Secret that a workload's pods read."""
    return f"{workload.name}-secrets"


def secret_texts(plan: KubernetesPlan, workload: Workload) -> dict[str, dict[str, SecretText]]:
    """What the Secret of a workload holds, by the first part of its name: secret variables and private files."""
    if not has_secret(workload):
        return {}
    files = {key: SecretText.of(content) for key, content in secret_files(workload).items()}
    made = {name: text for name, text in workload.secret_env.items() if not text.kept}
    return {secret_prefix(workload): {**made, **files}}


def secret_type(values: Collection[str]) -> str:
    """The type of a Secret by its keys (Kubernetes documentation, "Basic authentication Secret")."""
    return "kubernetes.io/basic-auth" if set(values) == {"username", "password"} else "Opaque"


def config_name(workload: Workload) -> str:
    return content_name(f"{workload.name}-files", plain_files(workload))


def top(plan: KubernetesPlan, workload: Workload, spec: Manifest) -> Manifest:
    """The object that keeps the pods of a workload."""
    kind = plan.keeper(workload)
    metadata = plan.metadata(workload.name, workload.name)
    if workload.kept or (plan.options.external_secrets and has_secret(workload)):
        metadata["annotations"] = dict(_RELOADED)
    return {"apiVersion": kind.api, "kind": kind.name, "metadata": metadata, "spec": spec}


def template(plan: KubernetesPlan, workload: Workload, secret_name: Any, *, spreads: bool = False) -> Manifest:
    """What each pod of a workload is made from.

    secret_name: put where its Secret is read. spreads: it has others of its kind beside it, that serve while it goes.
    """
    metadata: Manifest = {"labels": _pod_labels(plan, workload)}
    marks = {key: value for port in workload.ports if port.metrics for key, value in metrics_marks(port).items()}
    if marks:
        metadata["annotations"] = marks
    return {"metadata": metadata, "spec": _pod(plan, workload, secret_name, spreads=spreads)}


def _pod_labels(plan: KubernetesPlan, workload: Workload) -> dict[str, str]:
    labels = plan.labels(workload.name)
    if plan.mesh and not plan.options.create_namespace:
        # The namespace is somebody else's to label; its pods join the mesh one by one.
        labels[DATAPLANE_MODE] = AMBIENT
    if workload.identity:
        labels |= workload.identity.marks
    return labels


def _pod(plan: KubernetesPlan, workload: Workload, secret_name: Any, *, spreads: bool) -> Manifest:
    drain = DRAIN_SECONDS if spreads else 0
    security = {
        "runAsNonRoot": True,
        "runAsUser": workload.uid,
        "runAsGroup": workload.uid,
        "fsGroup": workload.uid,
        # A volume that has its owner already is not walked through at every start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    pod: Manifest = {
        "serviceAccountName": workload.name,
        "automountServiceAccountToken": False,
        # Variables such as MLFLOW_PORT, made from Services, would be taken for settings.
        "enableServiceLinks": False,
        "securityContext": security,
        "terminationGracePeriodSeconds": workload.stop_seconds + drain,
        "containers": [_container(plan, workload, secret_name, drain)],
        "volumes": _volumes(plan, workload, secret_name),
    }
    if plan.options.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in plan.options.image_pull_secrets]
    groups = sorted({plan.named(reading.workload).uid for reading in workload.readings})
    if groups:
        # The owner's files are its group's to read.
        security["supplementalGroups"] = groups
    if not isinstance(workload.runs, Service):
        pod["restartPolicy"] = "Never"
    if beside := _beside(plan, workload):
        pod["affinity"] = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": beside}}
    if spreads:
        match = {"matchLabels": plan.selector(workload.name)}
        apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": match}
        pod.setdefault("affinity", {})["podAntiAffinity"] = {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": apart}]
        }
        pod["topologySpreadConstraints"] = [
            {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": match}
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ]
    return pod


def _container(plan: KubernetesPlan, workload: Workload, secret_name: Any, drain: int) -> Manifest:
    limit = {"memory": mebibytes(workload.resources.memory_mib), "cpu": millicores(workload.resources.cpus)}
    # Memory cannot be taken back, so all of it is promised; CPU time can.
    promised = workload.resources.cpus * workload.resources.weight * CPU_PROMISED
    request = {"memory": limit["memory"], "cpu": millicores(promised)}
    container: Manifest = {
        "name": workload.name,
        "image": plan.image(workload.image),
        "imagePullPolicy": plan.options.image_pull_policy,
        "command": _command(workload),
        "args": [_literal(word) for word in workload.args],
        "env": [
            *({"name": name, "value": _literal(value)} for name, value in sorted(workload.env.items())),
            *_secret_env(workload, secret_name),
        ],
        "ports": [{"name": p.name, "containerPort": p.number, "protocol": "TCP"} for p in workload.ports],
        "resources": {"requests": request, "limits": limit},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(workload),
        **(_probes(workload.runs) if isinstance(workload.runs, Service) else {}),
    }
    if drain:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": drain}}}
    return {key: value for key, value in container.items() if value != []}


def _secret_env(workload: Workload, secret_name: Any) -> list[Manifest]:
    """The secret variables. A text with parts that the cluster keeps is put together in the pod: its parts come
    first, as Kubernetes puts in only what stands before."""
    made = [n for n, text in workload.secret_env.items() if not text.kept]
    kept = {n: text for n, text in workload.secret_env.items() if text.kept}
    whole = {n: secret for n, text in kept.items() if (secret := text.alone or text.expressed)}
    built = {n: text for n, text in kept.items() if n not in whole}
    parts = {_part(secret): secret for text in built.values() for secret in text.secrets}
    urls = sorted(n for n, text in built.items() if text.quotes)
    return [
        *(_reference(name, secret_name, name) for name in sorted(made)),
        *(_reference(name, s.kept.name, s.kept.key) for name, s in sorted((whole | parts).items()) if s.kept),
        *({"name": name, "value": _in_pod(text)} for name, text in sorted(built.items())),
        *([{"name": "STACK_URLS", "value": ",".join(urls)}] if urls else []),
    ]


def _command(workload: Workload) -> list[str]:
    """What spells the variables for Keycloak that the cluster alone knows, and then starts the image's program."""
    names = sorted(n for n, text in workload.secret_env.items() if text.kept and text.expressed)
    if not names:
        return []
    # As ExpressionQuoted spells them. Kubernetes takes a doubled sign for one here as well.
    script = f'for name in {" ".join(names)}; do export "$name=${{!name//\\$/\\\\$}}"; done; exec "$0" "$@"'
    return ["bash", "-c", _literal(script), workload.program]


def _reference(variable: str, secret_name: Any, key: str) -> Manifest:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret_name, "key": key}}}


def _part(secret: Secret) -> str:
    return f"STACK_KEPT_{secret.variable}"


def _in_pod(text: SecretText) -> str:
    """Kubernetes puts in $(NAME); what has to be percent-encoded, the image's entrypoint does as ${NAME}."""
    return "".join(
        text.fold(_literal, lambda secret: f"$({_part(secret)})", lambda w: _literal(f"${{{_part(w.secret)}}}"))
    )


def _probes(service: Service) -> Manifest:
    """Startup and readiness ask whether it serves; liveness, which ends in a restart, asks only whether it lives."""
    probe = service.probe
    serves = _check(probe.http or probe.local)
    lives = _check(probe.live or probe.local)
    patience = {"timeoutSeconds": probe.timeout_seconds, "periodSeconds": probe.interval_seconds}
    return {
        "startupProbe": {
            **serves,
            "timeoutSeconds": probe.timeout_seconds,
            "periodSeconds": STARTUP_PERIOD,
            "failureThreshold": ceil(max(service.wait_seconds, probe.start_seconds) / STARTUP_PERIOD),
        },
        "readinessProbe": {**serves, **patience, "failureThreshold": 2},
        "livenessProbe": {**lives, **patience, "failureThreshold": probe.failures},
    }


def _check(check: ExecCheck | HttpCheck) -> Manifest:
    if isinstance(check, ExecCheck):
        return {"exec": {"command": list(check.command)}}
    # Programs that check the Host header know this name; the pod's address, the default, they do not.
    host = [{"name": "Host", "value": f"localhost:{check.port}"}]
    scheme = "HTTPS" if check.tls else "HTTP"
    return {"httpGet": {"path": check.path, "port": check.port, "scheme": scheme, "httpHeaders": host}}


def _mounts(workload: Workload) -> list[Manifest]:
    return [
        *({"name": f"data-{v.name}", "mountPath": v.path} for v in workload.volumes),
        *({"name": _read(r), "mountPath": r.path, "readOnly": True} for r in workload.readings),
        # A directory, whose file follows when the certificate is renewed.
        *(
            {"name": f"{name}-ca", "mountPath": dirname(path), "readOnly": True}
            for path, name in workload.authorities.items()
        ),
        *({"name": f"scratch-{n}", "mountPath": path} for n, path in enumerate(workload.writable)),
        *({"name": f"disk-{n}", "mountPath": scratch.path} for n, scratch in enumerate(workload.scratch)),
        *(
            {
                "name": "secret-files" if file.secret else "files",
                "mountPath": file.path,
                "subPath": key,
                "readOnly": True,
            }
            for key, file in file_keys(workload.files).items()
        ),
    ]


def _volumes(plan: KubernetesPlan, workload: Workload, secret_name: Any) -> list[Manifest]:
    volumes: list[Manifest] = [
        {"name": f"data-{v.name}", "persistentVolumeClaim": {"claimName": plan.claim(workload, v)}}
        for v in workload.volumes
    ]
    volumes += [
        {"name": f"scratch-{n}", "emptyDir": {"medium": "Memory", "sizeLimit": mebibytes(SCRATCH_MIB)}}
        for n in range(len(workload.writable))
    ]
    volumes += [
        {"name": f"disk-{n}", "emptyDir": {"sizeLimit": mebibytes(scratch.size_mib)}}
        for n, scratch in enumerate(workload.scratch)
    ]
    volumes += [
        {"name": _read(reading), "persistentVolumeClaim": {"claimName": plan.claim_read(reading), "readOnly": True}}
        for reading in workload.readings
    ]
    for path, name in workload.authorities.items():
        there, key = authority(name)
        certificate = {"secretName": there, "items": [{"key": key, "path": basename(path)}], "defaultMode": 0o444}
        volumes.append({"name": f"{name}-ca", "secret": certificate})
    if plain_files(workload):
        volumes.append({"name": "files", "configMap": {"name": config_name(workload), "defaultMode": 0o444}})
    if secret_files(workload):
        items = [{"key": key, "path": key} for key in secret_files(workload)]
        secret = {"secretName": secret_name, "items": items, "defaultMode": 0o440}
        volumes.append({"name": "secret-files", "secret": secret})
    return volumes


def _read(reading: Reading) -> str:
    return f"{reading.workload}-{reading.volume}"


def _beside(plan: KubernetesPlan, workload: Workload) -> list[Manifest]:
    """The pods on whose node it has to be: a claim for one node is read where its owner runs."""
    owners = {
        reading.workload
        for reading in workload.readings
        if not plan.volume_read(reading).shared or plan.options.storage.shared_access == "ReadWriteOnce"
    }
    return [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": plan.selector(name)}}
        for name in sorted(owners)
    ]


def _literal(text: str) -> str:
    """Kubernetes replaces $(NAME), and takes a doubled sign for one wherever it stands."""
    return text.replace("$", "$$")
