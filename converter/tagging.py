"""A converted build gets its tag and moves its branches in one repository, all together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from converter import borrowing
from converter.build import Build
from converter.errors import CannotConvert
from converter.odb import BASE, Repository
from converter.publish import merge, newest


def adopt(
    repo: Repository,
    build: Build,
    commit: str,
    base: str,
    tag: bytes,
    sign: Callable[[bytes], bytes] | None = None,
) -> str:
    """Write the tag object ``tag``, signed, of a build that was converted elsewhere; move the refs.

    Returns the tag's id: of the one that is there, if the build has its tag already. Raises
    CannotConvert where that is of another commit, CannotSign, TryAgain.
    """
    there = repo.ref(build.tag_ref)
    if there is not None:
        if repo.commit_id(there) != commit:
            raise CannotConvert(
                f"the tag {build.tag} exists and is of another commit",
                where=str(repo.path),
                next_step="find out which is right; srcgit never moves a tag",
            )
        return there
    id = repo.write_tag_object(sign(tag) if sign else tag)
    move(repo, moves(repo, build, base, commit, id))
    repo.point_head(build.branch_ref)
    return id


def move(repo: Repository, moves: Mapping[str, tuple[str | None, str | None]]) -> None:
    """Move refs; before, see that what they reach is here to stay."""
    tips = [new for _, new in moves.values() if new]
    known = [old for old, _ in moves.values() if old] if repo.refs(BASE) else []
    borrowing.keep(repo, tips, known)
    repo.move_refs(moves)


def moves(
    repo: Repository, build: Build, base: str, commit: str, tag: str
) -> dict[str, tuple[str | None, str | None]]:
    """Return the moves of refs that publish the build in ``repo`` (name -> (old, new)).

    The branch and its ``builds/`` twin move only to a higher EVR, in whatever order builds come.
    """
    moves: dict[str, tuple[str | None, str | None]] = {build.tag_ref: (None, tag)}
    failed = repo.ref(build.failed_ref)
    if failed is not None:
        moves[build.failed_ref] = (failed, None)
    old = repo.ref(build.branch_ref)
    if newest(repo, build.branch, old, str(repo.path), build.nvr.name) < build.evr:
        builds = repo.ref(build.builds_ref)
        moves[build.branch_ref] = (old, commit)
        moves[build.builds_ref] = (builds, merge(repo, build.nvr, commit, builds or base))
    return moves
