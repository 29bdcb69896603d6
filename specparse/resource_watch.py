"""Limits of a sandbox as a whole: the memory and the disk of all its processes together.

setrlimit(2) bounds one process. A delegated cgroup (cgroups(7)) bounds the sum exactly; where none
can be had, the sum is read from /proc a few times a second and the sandbox is ended when it is too
large.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

INTERVAL = 0.1  # seconds between two looks; a look costs some 0.1 ms a process
_DISK_INTERVAL = 1.0  # seconds


class Watch:
    """Looks after one sandbox; ``pid`` is the process that started all others of it."""

    def __init__(self, pid: int, *, memory: int, tree: int, directories: tuple[Path, ...]) -> None:
        """``memory`` is in bytes, ``tree`` those that may come to lie in ``directories``."""
        self._pid = pid
        self._memory = memory
        self._tree = tree
        self._directories = directories
        self._free = [_free(path) for path in directories]
        self._next_disk = time.monotonic() + _DISK_INTERVAL

    def broke(self) -> str:
        """Return the limit that is broken, in words; "" while none is."""
        if sum(_resident(pid) for pid in _family(self._pid)) > self._memory:
            return f"{self._memory >> 20} MiB of memory"
        if self._directories and time.monotonic() > self._next_disk:
            self._next_disk = time.monotonic() + _DISK_INTERVAL
            return self._disk()
        return ""

    def _disk(self) -> str:
        for n, path in enumerate(self._directories):
            # Others write to that disk, too: only what is lost there is worth a walk.
            if self._free[n] - _free(path) > self._tree:
                if _size(path, self._tree) > self._tree:
                    return f"{self._tree >> 20} MiB of disk"
                self._free[n] = _free(path)
        return ""


def _family(pid: int) -> Iterator[int]:
    """Yield ``pid`` and all its descendants. What loses its parent in there is adopted by bwrap."""
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        yield pid
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                waiting += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())


def _resident(pid: int) -> int:
    """Return the bytes that a process has to itself or in shared memory (proc(5): status)."""
    total = 0
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith((b"RssAnon:", b"RssShmem:", b"VmSwap:")):
            total += int(line.split()[1]) << 10
    return total


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it has ended
        return b""


def _free(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bfree * found.f_frsize


def _size(path: Path, enough: int) -> int:
    """Return the bytes on disk below ``path``, counted until there are more than ``enough``.

    A tree that is too deep to be counted is more than enough.
    """
    total = 0
    try:
        for _, _, names, directory in os.fwalk(path):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # %prep goes on
                    total += os.lstat(name, dir_fd=directory).st_blocks * 512
            if total > enough:
                break
    except (OSError, RecursionError):
        return enough + 1
    return total


class Cgroup:
    """A cgroup of its own for one sandbox, below the one that was delegated to this process.

    systemd's Delegate=yes makes one (systemd.resource-control(5)). A process cannot stay beside
    cgroups that it makes ("no internal processes"), so this one moves into a leaf first.
    """

    _mount = Path("/sys/fs/cgroup")

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, *, memory: int, processes: int) -> Cgroup | None:
        """Return a new cgroup with these limits, or None where none can be had."""
        try:
            own = cls._own()
            if own is None:
                return None
            path = own / f"sandbox-{os.getpid()}-{time.monotonic_ns()}"
            path.mkdir()
        except OSError:
            return None
        made = cls(path)
        try:
            (path / "memory.max").write_text(str(memory))
            (path / "memory.swap.max").write_text("0")
            (path / "memory.oom.group").write_text("1")
            (path / "pids.max").write_text(str(processes))
        except OSError:
            made.remove()
            return None
        return made

    @classmethod
    def _own(cls) -> Path | None:
        """Return the delegated cgroup, with memory and pids handed on to its children."""
        line = next(
            (
                line
                for line in Path("/proc/self/cgroup").read_text().splitlines()
                if line[:3] == "0::"
            ),
            None,
        )
        if line is None:
            return None
        here = cls._mount / line[3:].lstrip("/")
        own = here.parent if here.name == _LEAF else here
        if not _delegated(own) or not os.access(own / "cgroup.subtree_control", os.W_OK):
            return None
        if not {"memory", "pids"} <= set((own / "cgroup.controllers").read_text().split()):
            return None
        if here == own:
            (own / _LEAF).mkdir(exist_ok=True)
            for pid in (own / "cgroup.procs").read_text().split():
                (own / _LEAF / "cgroup.procs").write_text(pid)
        (own / "cgroup.subtree_control").write_text("+memory +pids")
        return own

    def enter(self) -> list[str]:
        """Return the words of a command line that moves itself into the cgroup and goes on.

        Where that is refused, the sum that Watch reads is the limit.
        """
        script = 'echo 0 2>&- > "$0/cgroup.procs"; exec "$@"'
        return ["/bin/sh", "-c", script, str(self.path)]

    def broke(self) -> bool:
        """Whether the kernel has ended processes for want of memory."""
        events = _read(str(self.path / "memory.events")).split()
        return dict(zip(events[::2], events[1::2], strict=False)).get(b"oom_kill", b"0") != b"0"

    def remove(self) -> None:
        """End what is left in it, and the cgroup itself."""
        with contextlib.suppress(OSError):
            (self.path / "cgroup.kill").write_text("1")
        for _ in range(50):
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)
            else:
                return


_LEAF = "srcgit"


def _delegated(path: Path) -> bool:
    """Whether systemd says so (systemd's CGROUP_DELEGATION: user.delegate)."""
    try:
        return os.getxattr(path, "user.delegate") == b"1"
    except OSError:
        return False
