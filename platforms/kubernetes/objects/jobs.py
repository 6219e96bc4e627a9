"""A workload that runs at set times or on demand, as a CronJob, or at changes, as a Job.

One on demand is a CronJob that never comes: `kubectl create job --from=cronjob/NAME` runs it. A Job that is there never
runs again and cannot be changed, so one that runs at changes has a digest of what it is made of in its name: whatever
applies the files makes another one then. It stays when it has ended: made anew, it would run again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from platforms.kubernetes.objects.parts import around
from platforms.kubernetes.objects.pods import secret_prefix, template, top
from platforms.kubernetes.plan import KubernetesPlan, Manifest, content_name
from platforms.workload import FINAL, OnDemand, Scheduled, Service, Workload

# A schedule is needed by one that is suspended, too.
_NEVER = "0 0 1 1 *"
# A time that could not be kept for so many seconds is passed over, as on every target.
_LATE_SECONDS = 60
# How often one that runs at changes is tried: nothing else comes by to try it again.
_TRIES = 4


def cron_job(plan: KubernetesPlan, workload: Workload, names: Mapping[str, Any]) -> list[Manifest]:
    """What one at set times or on demand is made of. names: those of its Secrets, by their first parts."""
    return [*around(plan, workload), _cron_job(plan, workload, names.get(secret_prefix(workload)))]


def job(plan: KubernetesPlan, workload: Workload, names: Mapping[str, Any]) -> list[Manifest]:
    """What one at changes is made of. names: as for a CronJob; in each is a digest of what the Secret holds."""
    return [*around(plan, workload), _job(plan, workload, names.get(secret_prefix(workload)))]


def _job(plan: KubernetesPlan, workload: Workload, secret_name: Any) -> Manifest:
    assert isinstance(workload.runs, OnDemand)
    stop = {"containerName": workload.name, "operator": "In", "values": [FINAL]}
    spec = {
        "backoffLimit": _TRIES - 1,
        "activeDeadlineSeconds": workload.runs.timeout_seconds,
        "podFailurePolicy": {
            "rules": [
                # A node that is drained says nothing about the program.
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": stop},
            ]
        },
        "template": template(plan, workload, secret_name),
    }
    made = top(plan, workload, spec)
    made["metadata"]["name"] = content_name(workload.name, {"spec": json.dumps(spec, sort_keys=True)})
    return made


def _cron_job(plan: KubernetesPlan, workload: Workload, secret_name: Any) -> Manifest:
    runs = workload.runs
    assert not isinstance(runs, Service)
    scheduled = isinstance(runs, Scheduled)
    spec: Manifest = {
        "schedule": runs.cron if isinstance(runs, Scheduled) else _NEVER,
        "timeZone": "Etc/UTC",
        "suspend": not scheduled,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": _LATE_SECONDS,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {
            "metadata": {"labels": plan.labels(workload.name)},
            "spec": {
                # What failed is run again at its next time, not at once.
                "backoffLimit": 0,
                "activeDeadlineSeconds": runs.timeout_seconds,
                "template": template(plan, workload, secret_name),
            },
        },
    }
    return top(plan, workload, spec)
