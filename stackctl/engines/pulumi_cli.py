"""Drives the Pulumi CLI: finds or installs it, and runs it as its user would."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from platforms.processes import ProcessError, run, show
from problems import Problem, StackError
from settings import ROOT, Environment
from stackctl.context import Context
from stackctl.progress import console, say
from stackctl.state import generated_passphrase

# The plugins that every stack needs beside its platform's own; plugin and SDK package share their version.
PLUGINS = ("random", "keycloak")
PASSPHRASE_VARIABLES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
INSTALL_SECONDS = 180
_QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
# What Pulumi keeps of a passphrase in the settings of a stack.
_SALT = "encryptionsalt"


class PulumiError(Exception):
    """The Pulumi CLI failed. It has told why on its own output."""


def find() -> str | None:
    """The Pulumi CLI: on PATH, or where its own installer or SDK puts it."""
    homes = (Path.home() / ".pulumi" / "bin", Path.home() / ".pulumi" / "versions" / version("pulumi") / "bin")
    return shutil.which("pulumi") or next((str(h / "pulumi") for h in homes if (h / "pulumi").is_file()), None)


def _program() -> str:
    """The Pulumi CLI as a command; the name alone where it is not found, so that starting it says so."""
    return find() or "pulumi"


def unavailable(platform_plugin: str = "docker") -> str | None:
    """Why the engine cannot be used here, after trying to install what is missing; None when it can."""
    if find() is None:
        say("The Pulumi CLI is not installed; trying to install it ...")
        failed = _attempt(sys.executable, "-c", "from pulumi.automation import PulumiCommand; PulumiCommand.install()")
        if failed or find() is None:
            return f"the Pulumi CLI is not installed and cannot be downloaded here ({failed or 'no such file'})"
    for name in (*PLUGINS, platform_plugin):
        wanted = version(f"pulumi-{name}")
        if not _has_plugin(name, wanted):
            failed = _attempt(_program(), "plugin", "install", "resource", name, f"v{wanted}")
            if failed:
                return f"the Pulumi plugin {name} {wanted} cannot be downloaded here ({failed})"
    return None


def _has_plugin(name: str, wanted: str) -> bool:
    """Whether the engine finds a plugin: on PATH, or where `pulumi plugin install` puts it (PULUMI_HOME)."""
    if shutil.which(f"pulumi-resource-{name}"):
        return True
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    folder = home / "plugins" / f"resource-{name}-v{wanted}"
    # The engine leaves a second file beside a plugin while it has not all of it.
    return (folder / f"pulumi-resource-{name}").is_file() and not folder.with_name(f"{folder.name}.partial").exists()


def _attempt(*command: str) -> str | None:
    """Run a command that may need the network; returns its last line when it failed."""
    try:
        done = run(*command, what="it", timeout=INSTALL_SECONDS, variables=_QUIET)
    except ProcessError as error:
        return str(error)
    return None if done.code == 0 else done.last() or "no reason given"


def up(context: Context, *, new: bool) -> None:
    """Bring the stack up. new: the backend does not know it yet (see `exists`)."""
    if new:
        _init(context)
    _run(context, "up", "--yes", "--skip-preview")


def preview(context: Context) -> None:
    """Show what `up` would change. A stack that is made for the question alone goes with it."""
    if exists(context.stack):
        _run(context, "preview", "--diff")
        return
    before = context.config_file.read_bytes()
    _init(context)
    try:
        _run(context, "preview", "--diff")
    finally:
        _take_back(context, before)


def destroy(context: Context, *, protected: bool) -> None:
    """Remove the stack and its state. protected: the engine keeps some of it until it is told otherwise."""
    if protected:
        _run(context, "state", "unprotect", "--all", "--yes")
    _run(context, "destroy", "--yes", "--skip-preview")
    _run(context, "stack", "rm", "--yes", "--preserve-config")
    _drop_unused_salt(context.config_file)


def forget(stack: str) -> None:
    """Remove the stack's state, whatever it still names. Needs no passphrase."""
    _output("stack", "rm", stack, "--force", "--yes", "--preserve-config")


def exists(stack: str) -> bool:
    """Whether the backend knows the stack. Needs no passphrase."""
    return any(row["name"].split("/")[-1] == stack for row in json.loads(_output("stack", "ls", "--json") or "[]"))


