"""The monolith exploded: one patch becomes the commits of kernel-ark that it was made from.

Since 2020 Fedora's kernel carries its changes as one diff, and ``Patchlist.changelog`` beside it
names the commits. They are taken in that order, each as its change to the first parent; whatever
they do not account for (resolutions in merges, a commit that does not fit) becomes one labelled
commit at the end, so that the tree is the monolith's in any case.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.commits import Draft
from converter.engine.apply import Refused, Report, Rules, apply, check_path
from converter.engine.diff import DiffError
from converter.git import Git
from converter.mirror import Mirror
from converter.odb import Repository
from converter.text import text
from converter.tree import File, Tree

# Two lines for a commit, newest first: its URL (in 2023 with quotes), then " <id> <subject>".
_LISTED = re.compile(
    rb'^"?(https?://[^\s"]+?)(?:/-)?/commit"?/([0-9a-f]{40})[ \t]*(?:\n [0-9a-f]+ (.*))?$',
    re.MULTILINE,
)
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_FILE_MODES = (0o100644, 0o100755)

Changes = Mapping[bytes, File | None]


@dataclass(frozen=True, slots=True)
class Listed:
    """A commit that the monolith consists of."""

    commit: str
    subject: bytes
    project: str  # the address of its repository's page


@dataclass(frozen=True, slots=True)
class Left:
    """A listed commit that became no commit, and why."""

    listed: Listed
    why: str

    def as_json(self) -> dict[str, str]:
        return {
            "commit": self.listed.commit,
            "subject": text(self.listed.subject),
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the list: part of ``fedora/series.json``."""

    source: str
    listed: int
    empty: tuple[Left, ...]  # there is nothing of them in the monolith
    unapplied: tuple[Left, ...]  # their change is in the residue
    left_out: tuple[str, ...]  # paths that the monolith excludes
    residue: bool  # the last commit is one

    def as_json(self) -> dict[str, Any]:
        return {
            "from": self.source,
            "listed": self.listed,
            "empty": [left.as_json() for left in self.empty],
            "unapplied": [left.as_json() for left in self.unapplied],
            "left_out": list(self.left_out),
            "residue": self.residue,
        }


def listed(patchlist: bytes) -> tuple[Listed, ...]:
    """Return the commits that a ``Patchlist.changelog`` names, oldest first."""
    found = {
        m[2].decode(): Listed(m[2].decode(), m[3] or b"", text(m[1]))
        for m in _LISTED.finditer(patchlist)
    }
    return tuple(reversed(found.values()))


class Explosion:
    """The commits of one monolith, found in a mirror of kernel-ark."""

    def __init__(self, mirror: Mirror, commits: Sequence[Listed], base: str) -> None:
        """``base`` is the upstream commit that the monolith stands on."""
        self._mirror = mirror
        self._listed = commits
        self._base = base
        self._forks: dict[str, str | None] = {}
        self._empty: list[Left] = []
        self._unapplied: list[Left] = []
        self._left_out: set[bytes] = set()
        self._residue = False

    @property
    def outcome(self) -> Outcome:
        """What became of the list, once drafts() has come to its end."""
        return Outcome(
            # Not the mirror's address: ids must not depend on where a host keeps it.
            self._listed[0].project if self._listed else "",
            len(self._listed),
            tuple(self._empty),
            tuple(self._unapplied),
            tuple(sorted(map(text, self._left_out))),
            self._residue,
        )

    def drafts(self, tree: Tree, whole: Report, plain: Draft) -> Iterator[tuple[Draft, Report]]:
        """Yield the commits; each must be on ``tree`` before the next is asked for.

        ``whole`` is what the monolith does, ``plain`` the one commit that it would be otherwise.
        """
        known = [c for c in self._listed if self._mirror.commit_id(c.commit)]
        self._unapplied = [Left(c, "not in the mirror") for c in self._listed if c not in known]
        ark = self._mirror.repository
        touched = {c: _touched(ark, c.commit) for c in known}
        out = self._excluded(ark, touched, whole.changes, tree)
        before: dict[bytes, File | None] = {}
        applied = 0
        for commit, paths in touched.items():
            inside = [path for path in paths if path not in out]
            for path in inside:
                before.setdefault(path, tree.get(path))
            changes = _change(ark, commit.commit, inside, tree)
            if changes is None:
                self._unapplied.append(Left(commit, "conflicts with what is there before it"))
            elif not changes:
                why = (
                    "only paths that are left out" if not inside else "its change is there already"
                )
                self._empty.append(Left(commit, why))
            else:
                read = ark.commit(commit.commit)
                applied += 1
                yield Draft(read.author, read.message, b"", commit.commit), Report(changes)
        goal = {**before, **whole.changes}
        rest = {path: file for path, file in goal.items() if tree.get(path) != file}
        if rest:
            self._residue = applied > 0
            draft = self._labelled(plain) if applied else plain
            yield draft, Report(rest, whole.offset, whole.fuzz)
        wrong = [text(path) for path, file in goal.items() if tree.get(path) != file]
        if wrong:
            raise AssertionError(f"the exploded series is not the monolith: {wrong}")

    def _excluded(
        self,
        ark: Repository,
        touched: Mapping[Listed, Iterable[bytes]],
        monolith: Changes,
        tree: Tree,
    ) -> set[bytes]:
        """Return the paths that the monolith leaves out: those that it does not touch, although
        the commits changed them.

        A path that the commits left as they had found it is no such path, unless it lies in a
        directory of their own (``redhat/``).
        """
        newest = {path: commit.commit for commit, paths in touched.items() for path in paths}
        out = set()
        for path, commit in newest.items():
            if path in monolith:
                continue
            top = path.split(b"/")[0]
            ours = not tree.is_dir(top) and tree.get(top) is None
            if ours or not self._as_found(ark, path, commit):
                out.add(path)
                self._left_out.add(top + b"/" if ours and top != path else path)
        return out

    def _as_found(self, ark: Repository, path: bytes, commit: str) -> bool:
        """Tell whether ``path`` in ``commit`` is what it was where that left upstream."""
        if commit not in self._forks:
            found = ark.git.run("merge-base", commit, self._base, ok=(0, 1, 128)).stdout
            self._forks[commit] = found.decode().strip() or None
        fork = self._forks[commit]
        if fork is None:
            return False
        now, then = ark.tree(commit).entry(path), ark.tree(fork).entry(path)
        return now == then

    def _labelled(self, plain: Draft) -> Draft:
        """Return the draft of the residue: the author and the date are the monolith's."""
        subject, _, body = plain.message.partition(b"\n")
        told = [
            subject + b": what its commits do not account for",
            b"The commits of kernel-ark that Patchlist.changelog names, one after the other, come to\n"
            b"the monolithic patch but for this: resolutions in merges, and changes of commits that\n"
            b"do not apply here by themselves.",
        ]
        if self._unapplied:
            rows = [
                b"%s %s (%s)"
                % (left.listed.commit[:12].encode(), left.listed.subject, left.why.encode())
                for left in self._unapplied
            ]
            told.append(b"Not applied:\n" + b"\n".join(rows))
        origin = re.search(rb"^Author and date are .*\n.*$", body, re.MULTILINE)
        told += [origin[0]] if origin else []
        return Draft(plain.author, b"\n\n".join(told) + b"\n", b"")


