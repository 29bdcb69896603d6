"""A tree of files, as the patch engine and the object database both see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


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
