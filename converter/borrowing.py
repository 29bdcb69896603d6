"""What a converted tree borrows of upstream's objects: kept, and looked after.

A tree borrows what those commits of upstream reach on which its builds stand, and nothing else: git
writes no object that an alternate has (a backported patch makes the file that upstream's newest
commit has), and what upstream's branches hold today may be gone tomorrow. The tree names these
commits in refs/srcgit/base/; a mirror of ours keeps them in refs/srcgit/lent/.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from converter.errors import RepositoryDamaged, RepositoryUnusable
from converter.git import GitFailed
from converter.mirror import Mirror
from converter.odb import BASE, Entries, Repository

_MISSING = re.compile(r"fatal: (.*\b[0-9a-f]{40}\b.*)")  # git names the object that it lacks
_TREES = 2_000  # that are kept in memory: of a series, most are met again
_KEPT = b"srcgit: copied from where this repository borrows\n"


def take(repo: Repository, mirror: Mirror, commit: str, *, standalone: bool) -> None:
    """Have ``commit`` of ``mirror``, and all that it reaches, in ``repo``: borrowed, or copied.

    A mirror of ours keeps what is borrowed from now on; to a person's repository nothing is
    written. Raises RepositoryUnusable.
    """
    if standalone:
        _copy(repo, mirror.repository, commit)
        return
    if mirror.is_ours:
        mirror.repository.hold(commit)
    borrow(repo, mirror)


def borrow(repo: Repository, mirror: Mirror) -> None:
    """Read what ``mirror`` has in ``repo``, too. Raises RepositoryUnusable."""
    repo.borrow(mirror.repository)
    _share_shallow(repo, mirror.repository)
    if mirror.is_new:  # cloned again, perhaps: nothing is held in it
        mirror.is_new = False
        hold_bases(repo, mirror.repository)


def lenders(repo: Repository) -> list[Path]:
    """Return the repositories from which ``repo`` borrows."""
    return [objects.parent for objects in repo.lenders]


def lacking(repo: Repository) -> list[str]:
    """Return the commits that builds of ``repo`` stand on and that are neither here nor borrowed."""
    return [id for id in repo.refs(BASE).values() if id not in repo]


def complete(repo: Repository, mirrors: Iterable[Mirror]) -> None:
    """Borrow of ``mirrors`` what a lender that is gone, or lacks objects, should have.

    Raises RepositoryDamaged where they have it neither.
    """
    for mirror in mirrors:
        if not (missing := lacking(repo)):
            return
        if mirror.at_hand and any(id in mirror.repository for id in missing):
            borrow(repo, mirror)
    if missing := lacking(repo):
        raise lost(repo, missing)


def lost(repo: Repository, missing: Sequence[str]) -> RepositoryDamaged:
    """Return the error that commits which ``repo`` borrows are gone."""
    told = [
        str(path) + ("" if (path / "objects").is_dir() else ", which is gone")
        for path in lenders(repo)
    ]
    return RepositoryDamaged(
        f"{len(missing)} commits of upstream are missing on which builds here stand "
        f"({', '.join(missing[:3])}); it borrows objects of {'; '.join(told) or 'nothing'}",
        where=str(repo.path),
        next_step="bring them back there with git fetch, or put the repository back",
    )


@contextmanager
def packed_anew(repo: Repository, cache: Path) -> Iterator[None]:
    """Pack ``repo`` in the block; see that it has then, and the mirrors below ``cache`` keep, what
    its builds need.

    What a mirror lacks is fetched again. Raises RepositoryDamaged where it is nowhere to be had.
    """
    _complete_from(repo, cache)
    for mark in (repo.path / "objects" / "pack").glob("*.keep"):
        if mark.read_bytes() == _KEPT:  # they become one
            mark.unlink()
    yield
    repo.reopen()
    keep(repo, [id for name, id in repo.refs("refs/").items() if not name.startswith(BASE)])
    _complete_from(repo, cache)


def _complete_from(repo: Repository, cache: Path) -> None:
    paths = [path for path in lenders(repo) if path.parent == cache and path.exists()]
    for mirror in [mirror for path in paths if (mirror := Mirror.below(path)).is_ours]:
        for id in lacking(repo):
            mirror.recover(id)
        repo.reopen()
        hold_bases(repo, mirror.repository)
    if missing := lacking(repo):
        raise lost(repo, missing)


def hold_bases(repo: Repository, lender: Repository) -> None:
    """Keep in ``lender`` what ``repo`` borrows. Raises RepositoryUnusable."""
    for base in repo.refs(BASE).values():
        if base in lender:
            lender.hold(base)


def keep(repo: Repository, tips: Iterable[str], known: Iterable[str] = ()) -> set[str]:
    """Have in ``repo`` itself what ``tips`` reach and its bases do not; return the bases.

    ``tips`` are commits and tags; ``known`` are commits for which it was done before. Raises
    RepositoryUnusable.
    """
    if not repo.lenders:
        return set()
    bases, others = _borrowed(repo, tips, known)
    if others:
        packs = repo.path / "objects" / "pack"
        listed = "".join(f"{id}\n" for id in sorted(others)).encode()
        name = _run(repo, "pack-objects", "--quiet", str(packs / "pack"), input=listed)
        with repo.writing():  # else git gc would drop what an alternate has (git-repack(1), -l)
            (packs / f"pack-{name.decode().strip()}.keep").write_bytes(_KEPT)
    repo.move_refs({BASE + id: (None, id) for id in bases if repo.ref(BASE + id) is None})
    return bases


def _borrowed(
    repo: Repository, tips: Iterable[str], known: Iterable[str]
) -> tuple[set[str], set[str]]:
    """Return the borrowed commits on which ``tips`` stand, and what is borrowed above these."""
    own = repo.own_objects()
    bases: set[str] = set()
    others: set[str] = set()
    trees: dict[str, Entries] = {}
    seen, todo = set(known), list(tips)
    while todo:
        id = todo.pop()
        if id in seen:
            continue
        seen.add(id)
        tree, parents = repo.leads_to(id)
        if not tree:  # a tag
            others |= set() if id in own else {id}
        elif id not in own:
            bases.add(id)
            continue
        else:
            before = repo.leads_to(parents[0])[0] if parents else None
            others.update(new for new in repo.new_objects(before, tree, trees) if new not in own)
            if len(trees) > _TREES:
                trees.clear()
        todo += parents
    return bases, others


def dissociate(repo: Repository) -> None:
    """Copy all that is borrowed, and borrow no more (as ``git clone --dissociate``).

    Raises RepositoryUnusable.
    """
    if repo.lenders:
        _run(repo, "repack", "-a", "-d", "--quiet")
        with repo.writing():
            (repo.path / "objects" / "info" / "alternates").unlink()
        repo.reopen()


def _copy(repo: Repository, other: Repository, commit: str) -> None:
    dissociate(repo)
    if commit in repo:
        return
    serve = "git -c safe.directory=* -c uploadpack.allowAnySHA1InWant=true upload-pack"
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow")
    where = str(other.path.resolve())
    try:
        repo.git.run(
            *("fetch", *options, f"--upload-pack={serve}", where, f"{commit}:{BASE}{commit}")
        )
    except GitFailed as error:
        said = _MISSING.search(error.stderr.decode("utf-8", "replace"))
        raise RepositoryUnusable(
            f"it cannot be copied: {said[1].strip() if said else error.message}",
            where=where,
            next_step="complete it with git fetch there, or leave out --standalone: what no patch "
            "touches is not read then",
        ) from error
    repo.reopen()


def _run(repo: Repository, *args: str, input: bytes = b"") -> bytes:
    try:
        return repo.git.run(*args, input=input).stdout
    except GitFailed as error:
        lenders = ", ".join(map(str, repo.lenders))
        raise RepositoryUnusable(
            f"git {args[0]}: {error.message}",
            where=str(repo.path),
            next_step=f"run git fsck there, and where it borrows objects ({lenders or 'nowhere'})",
        ) from error


def _share_shallow(repo: Repository, other: Repository) -> None:
    """Let history end in ``repo`` where it does in ``other``, a shallow clone.

    gitrepository-layout(5), shallow: commits whose parents are not there.
    """
    here = repo.path / "shallow"
    ends = _lines(here) | _lines(other.path / "shallow")
    if not ends:
        return
    known = (id.decode() for id in ends if id.decode() in repo)
    cut = sorted(id for id in known if any(parent not in repo for parent in repo.leads_to(id)[1]))
    with repo.writing():
        if cut:
            beside = here.with_name(f"shallow.{os.getpid()}")
            beside.write_text("".join(f"{id}\n" for id in cut))
            os.replace(beside, here)
        else:
            here.unlink(missing_ok=True)
    repo.reopen()


def _lines(path: Path) -> set[bytes]:
    return set(path.read_bytes().splitlines()) if path.exists() else set()
