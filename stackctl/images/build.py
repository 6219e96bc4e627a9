"""Builds the images that are not in the Docker engine, and the Debian base they stand on."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from settings.catalogue import (
    ROOT,
    SEED_SOURCES,
    SEEDED,
    Catalogue,
    Versions,
    base_ref,
    context_files,
    image_ref,
    load_versions,
)
from stackctl.errors import ImageError

# Where distributions keep all trusted CAs in one file; behind a proxy that re-signs TLS, its CA is in there.
HOST_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
# About how long the builds take that no row of versions.yaml is about.
BASE_SECONDS, SEED_SECONDS = 60, 40
Progress = Callable[[str], None]


def _docker(*args: str, **more: object) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(("docker", *args), capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload,no-any-return]
    except FileNotFoundError:
        raise ImageError("the docker command is not installed; run `make engine`") from None


def missing(wanted: Iterable[str]) -> list[str]:
    done = _docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
    if done.returncode != 0:
        raise ImageError(f"the Docker engine does not answer: {_last(done.stderr)}; run `make engine`")
    have = set(done.stdout.split())
    return [ref for ref in wanted if ref not in have]


def build(
    components: Mapping[str, str | None] | None = None,
    source: str = "auto",
    ca_bundle: str | Path | None = None,
    progress: Progress = print,
) -> dict[str, str]:
    """Make what is missing, bases first. Raises ImageError; what was made before it stays."""
    chosen, versions = dict(components or {}), load_versions()
    wanted = {name: image_ref(name, chosen.get(name), chosen) for name in versions.components}
    if not missing(wanted.values()):
        return wanted
    with _lock():
        builder = Builder(versions, chosen, source, _bundle(ca_bundle), progress)
        todo = [name for name in versions.components if missing([wanted[name]])]
        for number, name in enumerate(todo, start=1):
            started = time.monotonic()
            seconds = SEED_SECONDS if name == SEEDED else versions.catalogue(name).seconds
            progress(f"[{number}/{len(todo)}] {wanted[name]}: building (about {seconds} s)")
            builder.make(name, wanted[name])
            progress(f"[{number}/{len(todo)}] {wanted[name]}: built in {time.monotonic() - started:.0f} s")
    return wanted


def _bundle(given: str | Path | None) -> Path | None:
    """The CAs a build has to trust: those given, else those this host trusts."""
    if given is not None:
        return Path(given)
    named = os.environ.get("SSL_CERT_FILE")
    return next((Path(p) for p in (named, *HOST_BUNDLES) if p and Path(p).is_file()), None)


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "mlflow-sso"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _lock() -> Iterator[None]:
    """One build at a time on a machine: a second one waits, and then finds the images made."""
    with (cache_dir() / "build.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _last(text: str, count: int = 1) -> str:
    return "\n".join(text.strip().splitlines()[-count:])


class Builder:
    """Makes images one by one from images/<component> and versions.yaml."""

    def __init__(
        self,
        versions: Versions,
        chosen: Mapping[str, str | None],
        source: str,
        ca_bundle: Path | None,
        progress: Progress,
    ) -> None:
        self._versions = versions
        self._chosen = chosen
        self._source = source
        self._ca_bundle = ca_bundle
        self._progress = progress

    def make(self, component: str, ref: str) -> None:
        if component == SEEDED:
            from stackctl.images.seed import dump_schemas

            sources = {name: image_ref(name, self._chosen.get(name), self._chosen) for name in SEED_SOURCES}
            with tempfile.TemporaryDirectory() as scratch:
                dump_schemas(sources, Path(scratch))
                self._build("seed", ref, {"BASE": sources["postgres"]}, dict(_files(Path(scratch))))
            return
        row = self._versions.catalogue(component)
        version = row.key(self._chosen.get(component))
        entry = row.get(version)
        asked = _asked(component)
        arguments = {name.upper(): value for name, value in entry.said.items() if name.upper() in asked}
        arguments |= {"BASE": self._base(entry.debian), "VERSION": version}
        extra: dict[str, Path] = {}
        if row.download is not None:
            extra[row.download.file] = self._download(row, version)
        if entry.lock is not None:
            extra["requirements.txt"] = ROOT / entry.lock
            extra["build-ca.pem"] = self._ca_bundle or Path(os.devnull)
        self._build(component, ref, arguments, extra)

    def _base(self, suite: str) -> str:
        ref = base_ref(suite, versions=self._versions)
        if missing([ref]):
            self._progress(f"      {ref}: building (about {BASE_SECONDS} s)")
            self._build("base", ref, {"ROOT": self._root(suite)}, {})
        return ref

    def _root(self, suite: str) -> str:
        """A plain Debian: pulled where a registry answers and the setting allows it, else made here."""
        upstream = self._versions.debian[suite]
        public = f"{upstream.image}@{upstream.digest}" if upstream.digest else upstream.image
        if self._source != "build":
            pulled = _docker("pull", "-q", public)
            if pulled.returncode == 0:
                return public
            if self._source == "pull":
                raise ImageError(f"{public} cannot be pulled: {_last(pulled.stderr)}; or set images.source to build")
            self._progress(f"      no registry gives {public}; making Debian {suite} from its packages")
        if os.geteuid() != 0:
            raise ImageError("making Debian from its packages needs root; run as root, or let a registry be reached")
        if shutil.which("debootstrap") is None:
            self._run(("apt-get", "install", "-y", "-qq", "debootstrap", "debian-archive-keyring"), "debootstrap")
        local = f"mlflow-sso/debian-root:{suite}-{self._versions.refreshed}"
        if missing([local]):
            self._run((str(ROOT / "images/base/debian-root"), suite, local), f"Debian {suite}")
        return local

    def _download(self, row: Catalogue, version: str) -> Path:
        """A row's file from the Maven repository, kept in the local one."""
        from jgo.maven import MavenContext

        assert row.download is not None
        group, name, packaging = row.download.maven.split(":")
        what = f"{row.component} {version}"
        project = MavenContext(timeout=60).project(group, name)
        try:
            found = Path(project.at_version(version).artifact(packaging=packaging).resolve())
        except (OSError, RuntimeError, ValueError) as error:
            raise ImageError(f"{what} cannot be downloaded: {error}; is the Maven repository reachable?") from None
        if _sha256(found) != row.get(version).sha256:
            found.unlink()
            raise ImageError(f"{what} is not the file versions.yaml names (sha256); it was not used")
        return found

    def _build(self, folder: str, ref: str, arguments: Mapping[str, str], extra: Mapping[str, Path]) -> None:
        """Build images/<folder> with more files in its context, under a name that appears when it is whole."""
        with tempfile.TemporaryDirectory() as scratch:
            context = Path(scratch)
            for name, path in {**context_files(ROOT, folder), **extra}.items():
                target = context / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                target.chmod(path.stat().st_mode & 0o755 | 0o644 if path.is_file() else 0o644)
            given = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
            label = ("--label", "org.opencontainers.image.source=mlflow-sso")
            self._run(("docker", "build", "-q", "-t", ref, *label, *given, scratch), ref)

    def _run(self, command: tuple[str, ...], what: str) -> None:
        # The classic builder is in every engine from 20.10 on; BuildKit needs a plugin that Debian lacks.
        environment = {**os.environ, "DOCKER_BUILDKIT": os.environ.get("DOCKER_BUILDKIT", "0")}
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False, env=environment,
        )  # fmt: skip
        if done.returncode != 0:
            raise ImageError(
                f"{what} could not be built ({command[0]} exited {done.returncode}). Its last lines:\n"
                f"{_last(done.stdout, 20)}\nNext: mend the cause and run the same command; what is built is kept."
            )


def _asked(component: str) -> set[str]:
    """The build arguments that a recipe asks for."""
    recipe = (ROOT / "images" / component / "Dockerfile").read_text()
    return set(re.findall(r"^ARG\s+(\w+)", recipe, re.MULTILINE))


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        yield path.name, path


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
