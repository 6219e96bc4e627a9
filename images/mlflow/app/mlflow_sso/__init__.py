"""What the image serves: the plugin's application, with its own threads, mends of what lies below, and a guard around.

`app` is imported when it is asked for, so that `guard` can be used and tested without the plugin.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "app":
        from mlflow_sso import databases, jobs, metrics, names

        # The variables are read as what is served is imported.
        databases.size()
        names.add()
        jobs.share()
        metrics.share()
        # The plugin makes an engine as it is imported.
        databases.bind()
        from mlflow_sso.served import app

        # All this happens once, and `from mlflow_sso import app` asks twice.
        globals()[name] = app
        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
