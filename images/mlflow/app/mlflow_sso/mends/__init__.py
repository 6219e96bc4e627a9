"""Holes of MLflow and of the plugin, closed where every way to them comes past; each file names the one it closes.

docs/upstream/ has a page for each with what reproduces it, and docs/security.md what holds which threat.
"""


def install() -> None:
    """Puts every mend in place. Call it once, before the first request."""
    from mlflow_sso import cache, costs, groups, logins, longjson
    from mlflow_sso.artifacts import downloads, links
    from mlflow_sso.jobs import rights
    from mlflow_sso.mends import (
        defaults,
        errors,
        gateway,
        grants,
        graphql,
        lists,
        locations,
        otlp,
        pages,
        refusals,
        signatures,
        traces,
    )

    first = (longjson, defaults, errors, graphql, traces, locations, pages, lists, costs)
    for mend in (*first, otlp, gateway, grants, signatures, rights, downloads, links, cache, logins, groups, refusals):
        mend.install()