def outputs(stack: str, environment: Environment) -> dict[str, Any]:
    """The stack's outputs with their secrets in clear."""
    shown = _output(
        "stack", "output", "--json", "--show-secrets", "--stack", stack, env=_passphrase(stack, environment)
    )
    return dict(json.loads(shown))


def _init(context: Context) -> None:
    # `init` writes a salt into the usual settings file alone; it belongs into the stack's own.
    usual = ROOT / f"Pulumi.{context.stack}.yaml"
    elsewhere = not (usual.exists() and usual.samefile(context.config_file))
    before = usual.read_bytes() if elsewhere and usual.exists() else None
    try:
        _run(context, "stack", "init", context.stack, "--no-select", new=True)
    finally:
        if before is not None:
            # Somebody's settings, for another occasion.
            usual.write_bytes(before)
        elif elsewhere:
            usual.unlink(missing_ok=True)


def _take_back(context: Context, before: bytes) -> None:
    """Undo `_init`, and what was written into the settings file since; a stack that holds anything by now stays."""
    try:
        _output("stack", "rm", context.stack, "--yes", "--preserve-config")
    except PulumiError as error:
        if exists(context.stack):
            say(f"Pulumi keeps stack {context.stack}, which was made for this: {error}")
            return
    now = context.config_file.read_bytes()
    if now == before:
        return
    if _without_salt(now) == _without_salt(before):
        context.config_file.write_bytes(before)
    else:
        # Somebody has changed the settings meanwhile.
        _drop_unused_salt(context.config_file)


def _without_salt(text: bytes) -> object:
    document = yaml.safe_load(text)
    return {key: value for key, value in document.items() if key != _SALT} if isinstance(document, dict) else document


def _drop_unused_salt(config_file: Path) -> None:
    """Without a stack and without an encrypted value, the salt of a passphrase is of no use to anybody."""
    text = config_file.read_text()
    if "secure:" not in text:
        config_file.write_text(re.sub(rf"^{_SALT}: .*\n?", "", text, flags=re.MULTILINE))


def _passphrase(stack: str, environment: Environment, *, new: bool = False) -> dict[str, str]:
    """A development stack gets a passphrase of its own, kept in a private file; others are given theirs.

    new: the stack is being made. One that is there has its passphrase, which no new file could replace.
    """
    if any(name in os.environ for name in PASSPHRASE_VARIABLES):
        return {}
    secrets_elsewhere = not os.environ.get("PULUMI_SECRETS_PROVIDER", "passphrase").startswith("passphrase")
    if secrets_elsewhere:
        return {}
    if environment is Environment.DEV:
        path = generated_passphrase(create=new)
        if path is not None:
            return {"PULUMI_CONFIG_PASSPHRASE_FILE": str(path)}
    if sys.stdin.isatty():
        return {}
    expected = "expected PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE in the environment"
    raise StackError(f"Stack {stack} needs its passphrase; nothing was changed.", [Problem("passphrase", "", expected)])


def _run(context: Context, *args: str, new: bool = False) -> None:
    words = [] if new else ["--stack", context.stack]
    config = ["--config-file", str(context.config_file)] if args[0] not in ("stack", "state") else []
    interactive = [] if console.is_terminal else ["--non-interactive"]
    command = (_program(), "-C", str(ROOT), *args, *words, *config, *interactive)
    passphrase = _passphrase(context.stack, context.settings.environment, new=new)
    try:
        code = show(*command, variables={**_QUIET, **passphrase})
    except ProcessError as error:
        raise PulumiError(str(error)) from None
    if code != 0:
        raise PulumiError(f"pulumi {args[0]} failed (exit code {code}); its messages are above.")


def _output(*args: str, env: dict[str, str] | None = None) -> str:
    command = (_program(), "-C", str(ROOT), *args, "--non-interactive")
    try:
        done = run(*command, what=f"pulumi {args[0]}", variables={**_QUIET, **(env or {})})
    except ProcessError as error:
        raise PulumiError(str(error)) from None
    if done.code != 0:
        raise PulumiError(done.errors.strip() or f"{done.what} exited {done.code}")
    return done.output