def _touched(ark: Repository, commit: str) -> tuple[bytes, ...]:
    """Return the paths that ``commit`` changes in its first parent's tree; renames are two."""
    names = ("diff-tree", "-r", "-z", "--name-only", "--no-renames")
    out = ark.git.run(*names, _parent(ark, commit), commit).stdout
    return tuple(path for path in out.split(b"\0") if path)


def _parent(ark: Repository, commit: str) -> str:
    parents = ark.commit(commit).parents
    return parents[0] if parents else _EMPTY_TREE


def _change(ark: Repository, commit: str, paths: Sequence[bytes], tree: Tree) -> Changes | None:
    """Return what ``commit`` does to ``paths`` on ``tree``; None where it conflicts.

    As git am --3way: by git apply's rules, else by a three-way merge of the files.
    """
    parent = _parent(ark, commit)
    old = ark.tree(parent) if parent != _EMPTY_TREE else None
    new = ark.tree(commit)
    changes: dict[bytes, File | None] = {}
    shifted: dict[bytes, _Sides] = {}
    for path in paths:
        sides = _Sides(old.get(path) if old else None, tree.get(path), new.get(path))
        if sides.here == sides.old:
            changes[path] = sides.new
        elif sides.here != sides.new:
            shifted[path] = sides
    if shifted:
        placed = _applied(ark, parent, commit, shifted, tree)
        if placed is None:
            placed = {path: sides.merged() for path, sides in shifted.items()}
        if any(file is _CONFLICT for file in placed.values()):
            return None
        changes |= placed
    if not all(_fits(path, changes, tree) for path, file in changes.items() if file):
        return None
    return {path: file for path, file in changes.items() if tree.get(path) != file}


def _fits(path: bytes, changes: Changes, tree: Tree) -> bool:
    """Tell whether a file may stand at ``path``: inside the tree, and no file above or below it."""
    file = changes[path]
    try:
        check_path(path, tree, link=file is not None and file.mode == 0o120000)
    except Refused:
        return False
    parts = path.split(b"/")
    above = (b"/".join(parts[:n]) for n in range(1, len(parts)))
    return not tree.is_dir(path) and not any(
        changes[parent] if parent in changes else tree.get(parent) for parent in above
    )


def _applied(
    ark: Repository, parent: str, commit: str, paths: Iterable[bytes], tree: Tree
) -> dict[bytes, File | None] | None:
    """Return what git apply would make of the commit's diff of ``paths``; None if it refuses."""
    diff = ark.git.run(
        "--literal-pathspecs",
        *("diff-tree", "-p", "--no-renames", "--binary", "--full-index"),
        *(parent, commit, "--", *map(os.fsdecode, paths)),
    ).stdout
    try:
        report = apply(diff, tree, Rules("git-am"))
    except DiffError:
        return None
    return dict(report.changes) if report.ok else None


_CONFLICT = File(0, b"")


@dataclass(frozen=True, slots=True)
class _Sides:
    """A file before a commit, on the tree that receives it, and after the commit."""

    old: File | None
    here: File | None
    new: File | None

    def merged(self) -> File | None:
        """Return the three-way merge, as git-merge-file(1) makes it, or _CONFLICT."""
        old, here, new = self.old, self.here, self.new
        if old is None or here is None or new is None:
            return _CONFLICT
        if any(file.mode not in _FILE_MODES for file in (old, here, new)):
            return _CONFLICT
        mode = new.mode if here.mode == old.mode else here.mode
        with tempfile.TemporaryDirectory(prefix="srcgit-") as scratch:
            names = [os.path.join(scratch, name) for name in ("here", "old", "new")]
            for name, file in zip(names, (here, old, new), strict=True):
                Path(name).write_bytes(file.data)
            # 0 merged; 1 to 127 conflicts; 255 an error, a binary file for one
            done = Git().run("merge-file", "-p", "-q", *names, ok=range(256))
        return File(mode, done.stdout) if done.status == 0 else _CONFLICT
