"""The command, also as `python -m mlflow_sso_client`."""

from __future__ import annotations

import sys

from mlflow_sso_client import streams
from mlflow_sso_client.command import main


def run() -> None:
    """Run the command, and end with its exit code."""
    sys.exit(streams.run(main))


if __name__ == "__main__":
    run()
