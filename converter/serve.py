"""Serving: what a published bare repository needs so that others clone it cheaply.

All of it is git's own; the work is to choose, and to do it again from a timer without harm: a
second run changes nothing. Pushes and clones go on meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converter.borrowing import packed_anew
from converter.damage import damaged, look
from converter.errors import CannotWork, TryAgain
from converter.git import GitFailed, lines
from converter.odb import Repository

# git-config(1), unless another page is named.
SETTINGS: Mapping[str, str] = {
    "uploadpack.allowFilter": "true",  # --filter=blob:none
    "uploadpack.allowReachableSHA1InWant": "true",  # one build by its commit id
    "transfer.hideRefs": "refs/srcgit",  # our own notes: nobody's clone needs them
    "receive.denyNonFastForwards": "false",  # it beats a lease, and the branch is made anew
    "receive.autogc": "false",  # a push must not wait for a repack: upkeep has its own time
    "gc.auto": "0",
    "gc.pruneExpire": "2.weeks.ago",  # objects of a push under way; tags keep their series
    "gc.writeCommitGraph": "false",  # written below, with changed paths
    "core.logAllRefUpdates": "true",  # where a branch was, should somebody ask
}


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What one run of upkeep left behind."""

    repository: str
    head: str | None  # the ref that HEAD names; None while there is no branch
    borrows: bool  # objects of upstream are read through alternates
    bitmap: bool
    bundle: str | None  # its path
    bundle_bytes: int
    bundle_written: bool  # False: what it holds is what the repository has

    def as_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


def maintain(path: Path, bundles: Path | None = None, cache: Path | None = None) -> Upkeep:
    """Set up the published repository ``path``, pack it, and refresh its bundle in ``bundles``.

    The bundle is ``NAME.bundle`` for ``NAME.git``, for people to begin a clone with. Mirrors below
    ``cache`` are made to keep what it borrows. Raises RepositoryUnusable (RepositoryDamaged where
    what it borrows is gone), TryAgain (another upkeep is at work), CannotWork (disk full, read-only).
    """
    repo = Repository(path)
    if found := look(path):
        raise damaged(found[0])
    try:
        _configure(repo, {**SETTINGS, **(_advertised(repo.path) if bundles else {})})
        head = _point_head(repo)
        borrows = _pack(repo, cache)
        # commit-graph: walks and --filter by path without opening trees (git-commit-graph(1)).
        repo.git.run("commit-graph", "write", "--reachable", "--changed-paths", "--no-progress")
        bundle, written = _bundle(repo, bundles) if bundles and head else (None, False)
    except GitFailed as error:
        if "gc is already running" in error.message:
            raise TryAgain(error.message, where=str(path), next_step="wait for its end") from error
        raise CannotWork(
            error.message,
            where=str(path),
            next_step="look at its disk and permissions; git fsck there tells of objects that it, "
            "or an upstream that it borrows from, lacks",
        ) from error
    except OSError as error:
        raise CannotWork(
            error.strerror or str(error),
            where=str(error.filename or path),
            next_step="make room, or make it writable; then run it again",
        ) from error
    return Upkeep(
        str(repo.path),
        head,
        borrows,
        any((repo.path / "objects" / "pack").glob("*.bitmap")),
        str(bundle) if bundle else None,
        bundle.stat().st_size if bundle else 0,
        written,
    )


def _configure(repo: Repository, settings: Mapping[str, str]) -> None:
    """Write the settings that differ: a reader never meets a file that is rewritten for nothing."""
    told = repo.git.run("config", "--local", "--list", "--null").stdout.decode()
    have = dict(entry.split("\n", 1) for entry in told.split("\0") if "\n" in entry)
    for key, value in settings.items():
        # Keys are listed in lower case but for a subsection (git-config(1), "Syntax").
        section, *middle, name = key.split(".")
        if have.get(".".join([section.lower(), *middle, name.lower()])) != value:
            repo.git.run("config", "--local", "--replace-all", key, value)


def _advertised(path: Path) -> dict[str, str]:
    """Return the settings by which git 2.40 and newer tells clients of the bundle.

    A relative address is taken from the repository's (bundle-uri in gitprotocol-v2(5)).
    """
    return {
        "uploadpack.advertiseBundleURIs": "true",
        "bundle.version": "1",
        "bundle.mode": "all",
        "bundle.whole.uri": f"../{_bundle_name(path)}",
    }


def _bundle_name(path: Path) -> str:
    return f"{path.resolve().name.removesuffix('.git')}.bundle"


def _point_head(repo: Repository) -> str | None:
    """Let HEAD name a branch that exists: rawhide, else the newest Fedora's; return its ref.

    A clone of a repository whose HEAD names nothing checks nothing out.
    """
    names = repo.git.run("for-each-ref", "--sort=-version:refname", "--format=%(refname)", "refs/")
    heads = [ref for ref in lines(names.stdout) if ref.startswith("refs/heads/")]
    apart = ("refs/heads/builds/", "refs/heads/srcgit/")
    branches = [ref for ref in heads if not ref.startswith(apart)]
    if not branches:
        return None
    head = "refs/heads/rawhide" if "refs/heads/rawhide" in branches else branches[0]
    if repo.git.run("symbolic-ref", "--quiet", "HEAD", ok=(0, 1)).stdout.decode().strip() != head:
        repo.git.run("symbolic-ref", "HEAD", head)
    return head


def _pack(repo: Repository, cache: Path | None) -> bool:
    """Put all objects into one pack; return whether the repository borrows others.

    A bitmap needs every reachable object in one pack, so there is none where upstream's objects
    are borrowed (git-repack(1), -b and -l): the borrowed repository's own bitmap serves then.
    """
    borrows = bool(repo.lenders)
    _configure(repo, {"repack.writeBitmaps": "false" if borrows else "true"})
    with packed_anew(repo, cache or repo.path) if borrows else nullcontext():
        repo.git.run("gc", "--quiet")
    return borrows


def _bundle(repo: Repository, directory: Path) -> tuple[Path, bool]:
    """Write branches and tags with all their objects as one file, unless it has them already."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / _bundle_name(repo.path)
    refs = {
        name: id for top in ("refs/heads/", "refs/tags/") for name, id in repo.refs(top).items()
    }
    if path.exists():
        told = repo.git.run("bundle", "list-heads", str(path), ok=(0, 1, 128)).stdout
        if {name: id for id, _, name in (line.partition(" ") for line in lines(told))} == refs:
            return path, False
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    repo.git.run("bundle", "create", "--quiet", str(beside.resolve()), "--branches", "--tags")
    os.replace(beside, path)  # who is reading the old one reads it to its end
    return path, True
