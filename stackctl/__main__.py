"""What `stackctl` and `python -m stackctl` run."""

import gc
import os
import sys

from stackctl.errors import FAILED, INTERRUPTED
from stackctl.streams import open_closed, settle, tell


def main() -> None:
    open_closed()
    code = _run()
    trouble = settle(sys.stdout)
    if trouble is not None:
        tell(trouble)
        code = code or FAILED
    settle(sys.stderr)
    if code == INTERRUPTED:
        # At once: threads that wait for something else, as long as they may, would be waited for.
        os._exit(INTERRUPTED)
    sys.exit(code)


def _run() -> str | int | None:
    """Run the command; returns its exit code."""
    try:
        # What is imported stays to the end; looking for garbage among it is a tenth of a command's start.
        gc.disable()
        from stackctl.cli import app

        gc.enable()
        app()
    except SystemExit as ended:
        return ended.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        settle(sys.stdout)
        tell(error)
        return FAILED
    return 0


if __name__ == "__main__":
    main()
