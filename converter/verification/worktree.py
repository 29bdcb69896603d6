"""What %prep left in a directory, as git would store it."""

from __future__ import annotations

import hashlib

from converter.objects import Entry
from specparse.foreign_tree import ForeignFile, ForeignTree

_OTHER = 0o010000  # a FIFO, a socket or a device: git has no such thing


def scan(tree: ForeignTree, top: bytes) -> dict[bytes, Entry]:
    """Return path -> Entry (git's modes and blob ids) of the files below ``top``, ``.git`` apart.

    Empty directories do not count. Raises ForeignTreeError.
    """
    return {file.path: _entry(file) for file in tree.walk(top, without=(b".git",))}


def mode_of(file: ForeignFile) -> int:
    """Return git's mode of ``file``; 0o010000 for what git has no place for."""
    if file.kind == "file":
        return 0o100755 if file.executable else 0o100644
    return 0o120000 if file.kind == "link" else _OTHER


def in_repository(path: bytes) -> bool:
    """Tell whether ``path`` is of a repository that %prep made below the source tree."""
    return b".git" in path.split(b"/")


def _entry(file: ForeignFile) -> Entry:
    if file.kind == "other":
        return Entry(file.path, _OTHER, "")
    digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    for part in file.parts:
        digest.update(part)
    return Entry(file.path, mode_of(file), digest.hexdigest())
