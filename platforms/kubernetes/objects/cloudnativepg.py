"""A Postgres server that the CloudNativePG operator runs: its Cluster, and who may speak to its instances.

Facts of its API (postgresql.cnpg.io/v1, operator 1.25 or later): `managed.services.additional` makes a Service of a
chosen name, which the server's certificate names too; the CA of that certificate is in the Secret <cluster>-ca;
instances and the jobs that make them carry the label `cnpg.io/cluster`, speak to each other and to the API server, and
are asked for their state on port 8000 by the operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from platforms.kubernetes.kinds import KINDS
from platforms.kubernetes.objects import mesh
from platforms.kubernetes.objects.network import NAMESPACE_LABEL, lookups, policy
from platforms.kubernetes.objects.parts import guards
from platforms.kubernetes.plan import (
    AMBIENT,
    AMBIENT_PROBES,
    CPU_PROMISED,
    DATAPLANE_MODE,
    HBONE_PORT,
    STAYS,
    KubernetesPlan,
    Manifest,
    Way,
)
from platforms.labels import protection
from platforms.quantities import canonical_cpu, canonical_memory, gibibytes
from platforms.secrets import SecretText
from platforms.workload import Databases, Workload
from settings.kubernetes import CloudNativePg

KIND = KINDS[Way.CLOUD_NATIVE_PG]
STATUS_PORT = 8000
# Where API servers listen, by their Service's port and by the usual port of the server itself.
_API_SERVER_PORTS = (443, 6443)
# Seconds that connections are let end by themselves, before an instance ends them.
_PATIENCE = 5


def options(plan: KubernetesPlan) -> CloudNativePg:
    found = plan.options.cloud_native_pg
    assert found is not None
    return found


def secret_texts(plan: KubernetesPlan, workload: Workload) -> dict[str, dict[str, SecretText]]:
    """The Secrets with which its roles log in, by the first part of their names."""
    return {
        _login(workload, role): {"username": SecretText.of(role), "password": SecretText.of(password)}
        for role, password in _databases(workload).owners.items()
    }


def objects(plan: KubernetesPlan, workload: Workload, names: Mapping[str, Any]) -> list[Manifest]:
    """What lets its instances work, and the Cluster. `names`: the Secrets of `secret_texts`."""
    traffic = mesh.operated_objects(plan, workload, STATUS_PORT)
    return [*guards(plan, workload), *traffic, _instances(plan, workload), _cluster(plan, workload, names)]


def serves(cluster: Manifest) -> bool:
    """Whether every instance is ready, and the operator has nothing left to do (ClusterStatus of its API)."""
    status = cluster.get("status", {})
    conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
    return status.get("readyInstances", 0) >= cluster["spec"]["instances"] and conditions.get("Ready") == "True"


def _databases(workload: Workload) -> Databases:
    assert workload.databases is not None
    return workload.databases


def _login(workload: Workload, role: str) -> str:
    return f"{workload.name}-{role}-login"


def _cluster(plan: KubernetesPlan, workload: Workload, names: Mapping[str, Any]) -> Manifest:
    chosen, databases = options(plan), _databases(workload)
    first, *others = sorted(databases.owners)
    memory, cpus = canonical_memory(workload.resources.memory_mib), workload.resources.cpus
    promised = cpus * workload.resources.weight * CPU_PROMISED
    storage: Manifest = {"size": gibibytes(chosen.storage_gib)}
    name = chosen.class_name or plan.options.storage.class_name
    storage |= {"storageClass": name} if name else {}
    labels = plan.labels() | plan.selector(workload.name)
    if plan.mesh and not plan.options.create_namespace:
        labels[DATAPLANE_MODE] = AMBIENT
    spec: Manifest = {
        "instances": chosen.instances,
        "imageName": chosen.image or plan.image(workload.image),
        "imagePullPolicy": plan.options.image_pull_policy,
        "storage": storage,
        # Its pods are found by these, in NetworkPolicies, in the mesh, and by the stack's own commands.
        "inheritedMetadata": {"labels": labels},
        "enableSuperuserAccess": False,
        # A budget for the only instance would stop its node from ever being drained.
        "enablePDB": chosen.instances > 1,
        "smartShutdownTimeout": _PATIENCE,
        "stopDelay": workload.stop_seconds + _PATIENCE,
        # Quantities in their canonical form, as the operator writes them back.
        "resources": {
            "requests": {"memory": memory, "cpu": canonical_cpu(promised)},
            "limits": {"memory": memory, "cpu": canonical_cpu(cpus)},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"cnpg.io/cluster": workload.name}},
            }
        ],
        "bootstrap": {"initdb": _first_database(first, others, names[_login(workload, first)])},
        "managed": {
            "roles": [
                {"name": role, "login": True, "passwordSecret": {"name": names[_login(workload, role)]}}
                for role in others
            ],
            "services": {
                "disabledDefaultServices": ["ro", "r"],
                "additional": [
                    {
                        "selectorType": "rw",
                        "serviceTemplate": {
                            "metadata": {"name": workload.name, "labels": labels},
                            "spec": {"type": "ClusterIP"},
                        },
                    }
                ],
            },
        },
        "postgresql": {
            "parameters": dict(databases.parameters),
            # After the operator's own rules: each role in its own database, by TLS alone, and nobody else.
            "pg_hba": [
                *(f"hostssl {role} {role} all scram-sha-256" for role in (first, *others)),
                "host all all all reject",
            ],
        },
    }
    if chosen.instances > 1:
        # What was acknowledged outlives the primary while a replica is there, and none is waited for otherwise.
        spec["postgresql"]["synchronous"] = {"method": "any", "number": 1, "dataDurability": "preferred"}
    if chosen.image is None:
        # The numbers of the user in the stack's own image; other images are made for the operator's default.
        spec |= {"postgresUID": workload.uid, "postgresGID": workload.uid}
    if plan.options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in plan.options.image_pull_secrets]
    marks = protection(any(volume.protected for volume in workload.volumes))
    metadata = plan.metadata(workload.name, workload.name, **marks) | {"annotations": dict(STAYS)}
    return {"apiVersion": KIND.api, "kind": KIND.name, "metadata": metadata, "spec": spec}


def _first_database(first: str, others: list[str], login: Any) -> Manifest:
    """How the first instance starts: with the database of one role, and statements that make those of the others."""
    return {
        "database": first,
        "owner": first,
        "secret": {"name": login},
        "encoding": "UTF8",
        "dataChecksums": True,
        "postInitSQL": [statement for role in others for statement in _make(role)],
        "postInitApplicationSQL": [f'REVOKE ALL ON DATABASE "{first}" FROM PUBLIC'],
    }


def _make(role: str) -> list[str]:
    """A database and its owner, who gets a password, as its Secret says, from the operator."""
    return [
        f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION',
        f'CREATE DATABASE "{role}" OWNER "{role}" TEMPLATE template0',
        f'REVOKE ALL ON DATABASE "{role}" FROM PUBLIC',
    ]


def _instances(plan: KubernetesPlan, workload: Workload) -> Manifest:
    """Beside the callers of the workload: instances and jobs among themselves, and the operator."""
    members = {"matchLabels": {"cnpg.io/cluster": workload.name}}
    operator = {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: options(plan).operator_namespace}}}
    numbers = [*(port.number for port in workload.ports), STATUS_PORT]
    numbers += [HBONE_PORT] if plan.mesh else []
    ports = [{"protocol": "TCP", "port": number} for number in numbers]
    ingress: list[Manifest] = [{"from": [{"podSelector": members}, operator], "ports": ports}]
    if plan.mesh:
        probes = [{"protocol": "TCP", "port": STATUS_PORT}]
        ingress.append({"from": [{"ipBlock": {"cidr": AMBIENT_PROBES}}], "ports": probes})
    egress: list[Manifest] = [
        *lookups(plan),
        {"to": [{"podSelector": members}], "ports": ports},
        # The API server is no pod, so it is opened by port.
        {"ports": [{"protocol": "TCP", "port": number} for number in _API_SERVER_PORTS]},
    ]
    return policy(plan, f"{workload.name}-instances", members, ingress, egress)
