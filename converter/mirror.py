"""Other people's repositories: a path is read in place, a URL through a mirror of our own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from converter.errors import (
    RemoteUnavailable,
    RepositoryDamaged,
    RepositoryUnusable,
    WrongUsage,
)
from converter.git import GitFailed
from converter.lock import locked
from converter.odb import LENT, Repository

_URL = re.compile(r"(?:https?|ssh|git|file)://[^\s]+|[A-Za-z0-9._-]+@[A-Za-z0-9._-]+:[^\s:][^\s]*")


def is_url(location: str) -> bool:
    """Tell a URL from a path. Raises WrongUsage for a form that git would run a program for.

    ``ext::``, ``fd::`` and other remote helpers (gitremote-helpers(7)), and options in disguise.
    """
    url = _URL.fullmatch(location) is not None
    unknown = "://" in location and not url
    if location.startswith("-") or "::" in location or "\0" in location or unknown:
        raise WrongUsage(
            f"not a repository: {location!r}",
            next_step="give a path or an https, http, ssh or git URL",
        )
    return url


def redacted(words: str) -> str:
    """Return ``words`` without the secret of each URL in them (RFC 3986, 3.2.1).

    A user's password, or the token that takes a user's place in an http address. Better keep it
    out of the URL: with a credential helper, or a key in GIT_SSH_COMMAND.
    """
    words = re.sub(r"(\w://[^/@:\s]*):[^/\s]*@", r"\1:***@", words)
    return re.sub(r"(https?://)[^/@:\s]+@", r"\1***@", words)


# Each conversion asks which branches hold a commit, and who introduced each patch: walks over all of
# history, of which the commit-graph saves most (git-config(1)).
_FETCH = ("-c", "fetch.writeCommitGraph=true", "fetch", "--quiet")
# All that upstream has, but refs/srcgit/ is ours: what converted trees stand on is kept there, so
# neither a prune nor git gc takes it (git-fetch(1), "negative refspecs").
_OURS = "^refs/srcgit/*"
_REFS = ("+refs/*:refs/*", _OURS)
_SHALLOW = b"shallow roots are not allowed to be updated"  # fetch-pack.c: the remote is shallow
_FIXED = re.compile(r"[0-9a-f]{6,40}|refs/tags/.*")


class Mirror:
    """A repository to read from, by path or by URL; a URL is fetched only when something lacks."""

    def __init__(self, location: str, cache: Path, *, known_as: str | None = None) -> None:
        """Name a repository; it is opened, or cloned below ``cache``, when first used.

        ``known_as`` is the public address of what lies at a path: ids that record the address
        must not depend on where a host keeps its copy. ``location`` is shown and recorded, so it
        has no secret of an address. Raises WrongUsage for an address that git would run a program for.
        """
        self._remote = is_url(location)
        self._address = location
        self.location = redacted(location) if self._remote else known_as or location
        self._path = (
            cache / (quote(location, safe="@+=,.-") + ".git")
            if self._remote
            else Path(location).expanduser()
        )
        self._fetched = False
        self.is_new = False  # cloned by this object
        self._opened: Repository | None = None

    @classmethod
    def of(cls, location: str, repository: Repository) -> Mirror:
        """Give ``repository``, made here, the name ``location`` by which people know its content."""
        made = cls(str(repository.path), repository.path)
        made.location, made._opened = location, repository
        return made

    @classmethod
    def below(cls, path: Path) -> Mirror:
        """Return the mirror that was made at ``path``, by its name. Raises WrongUsage."""
        return cls(unquote(path.name.removesuffix(".git")), path.parent)

    @property
    def repository(self) -> Repository:
        """The repository. Raises RepositoryUnusable for a bad path, RemoteUnavailable for a URL."""
        if self._opened is None:
            if self._remote and not self._path.exists():
                self._clone()
            self._opened = Repository(self._path)
        return self._opened

    def commit_id(self, rev: str) -> str | None:
        """Return the commit that ``rev`` names, after a fetch where it was not known before.

        A branch may have moved since the last fetch; a commit id or a tag has not. Raises as
        ``repository`` does.
        """
        found = self.repository.commit_id(rev) if _FIXED.fullmatch(rev) else None
        if found is None and self._remote and not self._fetched:
            self.fetch()
        return found or self.repository.commit_id(rev)

    @property
    def at_hand(self) -> bool:
        """Whether it can be read without a network."""
        return not self._remote or self._path.exists()

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        return self._path

    @property
    def is_ours(self) -> bool:
        """Whether srcgit made it and may write to it; a path is a person's repository."""
        return self._remote

    def fetch(self) -> bool:
        """Bring the mirror up to date; tell whether it was asked for. A path is left as it is.

        Raises RemoteUnavailable, RepositoryUnusable.
        """
        if not self._remote:
            return False
        repository = self.repository
        if self._fetched:  # cloned just now
            return False
        with locked(self._path.with_suffix(".lock")):
            _configure(repository, self._address)
            self._talk(repository, *_FETCH, "--prune", "origin", *_REFS)
        self._fetched = True
        self._opened = None  # libgit2 looks for new packs when it opens
        return True

    def _clone(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RepositoryUnusable(
                f"cannot keep a mirror: {error.strerror}",
                where=str(self._path.parent),
                next_step="make the cache directory writable",
            ) from None
        with locked(self._path.with_suffix(".lock")):
            if self._path.exists():  # another process was quicker
                return
            os.replace(self._cloned().path, self._path)
        self._fetched = True
        self.is_new = True

    def _cloned(self) -> Repository:
        """Clone it beside its place."""
        beside = self._path.with_suffix(".new")
        shutil.rmtree(beside, ignore_errors=True)
        repository = Repository.create(beside)
        _configure(repository, self._address)
        self._talk(repository, *_FETCH, "origin", *_REFS)
        return repository

    def renew(self, lent: Iterable[str] = ()) -> None:
        """Clone a damaged mirror again and move the old one aside, to NAME.git.damaged.

        ``lent`` and what the old one keeps for trees that borrow is kept in the new one. Raises
        RemoteUnavailable, and RepositoryDamaged where some of that is nowhere to be had: then the
        old one stays.
        """
        with locked(self._path.with_suffix(".lock")):
            wanted = {*lent, *_lent(self._path)}
            fresh = self._cloned()
            lacking = [id for id in sorted(wanted) if not self._kept(fresh, id)]
            if lacking:
                shutil.rmtree(fresh.path, ignore_errors=True)
                raise RepositoryDamaged(
                    f"the mirror is damaged, and upstream has no more what is borrowed from it: "
                    f"{', '.join(lacking)}",
                    where=str(self._path),
                    next_step="restore it from a copy, or mend what git fsck finds there",
                )
            aside = self._path.with_suffix(".git.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(self._path, aside)
            os.replace(fresh.path, self._path)
        self._fetched = self.is_new = True
        self._opened = None

    def recover(self, commit: str) -> bool:
        """Fetch ``commit``, which upstream may have on no branch any more, and keep it."""
        return self._kept(self.repository, commit)

    def _kept(self, fresh: Repository, commit: str) -> bool:
        """Have ``commit`` kept in ``fresh``: from upstream, else from what is at our place."""
        for place in (None, "origin", str(self._path.resolve())):
            if place is not None:
                with contextlib.suppress(GitFailed, RepositoryUnusable):
                    fresh.git.run(*_FETCH, place, commit, network=True)
                    fresh.reopen()
            if commit in fresh:
                fresh.hold(commit)
                return True
        return False

    def _talk(self, repository: Repository, *args: str) -> None:
        try:
            done = repository.git.run(*args, network=True)
        except GitFailed as error:
            raise RemoteUnavailable(
                redacted(error.message),
                where=self.location,
                next_step="check the address and the network, then run it again",
            ) from error
        if _SHALLOW in done.stderr:
            raise RemoteUnavailable(
                "it is a shallow clone: its commits lack their history",
                where=self.location,
                next_step="run git fetch --unshallow there, or name another repository",
            )


def _lent(damaged: Path) -> Iterator[str]:
    """Yield what a mirror keeps, without git, which may read nothing there."""
    with contextlib.suppress(OSError):
        packed = (damaged / "packed-refs").read_bytes()
        yield from (id.decode() for id in re.findall(rb"refs/srcgit/lent/([0-9a-f]{40})\n", packed))
    with contextlib.suppress(OSError):
        names = os.listdir(damaged / LENT)
        yield from (name for name in names if re.fullmatch(r"[0-9a-f]{40}", name))


def _configure(repository: Repository, address: str) -> None:
    """Say where it is fetched from; a fetch that a person runs there leaves refs/srcgit/ alone."""
    told = repository.git.run("config", "--local", "--get-regexp", r"^remote\.origin\.", ok=(0, 1))
    have = told.stdout.decode("utf-8", "replace").splitlines()
    if f"remote.origin.url {address}" not in have:
        repository.git.run("config", "--local", "--replace-all", "remote.origin.url", address)
    for refs in _REFS if f"remote.origin.fetch {_OURS}" not in have else ():
        keys = ("--replace-all", "remote.origin.fetch", refs, f"^{re.escape(refs)}$")
        repository.git.run("config", "--local", *keys)
