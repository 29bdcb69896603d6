"""A tree of files, as the patch engine and the object database both see it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

# read-cache.c, verify_path, with core.protectNTFS (path.c, is_ntfs_dotgit), as git has it by default
_DOT_GIT = re.compile(rb"(?i)(?:\.git|git~1)[ .]*(?::.*)?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class File:
    """A file: git's mode (0o100644, 0o100755, 0o120000, 0o160000) and its content.

    A link's content is its target; a submodule's is its commit id in hex.
    """

    mode: int
    data: bytes


class Tree(Protocol):
    """Files by path; git has no empty directories."""

    def get(self, path: bytes) -> File | None:
        """Return the file at ``path``; None for a directory, or where there is nothing."""
        ...

    def is_dir(self, path: bytes) -> bool:
        """Tell whether there is a file below ``path``."""
        ...


def why_unsafe(path: bytes, *, link: bool) -> str:
    """Return why git stores nothing at ``path``; "" where it does."""
    for part in path.split(b"/"):
        if part in (b"", b".", b"..") or b"\0" in part:
            return "the path leads out of the tree"
        if any(_DOT_GIT.match(piece) for piece in part.split(b"\\")):
            return "the path leads into .git"
        if link and part.lower().startswith(b".gitmodules"):
            return ".gitmodules as a symbolic link"
    return ""
