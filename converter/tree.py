"""A tree of files, as the patch engine and the object database both see it, and edits over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

SUBMODULE = 0o160000  # the mode of a commit in the place of a file


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

    def children(self, directory: bytes) -> Iterable[tuple[bytes, bool]]:
        """Yield (path, is it a directory) for each child of ``directory``."""
        ...


class Edits(Generic[T]):
    """What was changed over the tree ``below``: something for each path, None where it is gone.

    To ask about a directory costs what it has in the tree below, never what was changed in all.
    """

    def __init__(self, below: Tree) -> None:
        self._below = below
        self.made: dict[bytes, T | None] = {}
        self._live: dict[bytes, int] = {}  # directory -> files that the edits hold below it
        self._hiders: set[bytes] = set()  # files that are directories in the tree below

    def set(self, path: bytes, value: T | None) -> None:
        """Have ``value`` at ``path`` from now on; None removes what is there."""
        if path not in self.made and self._below.is_dir(path):
            self._hiders.add(path)
        change = (value is not None) - (self.made.get(path) is not None)
        self.made[path] = value
        for parent in (b"", *parents(path)):
            self._live[parent] = self._live.get(parent, 0) + change

    def hides(self, path: bytes) -> bool:
        """Tell whether one of the parents of ``path`` has become a file."""
        return bool(self._hiders) and any(
            parent in self._hiders and self.made.get(parent) is not None for parent in parents(path)
        )

    def is_dir(self, path: bytes) -> bool:
        if self._live.get(path):
            return True
        if self.made.get(path) is not None or self.hides(path) or not self._below.is_dir(path):
            return False
        if path not in self._live:
            return True
        # Some of its files are gone: git has no empty directories.
        return any(
            self.is_dir(child) if is_dir else child not in self.made
            for child, is_dir in self._below.children(path)
        )

    def children(self, directory: bytes) -> Iterator[tuple[bytes, bool]]:
        inside = directory + b"/" if directory else b""
        names = {path for path, _ in self._below.children(directory)}
        for path in self.made:
            if path.startswith(inside):
                names.add(inside + path[len(inside) :].partition(b"/")[0])
        for path in names:
            if self.is_dir(path):
                yield path, True
            elif self.made.get(path) is not None or path not in self.made:
                yield path, False


class Overlay:
    """A tree with edits over it, in memory; a Tree."""

    def __init__(self, below: Tree, changes: Mapping[bytes, File | None] | None = None) -> None:
        self._below = below
        self._edits: Edits[File] = Edits(below)
        self.edit(changes or {})

    @property
    def changes(self) -> Mapping[bytes, File | None]:
        return self._edits.made

    def set(self, path: bytes, file: File | None) -> None:
        self._edits.set(path, file)

    def edit(self, changes: Mapping[bytes, File | None]) -> None:
        for path, file in changes.items():
            self._edits.set(path, file)

    def get(self, path: bytes) -> File | None:
        made = self._edits.made
        if path in made:
            return made[path]
        return None if self._edits.hides(path) else self._below.get(path)

    def is_dir(self, path: bytes) -> bool:
        return self._edits.is_dir(path)

    def children(self, directory: bytes) -> Iterator[tuple[bytes, bool]]:
        return self._edits.children(directory)

    def same_as(self, changes: Mapping[bytes, File | None]) -> bool:
        """Tell whether these edits lead to the same files as ``changes`` do."""
        return all(
            self.get(path) == (changes[path] if path in changes else self._below.get(path))
            for path in self.changes.keys() | changes.keys()
        )


def parents(path: bytes) -> Iterator[bytes]:
    """Yield the directories above ``path``, the top left out."""
    at = path.find(b"/")
    while at >= 0:
        yield path[:at]
        at = path.find(b"/", at + 1)


_MOST_LINKS = 40  # Linux's MAXSYMLINKS


def followed(tree: Tree, path: bytes, *, whole: bool = False) -> bytes:
    """Return where ``path`` leads through the links of ``tree``; the last part only with ``whole``.

    A path that leaves the tree, or goes round in circles, is returned as it is.
    """
    directory = path if whole else path.rpartition(b"/")[0]
    if not directory or tree.is_dir(directory):
        return path
    left = path.split(b"/")
    if b".." in left or path.endswith(b"/"):
        return path
    done: list[bytes] = []
    links = 0
    while left:
        part = left.pop(0)
        if part == b"..":
            if not done:
                return path
            done.pop()
        elif part not in (b"", b"."):
            done.append(part)
            link = tree.get(b"/".join(done)) if left or whole else None
            if link is not None and link.mode == 0o120000:
                links += 1
                if links > _MOST_LINKS or link.data.startswith(b"/"):
                    return path
                done.pop()
                left[:0] = link.data.split(b"/")
    return b"/".join(done)
