"""A diff x a tree -> a Report, with the rules of patch(1) or of git apply (pure).

Exactly the result of the real tool, or its refusal; ``tests/oracle`` holds both sides to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from converter.engine.diff import FilePatch
from converter.safe_paths import why_too_long, why_unsafe
from converter.tree import File, Tree, followed
from specparse.plan import Tool

Form = Literal["", "git", "files"]


@dataclass(frozen=True, slots=True)
class Rules:
    """Which tool applies the diff, and its options; ``options`` are words such as ``-E``.

    In a repository git converts files as .gitattributes say: ``form`` is what the tree holds of them,
    "git" for what git stores and "files" for what lies in a work tree; "" is outside of a repository.
    """

    tool: Tool
    strip: int = 1
    fuzz: int = 0  # lines; patch only
    reverse: bool = False
    directory: bytes = b""
    options: tuple[str, ...] = ()
    form: Form = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the tool refuses: a word for programs, and a line for people."""

    reason: str  # NoMatchingLines, FileDoesNotExist, CreatingFileThatExists, ...
    file: bytes
    hunk: int  # from 1; 0 where it is not a hunk that fails
    detail: str

    def __str__(self) -> str:
        where = self.file.decode("utf-8", "backslashreplace")
        where += f", hunk {self.hunk}" if self.hunk else ""
        return f"{where}: {self.detail}" if where else self.detail


class Refused(Exception):
    """The tool would refuse; carries the Failure."""

    def __init__(self, reason: str, file: bytes | None, detail: str, hunk: int = 0) -> None:
        super().__init__(detail)
        self.failure = Failure(reason, file or b"", hunk, detail)


@dataclass(slots=True)
class Moved:
    """How far hunks went from where they were said to be, and with what fuzz: the most of any."""

    offset: int = 0  # lines
    fuzz: int = 0  # lines

    def by(self, offset: int, fuzz: int) -> None:
        self.offset = max(self.offset, abs(offset))
        self.fuzz = max(self.fuzz, fuzz)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a diff: the changed files (None: deleted), or why there are none."""

    changes: Mapping[bytes, File | None] = field(default_factory=dict)
    offset: int = 0  # lines, the largest of any hunk
    fuzz: int = 0  # lines, the largest of any hunk
    failure: Failure | None = None

    @property
    def ok(self) -> bool:
        return self.failure is None


def apply(diff: bytes, tree: Tree, rules: Rules) -> Report:
    """Return what ``rules.tool`` would make of ``diff`` on ``tree``.

    Raises DiffError where the diff cannot be read at all.
    """
    from converter.engine import apply_git, apply_patch

    directory = followed(tree, rules.directory, whole=True)
    below = _Below(tree, directory) if directory else tree
    try:
        if rules.tool == "patch":
            changes, moved = apply_patch.apply(diff, below, rules)
        else:
            changes, moved = apply_git.apply(diff, below, rules)
    except Refused as refused:
        return Report(failure=refused.failure)
    if directory:
        prefix = directory + b"/"
        changes = {prefix + path: file for path, file in changes.items()}
    for path, file in changes.items():  # the tools allow more: on Linux, and below a directory
        if file is not None and (why := why_unsafe(path, link=file.mode == 0o120000)):
            return Report(failure=Failure("UnsafePath", path, 0, why))
    same = [path for path, file in changes.items() if tree.get(path) == file]
    for path in same:
        del changes[path]
    return Report(changes, moved.offset, moved.fuzz)


class _Below:
    """The tree below a directory."""

    def __init__(self, tree: Tree, directory: bytes) -> None:
        self._tree = tree
        self._prefix = directory + b"/"

    def get(self, path: bytes) -> File | None:
        return self._tree.get(self._prefix + path)

    def is_dir(self, path: bytes) -> bool:
        return self._tree.is_dir((self._prefix + path).rstrip(b"/"))

    def children(self, directory: bytes) -> Iterator[tuple[bytes, bool]]:
        for path, is_dir in self._tree.children((self._prefix + directory).rstrip(b"/")):
            yield path.removeprefix(self._prefix), is_dir


def check_length(patch: FilePatch) -> None:
    """Refuse names that are too long or too deep, before each directory of theirs is looked at."""
    for name in (patch.old, patch.new, patch.index):
        if why := why_too_long(name or b""):
            raise Refused("UnsafePath", None, f"line {patch.at}: {why}")


def check_path(path: bytes, tree: Tree, *, link: bool = False) -> None:
    """Refuse a path that is unsafe or goes through a link; ``link`` says that it becomes one.

    patch(1) follows links that stay in the tree (src/safe.c); ``path`` is what it came to. It would
    write to .git/hooks if a patch says so; srcgit never does.
    """
    if why := why_unsafe(path, link=link):
        raise Refused("UnsafePath", path, why)
    parent = b""
    for part in path.split(b"/")[:-1]:
        parent = parent + b"/" + part if parent else part
        file = tree.get(parent)
        if file is not None and file.mode == 0o120000:
            raise Refused("UnsafePath", path, "the path goes through a symbolic link")
