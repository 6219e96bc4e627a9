"""Artifacts on a file system."""

import contextlib
import errno
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

from mlflow_sso.artifacts.ranges import READS, Found, part
from mlflow_sso.guard.answers import Refusal, later

_log = logging.getLogger(__name__)

# On the same file system as what it becomes, outside every experiment's directory. MLflow knows names that begin so as
# those of files that are not whole yet (`mlflow.store.artifact.local_artifact_repo`, 3.17.2).
_INCOMING = ".artifact.uploading."
# What no upload has written to for so long has lost its server, in seconds.
_LOST = 24 * 3600
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Volume:
    """A store below a directory."""

    piece, reads = 2 << 20, READS

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / _INCOMING

    def begin(self, path: str, length: int | None) -> "VolumeUpload":
        with _told(path):
            target = self._inside(path)
            if target.is_dir():
                raise IsADirectoryError
            self._incoming.mkdir(mode=0o700, exist_ok=True)
            free = os.statvfs(self._incoming)
            if length is not None and length > free.f_bavail * free.f_frsize:
                raise OSError(errno.ENOSPC, "less room than the artifact is long")
            return VolumeUpload(self._incoming / secrets.token_hex(16), target, path)

    def find(self, path: str, wanted: str | None, unless: str | None) -> Found:
        with _told(path):
            try:
                file = self._inside(path).open("rb", buffering=0)
            except FileNotFoundError:
                raise Refusal(404, f"No such artifact: '{path}'") from None
            try:
                facts = os.fstat(file.fileno())
                if not stat.S_ISREG(facts.st_mode):
                    raise Refusal(400, f"Not a file: '{path}'")
                etag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
                some = part(wanted, facts.st_size) if unless in (None, etag) else None
                start, length = some or (0, facts.st_size)
                file.seek(start)
            except BaseException:
                file.close()
                raise

        def read(size: int) -> bytes:
            with _told(path):
                return file.read(size)

        modified = formatdate(facts.st_mtime, usegmt=True)
        return Found(read, file.close, length, facts.st_size, start, some is not None, etag, modified)

    def forget_lost(self) -> None:
        """Removes what servers left that ended within an upload. Call it as a server starts."""
        with contextlib.suppress(FileNotFoundError):
            for left in self._incoming.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if left.stat().st_mtime < time.time() - _LOST:
                        left.unlink()

    def _inside(self, path: str) -> Path:
        """Where a path leads. Raises Refusal where that is outside, by a symbolic link or else."""
        root = self._root.resolve()
        target = (root / path).resolve()
        if not target.is_relative_to(root) or target == root or _INCOMING in target.relative_to(root).parts[:1]:
            raise Refusal(400, "Invalid path")
        return target


class VolumeUpload:
    """A file beside the others until it is whole."""

    def __init__(self, incoming: Path, target: Path, path: str) -> None:
        self._incoming, self._target, self._path = incoming, target, path
        self._file = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def write(self, piece: list[bytes | bytearray]) -> None:
        with _told(self._path):
            for part in piece:
                rest = memoryview(part)
                while rest:
                    rest = rest[os.write(self._file, rest) :]

    def publish(self) -> None:
        with _told(self._path):
            # Else a loss of power could leave the name with half of its bytes.
            os.fdatasync(self._file)
            # It is closed also where that fails, as on NFS, which may write only now.
            file, self._file = self._file, -1
            os.close(file)
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._incoming.replace(self._target)

    def give_up(self) -> None:
        # What it fails at would stand in the place of why the upload failed; `forget_lost` removes what it leaves.
        with contextlib.suppress(OSError):
            if self._file >= 0:
                os.close(self._file)
        with contextlib.suppress(OSError):
            self._incoming.unlink()


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Errors of the file system as answers."""
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise Refusal(400, f"A part of the path is a file: '{path}'") from None
    except IsADirectoryError:
        raise Refusal(400, f"Artifact path refers to a directory, not a file: '{path}'") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise Refusal(400, f"A name in the path is too long: '{path}'") from None
        if error.errno in _FULL:
            raise Refusal(507, "The volume of the artifacts is full: nothing of this artifact was kept.") from None
        _log.error("The volume of the artifacts: %s", error)
        raise later(503, "The volume of the artifacts cannot be used at the moment.") from None
