"""What `stackctl` and `python -m stackctl` run."""

import gc
import os
import sys
from contextlib import suppress

INTERRUPTED = 130


def main() -> None:
    try:
        # What is imported stays to the end; looking for garbage among it is a tenth of a command's start.
        gc.disable()
        from stackctl.cli import app

        gc.enable()
        app()
    except KeyboardInterrupt:
        _end(INTERRUPTED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _end(INTERRUPTED)
        raise


def _end(code: int) -> None:
    """End at once: threads that wait for something else, as long as they may, are not waited for."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
