"""`pulumi up` with nothing to change: the stack's program against a bare one with as many resources, by turns.

Resources that take their time are of the same kinds in both, whatever a program says of them: the engine looks at one
after the other, at a container for 30 ms, at a client of Keycloak for 45 and at a volume for 5 (docs/decisions/0011).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from settings import ROOT
from settings.catalogue import refs
from tests.bench.figures import timed
from tests.e2e.harness import Stack

UP = ("up", "--yes", "--skip-preview", "--non-interactive")
# As many resources, of the same providers, with the least that can be said of each, and nothing of the stack's own.
BARE = """\
import pulumi
import pulumi_docker
import pulumi_keycloak
import pulumi_random

config = pulumi.Config("bench")
provider = pulumi_keycloak.Provider(
    "keycloak", url=config.require("url"), realm="master", client_id=config.require("client"),
    client_secret=config.require_secret("secret"), initial_login=False)
for number in range({networks}):
    pulumi_docker.Network(f"network-{{number}}", name=f"{name}-bare-{{number}}")
for number in range({volumes}):
    pulumi_docker.Volume(f"volume-{{number}}", name=f"{name}-bare-{{number}}")
for number in range({containers}):
    pulumi_docker.Container(f"container-{{number}}", name=f"{name}-bare-{{number}}", image="{image}", start=False,
                            must_run=False)
for number in range({realms}):
    pulumi_keycloak.Realm(f"realm-{{number}}", realm=f"{name}-bare-{{number}}",
                          opts=pulumi.ResourceOptions(provider=provider))
for number in range({clients}):
    pulumi_keycloak.openid.Client(f"client-{{number}}", realm_id=config.require("realm"),
                                  client_id=f"bare-{{number}}", access_type="CONFIDENTIAL",
                                  opts=pulumi.ResourceOptions(provider=provider))
for number in range({users}):
    pulumi_keycloak.User(f"user-{{number}}", realm_id=config.require("realm"), username=f"bare-{{number}}",
                         opts=pulumi.ResourceOptions(provider=provider))
for number in range({keycloak}):
    pulumi_keycloak.Group(f"group-{{number}}", realm_id=config.require("realm"), name=f"bare-{{number}}",
                          opts=pulumi.ResourceOptions(provider=provider))
for number in range({other}):
    pulumi_random.RandomPassword(f"password-{{number}}", length=32)
"""


def by_turns(stack: Stack, scratch: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of `up` of the stack that is there and of the bare program, one after the other, `rounds` times."""
    with bare_program(stack, scratch) as bare:
        pairs = [(_up(stack, stack.name, "--config-file", str(stack.config_file)), bare()) for _ in range(rounds)]
    return [own for own, _ in pairs], [other for _, other in pairs]


def _up(stack: Stack, name: str, *more: str, project: Path = ROOT) -> float:
    command = ("pulumi", "-C", str(project), *UP, "--stack", name, *more)
    return timed(lambda: subprocess.run(command, check=True, capture_output=True, env=stack.environment))


@contextmanager
def bare_program(stack: Stack, scratch: Path) -> Iterator[Callable[[], float]]:
    """Bring the bare program up; yields what times its next `up`, and removes its resources at the end."""
    project = scratch / "bare"
    project.mkdir()
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": str(ROOT / ".venv")}}
    (project / "Pulumi.yaml").write_text(json.dumps({"name": "bare", "runtime": runtime}))
    (project / "__main__.py").write_text(BARE.format(name=stack.physical, image=refs()["redis"], **resources(stack)))

    def pulumi(*args: str, told: str | None = None) -> None:
        command = ("pulumi", "-C", str(project), *args)
        subprocess.run(command, check=True, capture_output=True, text=True, input=told, env=stack.environment)

    pulumi("stack", "init", "bare")
    outputs = stack.outputs()
    provisioner = outputs["provisioner"]
    for name, value in (
        ("url", outputs["keycloak_url"]),
        ("realm", outputs["realm"]),
        ("client", provisioner["client_id"]),
    ):
        pulumi("config", "set", f"bench:{name}", value, "--stack", "bare")
    pulumi("config", "set", "--secret", "bench:secret", "--stack", "bare", told=provisioner["client_secret"])
    pulumi(*UP, "--stack", "bare")
    try:
        yield lambda: _up(stack, "bare", project=project)
    finally:
        pulumi("destroy", "--yes", "--skip-preview", "--non-interactive", "--stack", "bare")


def resources(stack: Stack) -> dict[str, int]:
    """How many resources the stack has of each kind that takes its time, of Keycloak besides, and of any other."""
    done = subprocess.run(
        ("pulumi", "-C", str(ROOT), "stack", "export", "--stack", stack.name),
        check=True, capture_output=True, text=True, env=stack.environment,
    )  # fmt: skip
    exported: dict[str, Any] = json.loads(done.stdout)
    kinds = [resource["type"] for resource in exported["deployment"]["resources"]]
    found = {
        f"{kind}s": kinds.count(f"docker:index/{kind}:{kind.title()}") for kind in ("network", "volume", "container")
    }
    slow = {"realms": "index/realm:Realm", "clients": "openid/client:Client", "users": "index/user:User"}
    found |= {name: kinds.count(f"keycloak:{kind}") for name, kind in slow.items()}
    found["keycloak"] = sum(kind.startswith("keycloak:") for kind in kinds) - sum(found[name] for name in slow)
    return {**found, "other": len(kinds) - sum(found.values())}
