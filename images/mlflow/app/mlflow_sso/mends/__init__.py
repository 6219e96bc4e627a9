"""Holes of MLflow and of the plugin, closed where every way to them comes past; each file names the one it closes.

docs/upstream/ has a page for each with what reproduces it, and docs/security.md what holds which threat.
"""


def install() -> None:
    """Puts every mend in place. Call it once, before the first request."""
    from mlflow_sso.mends import (
        downloads,
        errors,
        gateway,
        graphql,
        lists,
        locations,
        otlp,
        pages,
        registry,
        signatures,
        traces,
    )

    for mend in (errors, graphql, traces, locations, pages, lists, otlp, gateway, registry, signatures, downloads):
        mend.install()
