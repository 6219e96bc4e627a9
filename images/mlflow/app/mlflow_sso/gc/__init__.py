"""Removes for good what was deleted in MLflow: rows, artifacts, and grants of the plugin that are left over.

`mlflow gc` ends at the first artifact that cannot be removed, takes every deleted experiment and model along whatever
ids it was given, asks its own server for artifacts without a login, leaves the folders of experiments and traces, and
knows no grants. So this calls what that command calls, one thing after another: artifacts first, then rows.

`python -m mlflow_sso.gc` runs it beside a server, in the server's own container (`stackctl gc`).
"""
