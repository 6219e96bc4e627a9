"""The experiment that a run is part of is looked up once: it is the same as long as there is the run.

Rights on the experiment are asked for each request, as before. Of a run that is gone MLflow itself says so.
"""

import threading
from collections.abc import Callable
from typing import Any

from cachetools import LRUCache

# Runs that are remembered, and the longest id of one: MLflow's have 32 letters.
RUNS, LONGEST = 10_000, 64
_Lookup = Callable[[Any, str], str]


def remembered(original: _Lookup) -> _Lookup:
    """`get_run_experiment_id`, which looks only for what it did not find before."""
    experiments: LRUCache[str, str] = LRUCache(RUNS)
    lock = threading.Lock()

    def experiment_of(tracking_store: Any, run_id: str) -> str:
        if not isinstance(run_id, str) or len(run_id) > LONGEST:
            return original(tracking_store, run_id)
        with lock:
            known = experiments.get(run_id)
        if known is None:
            known = original(tracking_store, run_id)
            with lock:
                experiments[run_id] = known
        return known

    return experiment_of


def install() -> None:
    """Puts the shortcut in place, except with workspaces: whether there is a run depends on them."""
    from mlflow_oidc_auth.config import config
    from mlflow_oidc_auth.validators import run as validators

    from mlflow_sso import upstream

    if not config.MLFLOW_ENABLE_WORKSPACES:
        upstream.replace(validators, "get_run_experiment_id", "b892e8f9d45a8ec2", remembered)
