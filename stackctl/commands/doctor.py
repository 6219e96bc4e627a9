"""`stackctl doctor`: what is wrong with a stack, and the command that mends it."""

from __future__ import annotations

import sys
from typing import Any

import typer

from problems import printable
from stackctl.commands.common import (
    FORESEEN,
    TABLE,
    CaOption,
    ConfigOption,
    Output,
    OutputOption,
    StackOption,
    TargetOption,
    UrlOption,
    document,
    reported,
)

# Each registers its checks, in this order.
from stackctl.doctor import (
    checks_containers,
    checks_directory,
    checks_edge,
    checks_factors,
    checks_login,
    checks_mail,
    checks_names,
    checks_providers,
    checks_stores,
    checks_terms,
    checks_themes,
    checks_tokens,
)
from stackctl.doctor.findings import Finding
from stackctl.doctor.gather import gather
from stackctl.doctor.registry import Report, examine, not_examined
from stackctl.people.connection import Where
from stackctl.progress import say

CHECKED_BY = (
    checks_containers,
    checks_names,
    checks_stores,
    checks_login,
    checks_mail,
    checks_directory,
    checks_providers,
    checks_factors,
    checks_themes,
    checks_terms,
    checks_tokens,
    checks_edge,
)


def doctor(
    *,
    stack: StackOption = "dev",
    output: OutputOption = TABLE,
    url: UrlOption = None,
    ca_bundle: CaOption = None,
    target: TargetOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Look at the running stack and name what is wrong: exit code 0 when healthy, 1 with findings.

    With --url, or where only a login is kept, what can be seen from afar is examined.
    """
    with reported():
        try:
            seen = gather(Where(stack=stack, config_file=config_file, url=url, ca_bundle=ca_bundle), target)
            report = examine(seen) if seen is not None else missing(stack)
        except FORESEEN:
            raise
        except Exception as error:
            report = Report((not_examined("the stack as a whole", error, stack),), (), 1)
    _write(report, stack, output)
    if not report.healthy:
        raise typer.Exit(1)


def missing(stack: str) -> Report:
    evidence = f"no container or pod carries the labels of stack {stack}"
    cause = "it was never brought up there, or was destroyed"
    return Report((Finding("stack-missing", evidence, cause, f"stackctl up --stack {stack}"),), (), 1)


def _write(report: Report, stack: str, output: Output) -> None:
    if output is not TABLE:
        document(as_data(report, stack), output)
        return
    for finding in report.findings:
        told = (
            f"{finding.id}: {finding.what}\n"
            f"  evidence  {finding.evidence}\n  cause     {finding.cause}\n  fix       {finding.fix}\n"
        )
        # Evidence may be a line of a log, which holds what people sent.
        sys.stdout.write(printable(told))
    for name, reason in report.unchecked:
        sys.stdout.write(printable(f"not checked: {name} ({reason})\n"))
    sys.stdout.flush()
    what = "healthy" if report.healthy else f"{len(report.findings)} findings, {len(report.unchecked)} not checked"
    say(f"Stack {stack}: {what} ({report.checks} checks).")


def as_data(report: Report, stack: str) -> dict[str, Any]:
    return {
        "stack": stack,
        "healthy": report.healthy,
        "findings": [finding.row() for finding in report.findings],
        "unchecked": [{"check": name, "reason": reason} for name, reason in report.unchecked],
    }
