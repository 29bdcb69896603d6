"""Where files lie that the sandbox reads and runs: a bind mount keeps noexec (mount_namespaces(7))."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from specparse.plan import SandboxError

_MEMORY = "/dev/shm"
_ROOM = 1 << 30  # bytes


def scratch_root(*, in_memory: bool = False) -> str:
    """Return a directory for temporary files: $TMPDIR, else memory with room, else /tmp or /var/tmp.

    Raises SandboxError where programs cannot be run in any of them.
    """
    if "TMPDIR" in os.environ:
        check_executable(Path(tempfile.gettempdir()))
        return tempfile.gettempdir()
    if in_memory and os.access(_MEMORY, os.W_OK) and not _noexec(_MEMORY):
        room = os.statvfs(_MEMORY)
        if room.f_bavail * room.f_frsize > _ROOM:
            return _MEMORY
    for path in (tempfile.gettempdir(), "/var/tmp"):
        if os.access(path, os.W_OK) and not _noexec(path):
            return path
    raise _refused("/tmp and /var/tmp")


def check_executable(directory: Path) -> None:
    """Raise SandboxError where no program can be run in ``directory``: %prep may start its own."""
    if _noexec(directory):
        raise _refused(str(directory))


def _noexec(path: str | Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_NOEXEC)


def _refused(where: str) -> SandboxError:
    return SandboxError(
        "no program can be run where %prep would be: mounted noexec",
        where=where,
        next_step="set TMPDIR to a directory on another file system",
    )
