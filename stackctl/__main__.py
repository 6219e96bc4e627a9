"""What `stackctl` and `python -m stackctl` run."""

import gc


def main() -> None:
    # What is imported stays to the end; looking for garbage among it is a tenth of a command's start.
    gc.disable()
    from stackctl.cli import app

    gc.enable()
    app()


if __name__ == "__main__":
    main()
