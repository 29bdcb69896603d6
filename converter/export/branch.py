"""A branch that was made from a build: which commits of it are the series now."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from converter.build import SERIES_JSON, Nvr
from converter.comparison.compare import published
from converter.comparison.differences import Published
from converter.errors import CannotConvert, WrongUsage
from converter.git import GitFailed
from converter.odb import Repository
from converter.text import text

_OURS = b"fedora/"  # what the top commit adds


@dataclass(frozen=True, slots=True)
class Branch:
    """A build, and what became of its series."""

    build: Published
    tip: str
    commits: tuple[str, ...]  # oldest first; those that only touch fedora/ are left out
    empty: tuple[str, ...]  # commits that change nothing, and are left out, too
    base: str | None = None  # the revision on which it starts, where somebody named that


def read(repo: Repository, wanted: str, base: str | None = None) -> Branch:
    """Read ``wanted``: a build's tag, ``TAG..REV``, or a branch that holds a build's top commit.

    ``base`` is the revision onto which it was rebased, where it was. Raises WrongUsage,
    CannotConvert.
    """
    build, tip = _named(repo, wanted)
    ours = [commit["commit"] for patch in build.record["patches"] for commit in patch["commits"]]
    added = []
    for commit, *parents in _walk(repo, tip, _base(repo, build, tip, base)):
        if commit == build.commit or build.commit in parents[1:]:  # or its merge on builds/
            break
        if len(parents) != 1:
            raise CannotConvert(
                f"{commit[:12]} is a merge: a series of patches has none",
                where=wanted,
                next_step=f"rebase onto {build.name}; or, if it was rebased onto another revision of "
                "upstream, name that with --base REV",
            )
        added.append(commit)
    else:
        ours, added = [], added
    added.reverse()
    touched = {c: changes(repo, c) for c in added if c not in ours}
    commits = [*ours, *(c for c in added if source(touched.get(c, [b"/"])))]
    empty = tuple(c for c, paths in touched.items() if not paths)
    return Branch(build, tip, tuple(commits), empty, base)


def changes(repo: Repository, commit: str) -> dict[bytes, tuple[str, str] | None]:
    """Return path -> (mode, blob id) of each file that ``commit`` changes; None where it is gone."""
    out = repo.git.run(
        "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--root", commit
    ).stdout
    fields = out.split(b"\0")[1:-1]
    made: dict[bytes, tuple[str, str] | None] = {}
    for what, path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, id, _ = what.decode().split(" ")
        made[path] = None if not id.strip("0") else (mode, id)
    return made


def source(paths: Iterable[bytes]) -> list[bytes]:
    """Return the paths that belong to the source, and not to what srcgit adds."""
    return [path for path in paths if not path.startswith(_OURS)]


def _named(repo: Repository, wanted: str) -> tuple[Published, str]:
    """Return the build and the last commit that ``wanted`` names."""
    start, dots, rev = wanted.partition("..")
    tip = repo.commit_id((rev or "HEAD") if dots else start)
    if tip is None:
        raise WrongUsage(
            f"not a commit here: {wanted}",
            where=str(repo.path),
            next_step="give a build's tag, TAG..BRANCH, or a branch made from a build",
        )
    if dots or repo.ref(f"refs/tags/{start}"):
        name, _, variant = start.partition("@")
        return published(repo, Nvr.of_ref(name), variant), tip
    try:
        # The git program and not libgit2: it fetches what a blobless clone lacks.
        data = repo.git.run("cat-file", "blob", f"{tip}:{text(SERIES_JSON)}").stdout
        record = json.loads(data)
        return published(repo, Nvr.parse(record["nvr"]), record.get("variant", "")), tip
    except (GitFailed, ValueError, KeyError, TypeError):
        raise WrongUsage(
            f"{wanted} does not tell from which build it was made",
            where=str(repo.path),
            next_step=f"name the build: TAG..{wanted}",
        ) from None


def _walk(repo: Repository, tip: str, base: str) -> list[list[str]]:
    """Return commit and parents of each commit above ``base``, newest first."""
    out = repo.git.run("rev-list", "--first-parent", "--parents", tip, f"^{base}").stdout
    return [line.split() for line in out.decode().splitlines()]


def _base(repo: Repository, build: Published, tip: str, asked: str | None) -> str:
    """Return the commit on which the branch's series starts."""
    known: str = build.record["base"]["commit"]
    found = repo.commit_id(asked or known)
    if found is None:
        raise WrongUsage(f"not a commit here: {asked or known}", where=str(repo.path))
    if repo.git.run("merge-base", "--is-ancestor", found, tip, ok=(0, 1)).status != 0:
        raise WrongUsage(
            f"the branch does not start on {asked or build.record['base']['rev']}",
            where=tip[:12],
            next_step="say onto what it was rebased: --base REV",
        )
    onto = "" if asked else _newer_tag(repo, build, found, tip)
    if onto:
        raise WrongUsage(
            f"the branch seems to be rebased onto {onto}, and everything below would be a patch",
            where=tip[:12],
            next_step=f"say on what its patches start: --base {onto}",
        )
    return found


def _newer_tag(repo: Repository, build: Published, base: str, tip: str) -> str:
    """Return the newest tag between ``base`` and ``tip`` that is not on the build's own commits."""
    out = repo.git.run(
        *("for-each-ref", "--sort=-creatordate", "--format=%(refname:strip=2)"),
        *(f"--merged={tip}", f"--no-merged={base}", "refs/tags"),
    ).stdout
    for tag in out.decode("utf-8", "surrogateescape").split("\n"):
        ref = f"refs/tags/{tag}"
        if tag and not repo.git.run("ls-tree", ref, "--", text(SERIES_JSON)).stdout:
            return tag
    return ""
