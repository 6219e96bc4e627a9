"""How each way of running a workload is made: one row each, chosen by `KubernetesPlan.way`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from platforms.kubernetes.objects import cloudnativepg, jobs, pods, serving
from platforms.kubernetes.plan import KubernetesPlan, Manifest, Way
from platforms.secrets import SecretText
from platforms.workload import Workload

# The texts of Secrets, by the first part of each one's name.
Secrets = dict[str, dict[str, SecretText]]


@dataclass(frozen=True)
class Runner:
    """What a workload of one way is made of.

    secret_texts: what its Secrets hold. objects: its objects, in the order in which they are needed, with the names of
    its Secrets by their first parts. serves: whether what keeps its pods, as the cluster has it, serves in its newest
    form; None for what nobody waits for, as it serves nobody.
    """

    secret_texts: Callable[[KubernetesPlan, Workload], Secrets]
    objects: Callable[[KubernetesPlan, Workload, Mapping[str, Any]], list[Manifest]]
    serves: Callable[[Manifest], bool] | None


_RUNNERS: Mapping[Way, Runner] = {
    Way.DEPLOYMENT: Runner(pods.secret_texts, serving.deployment, serving.serves),
    Way.STATEFUL_SET: Runner(pods.secret_texts, serving.stateful_set, serving.serves),
    Way.CLOUD_NATIVE_PG: Runner(cloudnativepg.secret_texts, cloudnativepg.objects, cloudnativepg.serves),
    Way.CRON_JOB: Runner(pods.secret_texts, jobs.cron_job, None),
    Way.JOB: Runner(pods.secret_texts, jobs.job, None),
}


def runner(plan: KubernetesPlan, workload: Workload) -> Runner:
    """The row of a workload's way."""
    return _RUNNERS[plan.way(workload)]
