"""The commits that ``git am`` made in %prep, held one by one against the converted ones."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.errors import RepositoryUnusable
from converter.objects import Commit, Entry
from converter.odb import GitTree, Repository
from converter.text import text

_MAX_LOG = 16 << 20  # bytes; git writes some 200 for a commit


@dataclass(frozen=True, slots=True)
class AmHistory:
    """What the comparison of histories found."""

    commits: int  # compared: tree, author, date and message of each
    ignored: tuple[bytes, ...]  # tracked upstream, but not by %prep's `git add .`
    mismatches: tuple[str, ...]  # in words; none is what one wants

    def as_json(self) -> dict[str, Any]:
        return {
            "commits": self.commits,
            "ignored": [text(path) for path in self.ignored],
            "mismatches": list(self.mismatches),
        }


def compare(
    top: Path, repository: Repository, base: str, series: str, missing: Collection[bytes]
) -> AmHistory | None:
    """Compare what ``git am`` made in the work tree ``top`` with the commits base..series.

    ``missing`` are files that the source archive lacked. None where no git am has left a history.
    The repository in ``top`` is foreign: it is read by libgit2, which runs no program of its
    configuration, and never by git.
    """
    directory = top / ".git"
    logged = _am_log(directory / "logs" / "HEAD")
    if not logged:
        return None
    if not _stands_alone(directory):
        return AmHistory(0, (), ("the repository that %prep made leads out of its tree",))
    try:
        theirs = Repository(directory)
        made = [theirs.commit(new) for _, new in logged]
        return _compare(repository, base, series, missing, theirs, logged[0][0], made)
    except (KeyError, ValueError, RepositoryUnusable) as error:
        return AmHistory(0, (), (f"the repository that %prep made cannot be read: {error}",))


def _compare(
    repository: Repository,
    base: str,
    series: str,
    missing: Collection[bytes],
    theirs: Repository,
    start: str,
    made: list[Commit],
) -> AmHistory:
    # `git add .` passes over what .gitignore names, although upstream tracks some of it.
    baseline = dict(differing(repository.tree(base), theirs.tree(start)))
    now = int(theirs.commit(start).author.date.split()[0])
    wrong = [path for path, (_, found) in baseline.items() if found is not None]
    mismatches = [f"%prep's baseline differs in {text(path)}" for path in wrong]
    ours = list(_chain(repository, base, series))
    if len(made) != len(ours):
        mismatches.append(f"git am made {len(made)} commits, the conversion {len(ours)}")
    for commit, real in zip(ours, made, strict=False):
        name = text(commit.subject)
        for path, (expected, found) in differing(repository.tree(commit.id), theirs.tree(real.id)):
            if path not in baseline or (expected, found) != baseline[path]:
                mismatches.append(f"{name}: {text(path)} differs")
                break
        if what := _mismatch(commit, real, now):
            mismatches.append(f"{name}: {what} differs")
    ignored = sorted(path for path in baseline if path not in missing and path not in wrong)
    return AmHistory(min(len(made), len(ours)), tuple(ignored), tuple(mismatches))


def _mismatch(ours: Commit, real: Commit, now: int) -> str:
    """Return what of the commits' texts differs; "" for nothing."""
    mine, theirs = ours.author, real.author
    if ours.message != real.message:
        return "the message"
    if (mine.name, mine.email) != (theirs.name, theirs.email):
        return "the author"
    # A mail without a date gets the moment of git am; a conversion must not.
    if mine.date != theirs.date and int(theirs.date.split()[0]) < now:
        return "the author's date"
    return ""


def _chain(repository: Repository, base: str, series: str) -> Iterator[Commit]:
    """Yield the commits base..series, oldest first."""
    chain = []
    while series != base:
        chain.append(repository.commit(series))
        series = chain[-1].parents[0]
    yield from reversed(chain)


def _stands_alone(directory: Path) -> bool:
    """Tell whether nothing in a repository makes git look elsewhere (gitrepository-layout(5))."""
    elsewhere = ("commondir", "objects/info/alternates", "objects/info/http-alternates")
    inside = (directory, directory / "objects", directory / "objects/pack", directory / "refs")
    return not any(os.path.lexists(directory / name) for name in elsewhere) and not any(
        path.is_symlink() for path in inside
    )


def _am_log(path: Path) -> list[tuple[str, str]]:
    """Return (old id, new id) of the commits that git am made, oldest first, from a reflog.

    A line is ``old SP new SP name <email> date TAB message`` (git's refs/files-backend.c,
    log_ref_write_fd); builtin/am.c, do_commit, logs as ``am: subject``.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            lines = file.read(_MAX_LOG).splitlines()
    except OSError:
        return []
    made = []
    for line in lines:
        head, _, message = line.partition(b"\t")
        ids = head.decode("ascii", "replace").split(" ", 2)
        if message.startswith(b"am: ") and len(ids) == 3:
            made.append((ids[0], ids[1]))
    return made


Pair = tuple[Entry | None, Entry | None]


def differing(a: GitTree, b: GitTree, directory: bytes = b"") -> Iterator[tuple[bytes, Pair]]:
    """Yield (path, (entry in a, entry in b)) of the files that differ; equal subtrees are skipped."""
    ours, theirs = a.entries(directory), b.entries(directory)
    for path in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(path), theirs.get(path)
        if left == right:
            continue
        tree_left = left is not None and left.mode == 0o040000
        tree_right = right is not None and right.mode == 0o040000
        if tree_left or tree_right:
            yield from differing(a, b, path)
        file = (None if tree_left else left, None if tree_right else right)
        if file != (None, None):
            yield path, file
