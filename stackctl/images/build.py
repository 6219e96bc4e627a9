"""Builds the images that are not in the Docker engine, and the Debian base they stand on."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from platforms.processes import Done, ProcessError, run
from settings.catalogue import SEED_SOURCES, SEEDED, base_ref, context_files, image_ref, load_versions, refs
from settings.image_rows import Versions
from stackctl.directories import cache_home
from stackctl.errors import ImageError
from stackctl.images.downloads import fetch

# Where distributions keep all trusted CAs in one file; behind a proxy that re-signs TLS, its CA is in there.
HOST_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
# About how long a build takes of what has no row in versions.yaml.
SECONDS = {"base": 60, SEEDED: 40}
Progress = Callable[[str], None]


def missing(wanted: Iterable[str]) -> list[str]:
    """Those of the images that the Docker engine has not. Raises ImageError."""
    done = _started("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
    if done.code != 0:
        raise ImageError(f"the Docker engine does not answer: {done.last()}; run `make engine`")
    have = set(done.output.split())
    return [ref for ref in wanted if ref not in have]


def _started(*command: str, variables: Mapping[str, str] | None = None, merged: bool = False) -> Done:
    try:
        return run(*command, variables=variables, merged=merged)
    except ProcessError as error:
        hint = "; run `make engine`" if command[0] == "docker" else ""
        raise ImageError(f"{error}{hint}") from None


def build(
    chosen: Mapping[str, str | None] | None = None,
    source: str = "auto",
    ca_bundle: str | Path | None = None,
    progress: Progress = print,
    versions: Versions | None = None,
    used: Collection[str] | None = None,
) -> dict[str, str]:
    """Make what is missing, bases first, and return the images by component.

    chosen: versions by component; those not chosen are the defaults. used: the tags of those that are wanted; None for
    all of them. Raises ImageError; what was made before it stays.
    """
    known = versions or load_versions()
    every = refs(chosen, versions=known)
    wanted = {name: tag for name, tag in every.items() if used is None or tag in used}
    if not missing(wanted.values()):
        return wanted
    with _lock():
        builder = Builder(known, chosen or {}, source, _bundle(ca_bundle), progress)
        absent = missing(every.values())
        sources = SEED_SOURCES if wanted.get(SEEDED) in absent else ()
        todo = [name for name, tag in every.items() if tag in absent and (name in wanted or name in sources)]
        for number, name in enumerate(todo, start=1):
            started = time.monotonic()
            seconds = known.images[name].seconds if name in known.images else SECONDS[name]
            about = f" (about {seconds} s)" if seconds else ""
            progress(f"[{number}/{len(todo)}] {every[name]}: building{about}")
            builder.make(name, every[name])
            progress(f"[{number}/{len(todo)}] {every[name]}: built in {time.monotonic() - started:.0f} s")
    return wanted


def _bundle(given: str | Path | None) -> Path | None:
    """The CAs a build has to trust: those given, else those this host trusts."""
    if given is not None:
        return Path(given)
    named = os.environ.get("SSL_CERT_FILE")
    return next((Path(p) for p in (named, *HOST_BUNDLES) if p and Path(p).is_file()), None)


def _downloads() -> Path:
    folder = cache_home() / "downloads"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _lock() -> Iterator[None]:
    """One build at a time on a machine: a second one waits, and then finds the images made."""
    with (cache_home() / "build.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


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
        """Build one component from its row and its folder."""
        if component == SEEDED:
            self._make_seeded(ref)
            return
        version = self._versions.key(component, self._chosen.get(component))
        row = self._versions.row(component, version)
        arguments = {"BASE": self._base(row.debian), "VERSION": version}
        arguments |= {name.upper(): value for name, value in row.args.items()}
        files = context_files(self._versions.root, component, row)
        files["build-ca.pem"] = self._ca_bundle or Path(os.devnull)
        for name, download in row.downloads.items():
            files[name] = fetch(f"{component} {version}: {name}", download, _downloads(), self._ca_bundle)
        self._build(ref, arguments, files)

    def _make_seeded(self, ref: str) -> None:
        from stackctl.images.seed import dump_schemas

        sources = {
            name: image_ref(name, self._chosen.get(name), self._chosen, versions=self._versions)
            for name in SEED_SOURCES
        }
        with tempfile.TemporaryDirectory() as scratch:
            dump_schemas(sources, Path(scratch))
            dumps = {path.name: path for path in sorted(Path(scratch).iterdir())}
            self._build(ref, {"BASE": sources["postgres"]}, context_files(self._versions.root, "seed") | dumps)

    def _base(self, suite: str) -> str:
        ref = base_ref(suite, versions=self._versions)
        if missing([ref]):
            self._progress(f"      {ref}: building (about {SECONDS['base']} s)")
            self._build(ref, {"ROOT": self._root(suite)}, context_files(self._versions.root, "base"))
        return ref

    def _root(self, suite: str) -> str:
        """A plain Debian: pulled where a registry answers and the setting allows it, else made here."""
        upstream = self._versions.debian.suites[suite]
        public = f"{upstream.image}@{upstream.digest}" if upstream.digest else upstream.image
        if self._source != "build":
            pulled = _started("docker", "pull", "-q", public)
            if pulled.code == 0:
                return public
            if self._source == "pull":
                raise ImageError(f"{public} cannot be pulled: {pulled.last()}; or set images.source to build")
            self._progress(f"      no registry gives {public}; making Debian {suite} from its packages")
        if os.geteuid() != 0:
            raise ImageError("making Debian from its packages needs root; run as root, or let a registry be reached")
        if shutil.which("debootstrap") is None:
            self._run(("apt-get", "install", "-y", "-qq", "debootstrap", "debian-archive-keyring"), "debootstrap")
        local = f"mlflow-sso/debian-root:{suite}-{self._versions.debian.refreshed}"
        if missing([local]):
            self._run((str(self._versions.root / "images/base/debian-root"), suite, local), f"Debian {suite}")
        return local

    def _build(self, ref: str, arguments: Mapping[str, str], files: Mapping[str, Path]) -> None:
        """Build from these files, by their names in the context, under a name that appears when it is whole."""
        with tempfile.TemporaryDirectory() as scratch:
            context = Path(scratch)
            for name, path in files.items():
                target = context / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                target.chmod(path.stat().st_mode & 0o755 | 0o644 if path.is_file() else 0o644)
            given = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
            label = ("--label", "org.opencontainers.image.source=mlflow-sso")
            self._run(("docker", "build", "-q", "-t", ref, *label, *given, scratch), ref)

    def _run(self, command: tuple[str, ...], what: str) -> None:
        # The classic builder is in every engine from 20.10 on; BuildKit needs a plugin that Debian lacks.
        builder = {"DOCKER_BUILDKIT": os.environ.get("DOCKER_BUILDKIT", "0")}
        done = _started(*command, variables=builder, merged=True)
        if done.code != 0:
            raise ImageError(
                f"{what} could not be built ({command[0]} exited {done.code}). Its last lines:\n"
                f"{done.last(20)}\nNext: mend the cause and run the same command; what is built is kept."
            )
