"""Other people's repositories: a path is read in place, a URL through a mirror of our own."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from urllib.parse import quote

from converter.errors import RemoteUnavailable, RepositoryUnusable, WrongUsage
from converter.git import GitFailed
from converter.lock import locked
from converter.odb import Repository

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
            _protect(repository)
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
            beside = self._path.with_suffix(".new")
            shutil.rmtree(beside, ignore_errors=True)
            repository = Repository.create(beside)
            repository.git.run("remote", "add", "--mirror=fetch", "origin", self._address)
            _protect(repository)
            self._talk(repository, *_FETCH, "origin", *_REFS)
            os.replace(beside, self._path)
        self._fetched = True
        self.is_new = True

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


def _protect(repository: Repository) -> None:
    """Have a fetch that a person runs in a mirror leave refs/srcgit/ alone, too."""
    key = "remote.origin.fetch"
    told = repository.git.run("config", "--local", "--get-all", key, ok=(0, 1)).stdout
    if _OURS not in told.decode().split("\n"):
        repository.git.run("config", "--local", "--add", key, _OURS)
