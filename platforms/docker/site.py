"""Local Docker: each workload a hardened container on a network that only its callers join."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from posixpath import dirname

import pulumi
import pulumi_docker as docker

from platforms.docker import daemon, jobs
from platforms.docker.plan import (
    LOG_DRIVER,
    LOG_OPTIONS,
    SECURITY_OPTIONS,
    DockerPlan,
    file_volumes,
    shares,
    tmpfs_options,
)
from platforms.docker.stores import DockerStores
from platforms.places import Held, OnVolume
from platforms.quantities import go_duration
from platforms.secrets import SecretText
from platforms.site import Checked, Deployed, Scope, Secrets
from platforms.workload import File, Probe, Service, Volume, Workload


class Networks(pulumi.ComponentResource):
    """The stack's networks: each is shared by several workloads and so belongs to none of them."""

    def __init__(self, name: str, plan: DockerPlan, scope: Scope) -> None:
        super().__init__("mlflow-sso:index:Networks", scope.logical(name), None, scope.merged())
        self._networks = {
            network: docker.Network(
                scope.logical(network),
                name=plan.physical(network),
                internal=internal,
                labels=[docker.NetworkLabelArgs(label=key, value=value) for key, value in plan.labels(network).items()],
                opts=pulumi.ResourceOptions(parent=self),
            )
            for network, internal in plan.networks().items()
        }
        self.register_outputs({})

    def name(self, network: str) -> pulumi.Output[str]:
        """The physical name of a network, known once it is made."""
        return self._networks[network].name


class DockerPlatform:
    """Runs workloads through pulumi-docker. Nobody else is on the networks of a stack."""

    inside = ""

    def __init__(self, project: str, stack: str, bind_address: str) -> None:
        self._project, self._stack = project, stack
        self._bind_address = bind_address

    def check(self, workloads: Sequence[Workload]) -> Checked:
        plan = DockerPlan(self._project, self._stack, tuple(workloads))
        engine = daemon.examine(plan, self._bind_address)
        return Checked(
            plan.check() + engine.problems,
            lambda scope: DockerSite(plan, scope, self._bind_address, engine.healthy),
        )

    def stores(self, workloads: Sequence[Workload]) -> DockerStores:
        return DockerStores(DockerPlan(self._project, self._stack, tuple(workloads)))


