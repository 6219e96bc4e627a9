"""MLflow answers for every name of its Service within a cluster, and for no other name."""

from __future__ import annotations

import pytest
from mlflow_sso.names import with_cluster_names

HOSTS = "ml.example.com,mlflow:5000,127.0.0.1:5000,localhost:5000"
POD = "search team-a.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\n"


def test_a_pod_is_called_by_every_name_of_its_service() -> None:
    assert with_cluster_names(HOSTS, POD).removeprefix(HOSTS + ",").split(",") == [
        "mlflow.team-a:5000",
        "mlflow.team-a.svc:5000",
        "mlflow.team-a.svc.cluster.local:5000",
    ]


def test_the_domain_of_the_cluster_is_the_one_that_it_has() -> None:
    assert "mlflow.x.svc.k8s.corp:5000" in with_cluster_names(HOSTS, "search x.svc.k8s.corp svc.k8s.corp").split(",")


@pytest.mark.parametrize(
    "resolver",
    ["", "nameserver 127.0.0.11", "search corp.example svc.corp.example", "# search a.svc.cluster.local", "search"],
)
def test_elsewhere_no_name_is_added(resolver: str) -> None:
    assert with_cluster_names(HOSTS, resolver) == HOSTS
