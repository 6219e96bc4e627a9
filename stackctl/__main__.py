"""What `stackctl` and `python -m stackctl` run."""

import gc
import sys


def main() -> None:
    # What is imported stays to the end; looking for garbage among it is a tenth of a command's start.
    gc.disable()
    from mlflow_sso_client import streams

    from stackctl.cli import app

    gc.enable()
    sys.exit(streams.run(app))


if __name__ == "__main__":
    main()
