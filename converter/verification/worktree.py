"""A directory on disk as git would store it; what stands there was made by foreign code."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from converter.objects import Entry

_OTHER = 0o010000  # a FIFO, a socket or a device: git has no such thing
_MAX_DEPTH = 200  # directories; the deepest of Linux is 12


def scan(top: Path) -> dict[bytes, Entry]:
    """Return path -> Entry (git's modes and blob ids) of the files below ``top``, ``.git`` apart.

    Links are read, never followed. Empty directories do not count. Raises OSError.
    """
    return {entry.path: entry for entry in _walk(os.fsencode(top), b"", 0)}


def _walk(directory: bytes, prefix: bytes, depth: int) -> Iterator[Entry]:
    if depth > _MAX_DEPTH:
        raise OSError(f"directories nest deeper than {_MAX_DEPTH}")
    with os.scandir(directory) as children:
        for child in sorted(children, key=lambda c: c.name):
            path = prefix + child.name
            if child.is_symlink():
                yield Entry(path, 0o120000, _id(os.readlink(child.path)))
            elif child.is_dir(follow_symlinks=False):
                if path != b".git":
                    yield from _walk(child.path, path + b"/", depth + 1)
            elif child.is_file(follow_symlinks=False):
                yield _file(child.path, path)
            else:
                yield Entry(path, _OTHER, "")


def _file(source: bytes, path: bytes) -> Entry:
    with open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        # git looks at the owner's bit alone (read-cache.c, ce_mode_from_stat).
        mode = 0o100755 if status.st_mode & stat.S_IXUSR else 0o100644
        if status.st_size < 1 << 20:
            return Entry(path, mode, _id(file.read()))
        digest = hashlib.sha1(b"blob %d\0" % status.st_size, usedforsecurity=False)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        return Entry(path, mode, digest.hexdigest())


def _id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()


def remove(directory: Path) -> None:
    """Delete ``directory`` and all below it, whatever modes foreign code has set."""
    for here, names, _ in os.walk(directory):
        for name in names:
            path = os.path.join(here, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(directory, ignore_errors=True)
