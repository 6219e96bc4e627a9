"""Which platform a stack runs on. The only place that knows them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from platforms.inventory import Inventory
from platforms.running import Running
from settings import Platform, Settings

if TYPE_CHECKING:
    # It brings Pulumi's SDK, which takes longer to import than most commands to run.
    from platforms.site import EnginePlatform


def engine_platform(settings: Settings, project: str, stack: str) -> EnginePlatform:
    """The platform of these settings; its SDK is imported only when it is the one used."""
    if settings.platform is Platform.DOCKER:
        from platforms.docker.site import DockerPlatform

        return DockerPlatform(project, stack, settings.docker.bind_address)
    from platforms.kubernetes.site import KubernetesPlatform

    return KubernetesPlatform(project, stack, settings.kubernetes)


def inventory(
    platform: Platform, settings: Settings | None = None, told: Callable[[str], None] = lambda _: None
) -> Inventory:
    """What finds and removes the objects of a stack on this platform.

    settings: the stack's, where they are known. told: is given a line for people about what this user may not see.
    """
    if platform is Platform.DOCKER:
        from platforms.docker.inventory import DockerInventory

        return DockerInventory()
    from platforms.kubernetes.inventory import KubernetesInventory
    from platforms.kubernetes.kubectl import Kubectl

    return KubernetesInventory(Kubectl(settings.kubernetes.context if settings else None), told=told)


def running(platform: Platform, settings: Settings | None = None) -> Running:
    """What looks at the running parts of a stack on this platform; settings: the stack's, where they are known."""
    if platform is Platform.DOCKER:
        from platforms.docker.running import DockerRunning

        return DockerRunning()
    from platforms.kubernetes.look.running import KubernetesRunning

    return KubernetesRunning(settings.kubernetes if settings else None)
