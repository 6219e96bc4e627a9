"""Which platform a stack runs on. The only place that knows them all."""

from __future__ import annotations

from platforms.engine import EnginePlatform
from settings import Platform, Settings


def engine_platform(settings: Settings, project: str, stack: str) -> EnginePlatform:
    """The platform of these settings; its SDK is imported only when it is the one used."""
    if settings.platform is Platform.DOCKER:
        from platforms.docker import DockerPlatform

        return DockerPlatform(project, stack, settings.docker.bind_address)
    from platforms.kubernetes import KubernetesPlatform

    return KubernetesPlatform(project, stack, settings.kubernetes)