class DockerSite:
    """The networks of a stack, and the containers that are made on them.

    healthy: the ids of containers that were found healthy already and need not be waited for.
    """

    def __init__(self, plan: DockerPlan, scope: Scope, bind_address: str, healthy: frozenset[str]) -> None:
        self._plan = plan
        self._scope = scope
        self._bind_address = bind_address
        self._healthy = healthy
        self._networks = Networks("networks", plan, scope)
        self._volumes: dict[tuple[str, str], docker.Volume] = {}

    def share(self, values: Mapping[str, SecretText], secrets: Secrets) -> None:
        """Docker has no store of secrets for other programs; `stackctl outputs` shows these values."""

    def deploy(self, workload: Workload, secrets: Secrets, parent: pulumi.Resource) -> Deployed:
        child = pulumi.ResourceOptions(parent=parent)
        physical = self._plan.physical(workload.name)
        volumes = {volume.name: self._data(workload, volume, secrets, child) for volume in workload.volumes}
        self._volumes |= {(workload.name, name): volume for name, volume in volumes.items()}
        joined = self._plan.joined(workload)
        files = [self._files(workload, slug, files, child) for slug, files in file_volumes(workload).items()]
        container = docker.Container(
            self._scope.logical(workload.name),
            name=physical,
            hostname=workload.name,
            image=workload.image,
            command=list(jobs.command(workload)) or None,
            envs=_envs(workload, secrets),
            user=f"{workload.uid}:{workload.uid}",
            group_adds=list(self._plan.groups(workload)) or None,
            network_mode=None if joined else "none",
            networks_advanced=[self._joined(name, workload) for name in joined],
            ports=[
                docker.ContainerPortArgs(internal=port.number, external=entrance.host_port, ip=self._bind_address)
                for port, entrance in workload.entrances
            ],
            volumes=[*self._mounts(workload), *files],
            healthcheck=_health(jobs.probe(workload)),
            memory=workload.resources.memory_mib,
            memory_swap=workload.resources.memory_mib,
            cpu_shares=shares(workload),
            read_only=True,
            tmpfs={path: tmpfs_options(workload.uid) for path in workload.writable},
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=list(SECURITY_OPTIONS),
            restart=jobs.restart(workload),
            start=None if jobs.starts(workload) else False,
            log_driver=LOG_DRIVER,
            log_opts=LOG_OPTIONS,
            stop_timeout=workload.stop_seconds,
            destroy_grace_seconds=workload.stop_seconds,
            labels=[
                docker.ContainerLabelArgs(label=key, value=value)
                for key, value in self._plan.container_labels(workload).items()
            ],
            must_run=jobs.starts(workload),
            # Two containers cannot hold one name, one port or one volume at the same time.
            opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
        )
        return Deployed(container.id.apply(lambda made: self._wait(workload, physical, made, container)), volumes)

    def keep(self, held: Held, parent: pulumi.Resource) -> None:
        opts = pulumi.ResourceOptions(parent=parent, ignore_changes=["labels"])
        self._volume(held.on, self._plan.labels(held.on.workload), opts)

    def _mounts(self, workload: Workload) -> list[docker.ContainerVolumeArgs]:
        """Its data, what it reads of others, and scratch: volumes without a name, which go with the container."""
        data = [(self._volumes[workload.name, volume.name], volume.path, False) for volume in workload.volumes]
        data += [(self._volumes[r.workload, r.volume], r.path, True) for r in workload.readings]
        return [
            *(
                docker.ContainerVolumeArgs(volume_name=made.name, container_path=path, read_only=read_only or None)
                for made, path, read_only in data
            ),
            *(docker.ContainerVolumeArgs(container_path=scratch.path) for scratch in workload.scratch),
        ]

    def _joined(self, network: str, workload: Workload) -> docker.ContainerNetworksAdvancedArgs:
        aliases = [network] if network == workload.name else None
        return docker.ContainerNetworksAdvancedArgs(name=self._networks.name(network), aliases=aliases)

    async def _wait(self, workload: Workload, physical: str, made: str, container: pulumi.Resource) -> str:
        if pulumi.runtime.is_dry_run() or made in self._healthy or not isinstance(workload.runs, Service):
            return workload.name

        loop = asyncio.get_running_loop()

        def progress(message: str) -> None:
            # The wait is in a thread of its own; the engine is spoken to from the program's loop alone.
            loop.call_soon_threadsafe(lambda: pulumi.log.info(message, resource=container, ephemeral=True))

        try:
            await asyncio.to_thread(daemon.wait_ready, workload, physical, progress, address=self._bind_address)
        except daemon.DockerError as error:
            raise pulumi.RunError(str(error)) from None
        return workload.name

    def _files(
        self, workload: Workload, slug: str, files: tuple[File, ...], opts: pulumi.ResourceOptions
    ) -> docker.ContainerVolumeArgs:
        """A volume with these files, mounted for reading.

        Docker writes no file into a container whose root file system is read-only, not even into a volume of it.
        So a container that never starts carries them into the volume.
        """
        volume = self._volume(OnVolume(workload.name, slug), self._plan.labels(workload.name), opts)
        directory = dirname(files[0].path)
        carrier = docker.Container(
            self._scope.logical(f"{workload.name}-{slug}-carrier"),
            name=self._plan.physical(f"{workload.name}-{slug}-carrier"),
            image=workload.image,
            start=False,
            must_run=False,
            network_mode="none",
            volumes=[docker.ContainerVolumeArgs(volume_name=volume.name, container_path=directory)],
            uploads=[
                docker.ContainerUploadArgs(
                    file=file.path, content=pulumi.Output.secret(file.content) if file.secret else file.content
                )
                for file in files
            ],
            labels=[docker.ContainerLabelArgs(**label) for label in self._labels(workload.name)],
            opts=opts,
        )
        # By way of the carrier, so that its files are there first.
        name = pulumi.Output.all(volume.name, carrier.id).apply(lambda made: str(made[0]))
        return docker.ContainerVolumeArgs(volume_name=name, container_path=directory, read_only=True)

    def _data(
        self, workload: Workload, volume: Volume, secrets: Secrets, opts: pulumi.ResourceOptions
    ) -> docker.Volume:
        """A volume that holds data. Docker cannot change a label of it, and no label is worth the data."""
        kept = pulumi.ResourceOptions(ignore_changes=["labels"])
        if volume.protected:
            known = secrets.generated(secret for one in self._plan.workloads for secret in one.secrets)
            kept = pulumi.ResourceOptions.merge(kept, pulumi.ResourceOptions(protect=True, depends_on=known))
        labels = self._plan.volume_labels(workload, volume)
        return self._volume(OnVolume(workload.name, volume.name), labels, pulumi.ResourceOptions.merge(opts, kept))

    def _volume(self, on: OnVolume, labels: Mapping[str, str], opts: pulumi.ResourceOptions) -> docker.Volume:
        name = f"{on.workload}-{on.volume}"
        return docker.Volume(
            self._scope.logical(name),
            name=self._plan.physical(name),
            labels=[docker.VolumeLabelArgs(label=key, value=value) for key, value in labels.items()],
            opts=opts,
        )

    def _labels(self, component: str) -> list[Mapping[str, str]]:
        return [{"label": key, "value": value} for key, value in self._plan.labels(component).items()]


def _health(probe: Probe | None) -> docker.ContainerHealthcheckArgs | None:
    if probe is None:
        return None
    return docker.ContainerHealthcheckArgs(
        tests=["CMD", *probe.local.command],
        interval=go_duration(probe.interval_seconds),
        timeout=go_duration(probe.timeout_seconds),
        retries=probe.failures,
        start_period=go_duration(probe.start_seconds),
    )


def _envs(workload: Workload, secrets: Secrets) -> pulumi.Input[Sequence[pulumi.Input[str]]]:
    texts = {name: secrets.text(text) for name, text in workload.secret_env.items()}
    if not texts:
        return sorted(f"{name}={value}" for name, value in workload.env.items())
    # What is plain is no output: each of those costs the program some turns of its loop.
    joined = pulumi.Output.all(**texts).apply(
        lambda made: sorted(f"{name}={value}" for name, value in {**workload.env, **made}.items())
    )
    return pulumi.Output.secret(joined)
