"""What commits change, as comparable values: patch ids, and the finer differences between two."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

from converter.odb import Repository

# git-diff-tree(1): plumbing, so that no configuration decides what a diff looks like
_DIFF = ("diff-tree", "--stdin", "-p", "--no-renames", "--binary", "--full-index", "--root")
_COMMIT = re.compile(rb"^([0-9a-f]{40})\n", re.MULTILINE)
_STARTS = re.compile(rb"\x01[0-9a-f]{40}")
_HUNK = re.compile(rb"^@@ .*$", re.MULTILINE)
_INDEX = re.compile(rb"^index .*\n", re.MULTILINE)


class Patches:
    """The diffs of some commits of a repository, read at once."""

    def __init__(self, repo: Repository, commits: Iterable[str]) -> None:
        self._repo = repo
        self._diffs, self._ids = self._read(sorted(commits))

    def _read(self, commits: Sequence[str]) -> tuple[dict[str, bytes], dict[str, str]]:
        if not commits:
            return {}, {}
        out = self._repo.git.run(*_DIFF, input="".join(f"{c}\n" for c in commits).encode()).stdout
        parts = _COMMIT.split(out)[1:]
        diffs = {
            commit.decode(): diff for commit, diff in zip(parts[::2], parts[1::2], strict=True)
        }
        # git-patch-id(1): "<patch id> <commit id>" for each commit that changes anything
        lines = self._repo.git.run("patch-id", "--stable", input=out).stdout.decode().splitlines()
        return diffs, {commit: id for id, commit in (line.split() for line in lines)}

    def id(self, commit: str) -> str:
        """Return the patch id of a commit that was read, the id of the commit of any other."""
        return self._ids.get(commit, commit)

    def ids(self, commits: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self.id, commits))

    def lines(self, commit: str) -> bytes:
        """Return the diff of a commit that was read, without line numbers and blob ids."""
        return _unnumbered(self._diffs.get(commit, b""))

    def differences(self, old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
        """Say in what two lists of commits differ, apart from ids and line numbers.

        Words: ``commits`` (how many), ``diff``, ``context`` (only lines around the changed ones),
        ``message``, ``author``, ``date``.
        """
        if old == new:
            return ()
        if len(old) != len(new):
            return ("commits",)
        one = [self._repo.commit(commit) for commit in old]
        two = [self._repo.commit(commit) for commit in new]
        diffs = [
            (self._diffs.get(a, b""), self._diffs.get(b, b""))
            for a, b in zip(old, new, strict=True)
            if a != b
        ]
        found = []
        if any(_changed_lines(a) != _changed_lines(b) for a, b in diffs):
            found.append("diff")
        elif any(_unnumbered(a) != _unnumbered(b) for a, b in diffs):
            found.append("context")
        if [c.message for c in one] != [c.message for c in two]:
            found.append("message")
        if [(c.author.name, c.author.email) for c in one] != [
            (c.author.name, c.author.email) for c in two
        ]:
            found.append("author")
        if [c.author.date for c in one] != [c.author.date for c in two]:
            found.append("date")
        return tuple(found)

    def between(self, old: str, new: str, commits: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return which commit in ``old..new`` does the same as each of ``commits``, and a word.

        The word says how that is known: ``patch-id``, or ``subject`` (and author) where the diff
        is another one. Only commits that touch the same files are looked at.
        """
        wanted = self._heads(commits)
        paths = sorted({path for head in wanted.values() for path in head.paths})
        if not paths:
            return {}
        listed = self._repo.git.run(
            "--literal-pathspecs",
            "rev-list",
            "--full-history",
            "--no-merges",
            f"{old}..{new}",
            "--",
            *map(os.fsdecode, paths),
            ok=(0, 128),  # 128: a shallow clone without one of the bases
        )
        upstream = self._heads(listed.stdout.decode().split())
        same_files = {head.paths for head in wanted.values()}
        titles = {head.title: commit for commit, head in upstream.items()}
        likely = [commit for commit, head in upstream.items() if head.paths in same_files]
        _, ids = self._read(likely)
        changes = {id: commit for commit, id in ids.items()}
        found = {}
        for commit, head in wanted.items():
            if (id := self.id(commit)) in changes:
                found[commit] = (changes[id], "patch-id")
            elif head.title in titles:
                found[commit] = (titles[head.title], "subject")
        return found

    def _heads(self, commits: Sequence[str]) -> dict[str, _Head]:
        """Return author, subject and touched paths of each commit."""
        if not commits:
            return {}
        out = self._repo.git.run(
            *("diff-tree", "--stdin", "--root", "-r", "-z", "--name-only", "--no-renames"),
            "--format=%x01%H%x00%an%n%s",
            input="".join(f"{c}\n" for c in commits).encode(),
        ).stdout
        paths: dict[bytes, set[bytes]] = {}
        titles: dict[bytes, bytes] = {}
        tokens = iter(out.split(b"\0"))
        commit = b""
        for token in map(bytes.lstrip, tokens, repeat(b"\n")):
            if _STARTS.fullmatch(token):
                commit = token[1:]
                titles[commit], paths[commit] = next(tokens), set()
            elif token:
                paths[commit].add(token)
        return {
            commit.decode(): _Head(title, frozenset(paths[commit]))
            for commit, title in titles.items()
        }


@dataclass(frozen=True, slots=True)
class _Head:
    title: bytes  # author and subject
    paths: frozenset[bytes]


def _unnumbered(diff: bytes) -> bytes:
    """Return ``diff`` without line numbers, blob ids and the names of functions."""
    return _HUNK.sub(b"@@", _INDEX.sub(b"", diff))


def _changed_lines(diff: bytes) -> list[bytes]:
    return [line for line in diff.split(b"\n") if not line.startswith((b" ", b"@@ ", b"index "))]
