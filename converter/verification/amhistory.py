"""The commits that ``git am`` made in %prep, held one by one against the converted ones."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.engine.attributes import Attributes
from converter.engine.binary import blob_id
from converter.errors import RepositoryUnusable, TooMuch
from converter.objects import Commit, Entry
from converter.odb import LIBGIT2_ERROR, MAX_ENTRIES, GitTree, Repository
from converter.safe_paths import MAX_DEPTH
from converter.text import text
from specparse.foreign_tree import ForeignTree

_MAX_LOG = 16 << 20  # bytes; git writes some 200 for a commit
_ELSEWHERE = {b"alternates", b"http-alternates"}
_FAN_OUT = re.compile(rb"[0-9a-f]{2}")
_LOOSE = re.compile(rb"[0-9a-f]{38}")
_PACK = re.compile(rb"pack-[0-9a-f]{40}\.(?:pack|idx)")


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
    left: ForeignTree,
    top: bytes,
    repository: Repository,
    base: str,
    series: str,
    missing: Collection[bytes],
    scratch: Path,
) -> AmHistory | None:
    """Compare what ``git am`` made in the work tree ``top`` with the commits base..series.

    ``missing`` are files that the source archive lacked. None where no git am has left a history.
    The repository in ``top`` is foreign, and neither git nor libgit2 ever opens it: its objects are
    linked into one of our own at ``scratch``, which does not exist yet. Raises ForeignTreeError.
    """
    inside = top + b"/.git/" if top else b".git/"
    if _leads_elsewhere(left, inside):
        return AmHistory(0, (), ("the repository that %prep made leads out of its tree",))
    logged = _am_log(left.read(inside + b"logs/HEAD", _MAX_LOG) or b"")
    if not logged:
        return None
    try:
        theirs = _taken_over(left, inside + b"objects", scratch)
        made = [theirs.commit(new) for _, new in logged]
        return _compare(repository, base, series, missing, theirs, logged[0][0], made)
    except (AssertionError, KeyError, ValueError, RepositoryUnusable, LIBGIT2_ERROR) as error:
        for commit in (base, series):  # raises where the damage is our own repository's
            deque(repository.tree(commit).walk(), maxlen=0)
        return AmHistory(0, (), (f"the repository that %prep made cannot be read: {error}",))


def _leads_elsewhere(left: ForeignTree, inside: bytes) -> bool:
    """Tell whether a part of a repository is not where gitrepository-layout(5) has it."""
    for directory in (inside[:-1], inside + b"logs", inside + b"objects"):
        with left.open(directory) as found:
            if found is not None:  # a link, or git's file that names another directory
                return True
    with left.open(inside + b"logs/HEAD") as log:
        if log is not None and log.kind != "file":
            return True
    return bool(left.names(inside + b"objects/info").keys() & _ELSEWHERE)


def _taken_over(left: ForeignTree, objects: bytes, scratch: Path) -> Repository:
    """Return a new repository at ``scratch`` with the objects of a foreign one, and nothing else."""
    ours = Repository.create(scratch)
    for directory, is_directory in left.names(objects).items():
        form = _PACK if directory == b"pack" else _LOOSE
        if not is_directory or not (directory == b"pack" or _FAN_OUT.fullmatch(directory)):
            continue
        inside = ours.path / "objects" / directory.decode()
        inside.mkdir(exist_ok=True)
        for name in left.names(objects + b"/" + directory):
            if form.fullmatch(name):
                left.link_to(objects + b"/" + directory + b"/" + name, inside / name.decode())
    return Repository(ours.path)


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
    baseline = dict(_stored_otherwise(repository.tree(base), theirs.tree(start)))
    now = int(theirs.commit(start).author.date.split()[0])
    wrong = [path for path, (_, found) in baseline.items() if found is not None]
    mismatches = [f"%prep's baseline differs in {text(path)}" for path in wrong]
    ours = list(_chain(repository, base, series))
    if len(made) != len(ours):
        mismatches.append(f"git am made {len(made)} commits, the conversion {len(ours)}")
    for commit, real in zip(ours, made, strict=False):
        name = text(commit.subject)
        trees = repository.tree(commit.id), theirs.tree(real.id)
        for path, (expected, found) in _stored_otherwise(*trees):
            if path not in baseline or (expected, found) != baseline[path]:
                mismatches.append(f"{name}: {text(path)} differs")
                break
        if what := _mismatch(commit, real, now):
            mismatches.append(f"{name}: {what} differs")
    ignored = sorted(path for path in baseline if path not in missing and path not in wrong)
    return AmHistory(min(len(made), len(ours)), tuple(ignored), tuple(mismatches))


def _stored_otherwise(ours: GitTree, theirs: GitTree) -> Iterator[tuple[bytes, Pair]]:
    """Yield what differs, but for files that git stores in another form than they lie there."""
    attributes = Attributes(ours)
    for path, (expected, found) in differing(ours, theirs):
        same_kind = expected is not None and found is not None and expected.mode == found.mode
        file = ours.get(path) if same_kind else None
        stored = attributes.of(path).to_git(file.data) if file is not None else None
        if stored is None or found is None or blob_id(stored) != found.id.encode():
            yield path, (expected, found)


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


def _am_log(log: bytes) -> list[tuple[str, str]]:
    """Return (old id, new id) of the commits that git am made, oldest first, from a reflog.

    A line is ``old SP new SP name <email> date TAB message`` (git's refs/files-backend.c,
    log_ref_write_fd); builtin/am.c, do_commit, logs as ``am: subject``.
    """
    made = []
    for line in log.splitlines():
        head, _, message = line.partition(b"\t")
        ids = head.decode("ascii", "replace").split(" ", 2)
        if message.startswith(b"am: ") and len(ids) == 3:
            made.append((ids[0], ids[1]))
    return made


Pair = tuple[Entry | None, Entry | None]


def differing(a: GitTree, b: GitTree) -> Iterator[tuple[bytes, Pair]]:
    """Yield (path, (entry in a, entry in b)) of the files that differ; equal subtrees are skipped.

    Raises TooMuch where they differ in too much.
    """
    return _differing(a, b, b"", [0])


def _differing(
    a: GitTree, b: GitTree, directory: bytes, seen: list[int]
) -> Iterator[tuple[bytes, Pair]]:
    ours, theirs = a.entries(directory), b.entries(directory)
    seen[0] += len(ours) + len(theirs)
    if seen[0] > MAX_ENTRIES or directory.count(b"/") > MAX_DEPTH:
        raise TooMuch(
            f"two trees differ in more than {MAX_ENTRIES} entries, or {MAX_DEPTH} directories deep",
            where=f"{a.id} {b.id}",
            next_step="look at what %prep makes, or at the archive",
        )
    for path in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(path), theirs.get(path)
        if left == right:
            continue
        tree_left = left is not None and left.mode == 0o040000
        tree_right = right is not None and right.mode == 0o040000
        if tree_left or tree_right:
            yield from _differing(a, b, path, seen)
        file = (None if tree_left else left, None if tree_right else right)
        if file != (None, None):
            yield path, file
