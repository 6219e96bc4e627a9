"""What `stackctl` and `python -m stackctl` run."""

import gc
import os
import sys

from mlflow_sso_client import streams

from stackctl import interrupts
from stackctl.errors import INTERRUPTED


def main() -> None:
    code = streams.run(_command)
    if code == INTERRUPTED:
        # At once: threads that wait for something else, as long as they may, would be waited for.
        os._exit(INTERRUPTED)
    sys.exit(code)


def _command() -> int | None:
    """Run the command. Returns the exit code of an interrupt; every other way of its ends is a SystemExit."""
    try:
        interrupts.heed()
        # What is imported stays to the end; looking for garbage among it is a tenth of a command's start.
        gc.disable()
        from stackctl.cli import app

        gc.enable()
        app()
    except KeyboardInterrupt:
        return INTERRUPTED
    return None


if __name__ == "__main__":
    main()
