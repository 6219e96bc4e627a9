"""A workload that runs at set times or on demand, as a CronJob.

One on demand is a CronJob that never comes: `kubectl create job --from=cronjob/NAME` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from platforms.kubernetes.objects.parts import around
from platforms.kubernetes.objects.pods import secret_prefix, template, top
from platforms.kubernetes.plan import KubernetesPlan, Manifest
from platforms.workload import Scheduled, Service, Workload

# A schedule is needed by one that is suspended, too.
_NEVER = "0 0 1 1 *"
# A time that could not be kept for so many seconds is passed over, as on every target.
_LATE_SECONDS = 60


def objects(plan: KubernetesPlan, workload: Workload, names: Mapping[str, Any]) -> list[Manifest]:
    """What it is made of. names: those of its Secrets, by their first parts."""
    return [*around(plan, workload), _cron_job(plan, workload, names.get(secret_prefix(workload)))]


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
