"""What every command shares: its options, how data is written, how errors are reported, how consent is asked."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from mlflow_sso_client.errors import AccessError, RefusedError
from mlflow_sso_client.streams import settle

from platforms.docker import daemon
from platforms.inventory import InventoryError, Item
from platforms.kubernetes.kubectl import KubernetesError
from platforms.processes import ProcessError
from problems import Problem, StackError, printable
from settings import Platform
from stackctl import directories
from stackctl.clients.trash import TrashError
from stackctl.engines import pulumi_cli
from stackctl.errors import FAILED, INTERRUPTED, REFUSED, ImageError
from stackctl.progress import say


class Output(StrEnum):
    """How data is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


StackOption = Annotated[str, typer.Option("--stack", "-s", help="The stack's name.", envvar="STACK")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config-file", help="Settings; default Pulumi.<stack>.yaml.", dir_okay=False)
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to write the data.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="MLflow's URL, where the stack's state is not on this machine.")
]
IssuerOption = Annotated[
    str | None, typer.Option("--issuer", help="The issuer; default: the one MLflow's own login names.")
]
CaOption = Annotated[str | None, typer.Option("--ca-bundle", help="PEM file of CAs to trust.", dir_okay=False)]
TargetOption = Annotated[
    Platform | None, typer.Option("--target", help="Where it runs; default: the stack's own platform.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
# The defaults of the options above, for use as default arguments.
TABLE = Output.TABLE


# What a command may fail with, by what its exit code says of it.
_FAILURES = (
    *(daemon.DockerError, ImageError, InventoryError, KubernetesError),
    *(ProcessError, pulumi_cli.PulumiError, TrashError),
)
# Every error with a message for people; any other is a defect.
FORESEEN = (AccessError, StackError, *_FAILURES, OSError, typer.Exit, typer.Abort)


@contextmanager
def interruptible(hint: str = "") -> Iterator[None]:
    """Turn an interrupt, while something is done or asked, into one line and its exit code.

    hint: what goes on from there.
    """
    try:
        yield
    except (KeyboardInterrupt, typer.Abort) as error:
        # Who is asked and answers by an end of the input has not interrupted.
        if isinstance(error, typer.Abort) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        say(f"interrupted; {hint}." if hint else "interrupted")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def reported(hint: str = "") -> Iterator[None]:
    """Turn what can go wrong into one message and an exit code; a traceback is for defects alone.

    hint: what goes on after an interrupt.
    """
    try:
        with interruptible(hint):
            yield
            # What cannot be written is told here like everything else that goes wrong.
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read this has seen enough; the command's end says nothing of it.
        raise
    except AccessError as error:
        # The client's own words name its command; this one has the same commands under the same names.
        say(f"error: {error}".replace("`mlflow-sso ", "`stackctl "))
        raise typer.Exit(error.exit_code) from None
    except StackError as error:
        say(f"error: {error}")
        raise typer.Exit(REFUSED) from None
    except _FAILURES as error:
        say(f"error: {error}")
        raise typer.Exit(FAILED) from None
    except OSError as error:
        # No space, no permission, a file in the way: all of them name the place.
        say(f"error: {directories.told(error)}")
        settle(sys.stdout)
        raise typer.Exit(FAILED) from None


def at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost. Raises RefusedError on a no, and where there is nobody to ask."""
    if yes:
        return
    if not at_terminal():
        raise RefusedError(f"this needs a yes, and there is no terminal to ask on ({question}?)", "add --yes")
    if not typer.confirm(printable(f"{question}?"), err=True):
        raise RefusedError("not confirmed", "nothing was changed")


def list_items(title: str, items: Sequence[Item]) -> None:
    """Write objects of a stack to standard output, below a title for people."""
    if not items:
        return
    say(title)
    for item in items:
        sys.stdout.write(f"  {item.kind:10} {item.name}{holders(item)}\n")
    sys.stdout.flush()


def holders(item: Item) -> str:
    """Who keeps an object, for people; empty where nobody does."""
    return f" (in use by {', '.join(item.used_by)})" if item.used_by else ""


def confirm_name(stack: str, items: Sequence[Item]) -> None:
    """Ask for the stack's name before these objects go. Raises StackError for another one and without a terminal."""
    if not at_terminal():
        problem = Problem("--yes", "", "expected it, or a terminal to ask on")
        raise StackError("Removing needs a confirmation; nothing was removed.", [problem])
    counts = ", ".join(f"{count} {kind}" for kind, count in Counter(item.kind for item in items).items())
    typed = typer.prompt(f"This cannot be undone ({counts}). Type the stack's name to go on", err=True)
    if typed != stack:
        problem = Problem("confirmation", typed, f"expected {stack}")
        raise StackError("Not confirmed; nothing was removed.", [problem])


def show(data: dict[str, Any], output: Output) -> None:
    """Write one document to standard output."""
    if output is Output.TABLE:
        width = max((len(name) for name in data), default=0)
        for name, value in data.items():
            shown = json.dumps(value) if isinstance(value, dict | list) else value
            sys.stdout.write(f"{name:{max(width, 18)}} {printable(str(shown), keep='')}\n")
    else:
        document(data, output)


def show_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str], output: Output) -> None:
    """Write a list to standard output: its `columns` as a table, or every field as one document."""
    if output is not Output.TABLE:
        document(list(rows), output)
        return
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [
        max(len(head), *(len(line[i]) for line in cells)) if cells else len(head) for i, head in enumerate(columns)
    ]
    for line in ([column.upper().replace("_", " ") for column in columns], *cells):
        sys.stdout.write("  ".join(f"{text:{width}}" for text, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value), keep="")


def document(data: Any, output: Output) -> None:
    """Write JSON or YAML to standard output, one document and nothing else."""
    if output is Output.JSON:
        json.dump(data, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        yaml.safe_dump(data, sys.stdout, sort_keys=False)
