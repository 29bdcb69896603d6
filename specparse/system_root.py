"""The system that foreign code sees in the sandbox: this machine's, or a root directory's.

A root holds the system of a release (``dnf --installroot``, ``debootstrap``, ``podman export``), so
that a build is read and prepared by the rpm, macros, patch and git that it was built with.
"""

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from specparse.plan import SandboxError

_PARTS = ("/usr", "/etc/alternatives", "/etc/rpm", "/etc/ld.so.cache", "/etc/ld.so.conf.d")
_MERGED = (
    "bin",
    "lib",
    "lib32",
    "lib64",
    "sbin",
)  # links into /usr, or directories (file-hierarchy(7))
_LINKS = 40  # as many as the kernel follows (path_resolution(7))
# The package databases of rpm and dpkg: when one was written, the root was made or updated.
_DATABASES = (
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages",
    "var/lib/dpkg/status",
)
# Fedora's rpm-build and python3-rpm bring all of them, Debian's do not.
_NEEDED = tuple(
    f"/usr/bin/{tool}"
    for tool in (
        *("bash", "python3", "rpmbuild", "prlimit", "patch", "git"),
        *("tar", "gzip", "bzip2", "xz"),
    )
)


@dataclass(frozen=True, slots=True)
class SystemRoot:
    """A directory that holds a system; ``/`` is this machine's own."""

    directory: Path = Path("/")

    def mounts(self) -> list[str]:
        """Return bwrap's words that bind the system, read-only."""
        words: list[str] = []
        for path in _PARTS:
            words += ["--ro-bind-try", str(self.outside(path)), path]
        for name in _MERGED:
            link = self.outside(f"/{name}")
            if link.is_symlink():
                words += ["--symlink", f"usr/{name}", f"/{name}"]
            elif link.is_dir():
                words += ["--ro-bind", str(link), f"/{name}"]
        return words

    def outside(self, path: str) -> Path:
        """Return where the absolute ``path`` of the root is on this machine; links are not followed."""
        return self.directory / path.lstrip("/")

    def real(self, path: str) -> str:
        """Return the absolute ``path`` with its links followed as they lead in the root."""
        parts, done = path.strip("/").split("/"), ""
        for _ in range(_LINKS):
            while parts:
                part = parts.pop(0)
                if part == "..":
                    done = done.rpartition("/")[0]
                    continue
                here = self.outside(f"{done}/{part}")
                if here.is_symlink():
                    target = os.readlink(here)
                    done = "" if target.startswith("/") else done
                    parts = [*target.strip("/").split("/"), *parts]
                    break
                done = f"{done}/{part}"
            else:
                break
        return done

    @property
    def shell(self) -> str:
        """The name of the shell that is called sh: ``bash``, ``dash``."""
        return self.real("/bin/sh").rpartition("/")[2]

    def described(self, rpm: str) -> str:
        """Return what reads and prepares packages: ``rpm 4.20.1, root fc41 of 2026-12-01``."""
        if self.directory == Path("/"):
            return f"rpm {rpm}"
        made = self.made()
        return f"rpm {rpm}, root {self.directory.name}" + (f" of {made}" if made else "")

    def made(self) -> str:
        """Return the day on which the root was made or last updated, ``2026-12-01``; "" if unknown."""
        for name in _DATABASES:
            try:
                when = os.stat(self.directory / name).st_mtime
            except OSError:
                continue
            return datetime.datetime.fromtimestamp(when, datetime.UTC).date().isoformat()
        return ""

    def check(self) -> None:
        """Raise SandboxError where the directory is no system or could be written by others."""
        where = str(self.directory)
        if self.directory == Path("/"):
            return
        try:
            for path in (self.directory, self.outside("/usr")):
                found = os.stat(path)
                if found.st_uid not in (0, os.geteuid()) or found.st_mode & stat.S_IWOTH:
                    raise SandboxError(
                        f"others than root may write to the root {path}",
                        where=where,
                        next_step="make it anew as root, mode 0755",
                    )
        except OSError as error:
            raise SandboxError(
                f"the root cannot be used: {error.strerror}",
                where=str(error.filename or where),
                next_step="make it with `dnf --installroot`, or name another",
            ) from None
        lacks = [path for path in _NEEDED if not self.outside(self.real(path)).is_file()]
        if lacks:
            raise SandboxError(
                f"the root lacks {', '.join(lacks)}",
                where=where,
                next_step="install rpm-build, python3-rpm, git, patch, util-linux, bzip2 and xz in it",
            )


@dataclass(frozen=True, slots=True)
class Roots:
    """Which root serves a release: by its dist tag, or one for all."""

    by_dist: Mapping[str, Path]
    every: Path | None = None  # a person's --root goes before the configured ones

    def of(self, dist: str) -> SystemRoot:
        """Return the root of a dist tag (``.fc41``), or this machine's own system.

        Raises SandboxError where the root cannot be used.
        """
        directory = self.every or self.by_dist.get(dist)
        if directory is None:
            return SystemRoot()
        root = SystemRoot(directory.absolute())
        root.check()
        return root


NO_ROOTS = Roots({})
