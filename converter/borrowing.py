"""What a converted tree borrows of upstream's objects: kept, and looked after.

A tree borrows what those commits of upstream reach on which its builds stand, and nothing else: git
writes no object that an alternate has (a backported patch makes the file that upstream's newest
commit has), and what upstream's branches hold today may be gone tomorrow. The tree names these
commits in refs/srcgit/base/; a mirror of ours keeps them in refs/srcgit/lent/.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from converter.errors import RepositoryUnusable
from converter.git import GitFailed
from converter.mirror import Mirror
from converter.odb import BASE, Repository


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


def hold_bases(repo: Repository, lender: Repository) -> list[str]:
    """Keep in ``lender`` what ``repo`` borrows; return the commits that no lender has.

    Raises RepositoryUnusable.
    """
    bases = repo.refs(BASE).values()
    for base in bases:
        if base in lender:
            lender.hold(base)
    return [base for base in bases if base not in repo]


def keep(repo: Repository, tips: Iterable[str], known: Iterable[str] = ()) -> set[str]:
    """Have in ``repo`` itself what ``tips`` reach and its bases do not; return the bases.

    ``tips`` are commits and tags; ``known`` are commits for which it was done before. Raises
    RepositoryUnusable.
    """
    if not repo.lenders:
        return set()
    bases, others = _borrowed(repo, tips, known)
    if others:
        pack = str(repo.path / "objects" / "pack" / "pack")
        listed = "".join(f"{id}\n" for id in sorted(others))
        _run(repo, "pack-objects", "--quiet", pack, input=listed.encode())
    repo.move_refs({BASE + id: (None, id) for id in bases if repo.ref(BASE + id) is None})
    return bases


def _borrowed(
    repo: Repository, tips: Iterable[str], known: Iterable[str]
) -> tuple[set[str], set[str]]:
    """Return the borrowed commits on which ``tips`` stand, and what is borrowed above these."""
    own = repo.own_objects()
    bases: set[str] = set()
    others: set[str] = set()
    seen, todo = set(known), list(tips)
    while todo:
        id = todo.pop()
        if id in seen:
            continue
        seen.add(id)
        if commit := repo.tagged(id):
            others |= set() if id in own else {id}
            todo.append(commit)
        elif id not in own:
            bases.add(id)
        else:
            parents = repo.parents(id)
            before = repo.commit(parents[0]).tree if parents else None
            changed = repo.new_objects(before, repo.commit(id).tree)
            others.update(new for new in changed if new not in own)
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
    _run(repo, "fetch", *options, f"--upload-pack={serve}", where, f"{commit}:{BASE}{commit}")
    repo.reopen()


def _run(repo: Repository, *args: str, input: bytes = b"") -> None:
    try:
        repo.git.run(*args, input=input)
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
    cut = sorted(id for id in known if any(parent not in repo for parent in repo.parents(id)))
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
