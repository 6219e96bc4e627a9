"""Artifacts of any size, between client and store: no copy in memory or on a disk on the way.

MLflow's own server has a router for this (`mlflow.server.artifact_router`, 3.17.2). The plugin leaves it out, and it
copies every object of a bucket onto a disk, both ways. See docs/decisions/mlflow/0016-the-guard.md.
"""

from mlflow_sso.artifacts.transfers import Transfers

__all__ = ["Transfers"]
