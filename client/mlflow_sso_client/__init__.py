"""Logins to an MLflow behind Keycloak for people and jobs: kept, renewed, and sent to their own server alone.

Needs `requests` and nothing else; MLflow finds it by entry points (`mlflow_sso_client.providers`).
"""

__version__ = "0.1.0"
