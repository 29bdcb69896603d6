"""Publishing: one atomic push of branch, ``builds/`` branch and tag, with a lease on each ref.

What is published decides where the branches go, not what this repository last thought: the remote
is asked, its tip is read, and the push says what it expects to replace. So any number of hosts may
publish to one remote, in any order, and a push that is repeated changes nothing.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from converter.build import SERIES_JSON, Build, Evr, Nvr
from converter.clock import Progress
from converter.errors import (
    CannotConvert,
    Fate,
    LeaseLost,
    RemoteUnavailable,
    RepositoryUnusable,
    SrcgitError,
    WrongUsage,
)
from converter.git import Done, GitFailed, lines
from converter.mirror import is_url, redacted
from converter.odb import Repository

TIMEOUT = 1800.0  # seconds for one push or fetch
ATTEMPTS = 3  # when somebody else's push comes between our look and ours
PAUSE = 0.3  # seconds, growing, for that push to let go of its locks

RefState = Literal["new", "moved", "same", "kept"]


class PublishedOtherwise(CannotConvert):
    """The remote has another tag under this NVR; a published tag is never moved."""


class PushRefused(RemoteUnavailable):
    """The remote answered and refused: a hook, no permission, no room."""


class RefLocked(PushRefused):
    """A ref is held there: by a push at this moment, or by one that died."""


@dataclass(frozen=True, slots=True)
class Push:
    """One line of ``git push --porcelain``: what became of a ref."""

    flag: str  # " " moved, "+" forced, "*" new, "=" the same, "-" deleted, "!" rejected
    ref: str
    summary: str  # e.g. "[remote rejected] (pre-receive hook declined)"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one remote has now: for each ref its id there, and whether this push changed it."""

    url: str
    refs: Mapping[str, tuple[RefState, str]]

    def as_json(self) -> dict[str, Any]:
        """Return an entry of the contract's ``pushed``."""
        refs = {name: {"state": state, "id": id} for name, (state, id) in self.refs.items()}
        return {"url": redacted(self.url), "refs": refs}


def publish(repo: Repository, build: Build, commit: str, tag: str, base: str, url: str) -> Receipt:
    """Push a build that is in ``repo`` to ``url``: its tag, and its branches if it is the newest.

    ``commit`` is the top commit, ``tag`` the tag object, ``base`` the upstream commit (on which
    a ``builds/`` branch starts). Raises RemoteUnavailable, LeaseLost, PublishedOtherwise,
    and WrongUsage where a branch of that name is somebody else's.
    """
    for attempt in range(1, ATTEMPTS + 1):
        there = look(repo, url, build)
        try:
            wanted = _wanted(repo, build, commit, tag, base, url, there)
            changed = {ref: id for ref, id in wanted.items() if there.get(ref) != id}
            if changed:
                _push(repo, url, {ref: (there.get(ref), id) for ref, id in changed.items()})
                if not is_url(url):  # elsewhere it is left to that repository's upkeep
                    with suppress(RepositoryUnusable):
                        Repository(Path(url)).point_head(build.branch_ref)
            break
        except (LeaseLost, RefLocked):
            if attempt == ATTEMPTS:
                raise
            time.sleep(PAUSE * attempt)
    return Receipt(url, {ref: _state(ref, there, wanted) for ref in {**there, **wanted}})


def publish_all(
    repo: Repository,
    build: Build,
    commit: str,
    tag: str,
    base: str,
    urls: Sequence[str],
    progress: Progress = lambda stage: None,
) -> list[Receipt]:
    """Push a build to each of ``urls``; one that fails does not keep it from the others.

    Raises the first failure after all were tried, one that may pass before one that will not: the
    next attempt finds the others done. WrongUsage for an address for which git would run a program.
    """
    for url in urls:
        is_url(url)
    receipts, failures = [], []
    for url in urls:
        progress(f"pushing to {redacted(url)}")
        try:
            receipts.append(publish(repo, build, commit, tag, base, url))
        except SrcgitError as error:
            failures.append(error)
    if failures:
        raise next((error for error in failures if error.fate is Fate.LATER), failures[0])
    return receipts


def catch_up(repo: Repository, url: str) -> None:
    """Fetch the tags that ``url`` has and ``repo`` lacks: what other hosts have converted.

    ``repo`` has to borrow upstream's objects already, or all of upstream comes along. Raises
    RemoteUnavailable.
    """
    tags = "refs/tags/*:refs/tags/*"
    # Exit status 1: a tag of ours differs, which is judged when that build is published.
    _talk(repo, url, "fetch", "--quiet", "--no-write-fetch-head", url, tags, ok=(0, 1))


def _state(ref: str, there: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[RefState, str]:
    if ref not in wanted:
        return "kept", there[ref]
    if ref not in there:
        return "new", wanted[ref]
    return ("same" if there[ref] == wanted[ref] else "moved"), wanted[ref]


def look(repo: Repository, url: str, build: Build) -> dict[str, str]:
    """Return ref -> id of the build's three refs as the remote has them now.

    Raises RemoteUnavailable.
    """
    refs = (build.branch_ref, build.builds_ref, build.tag_ref)
    told = _talk(repo, url, "ls-remote", url, *refs).stdout
    pairs = (line.split("\t", 1) for line in lines(told))
    return {name: id for id, name in pairs if name in refs}


def _wanted(
    repo: Repository,
    build: Build,
    commit: str,
    tag: str,
    base: str,
    url: str,
    there: Mapping[str, str],
) -> dict[str, str]:
    """Return what the refs should be: the branches move only to a higher version."""
    tagged = there.get(build.tag_ref)
    if tagged not in (None, tag):
        raise PublishedOtherwise(
            f"the tag {build.tag} is published with other content ({tagged}, here {tag})",
            where=redacted(url),
            next_step="find out which srcgit made it; a published tag is never moved",
        )
    wanted = {build.tag_ref: tag}
    tip, builds = there.get(build.branch_ref), there.get(build.builds_ref)
    _fetch(repo, url, {r: id for r, id in there.items() if r != build.tag_ref})
    if tip != commit and not newest(repo, build.branch, tip, redacted(url)) < build.evr:
        return wanted
    wanted[build.branch_ref] = commit
    if builds is None or commit not in repo.commit(builds).parents[1:]:
        builds = merge(repo, build, commit, builds or base)
    wanted[build.builds_ref] = builds
    return wanted


def merge(repo: Repository, build: Build, commit: str, previous: str) -> str:
    """Write the commit that joins a build to its ``builds/`` branch; return its id.

    It has the build's tree and dates; first parent the previous build, second parent the series.
    """
    top = repo.commit(commit)
    tagger = replace(top.committer, date=top.author.date)
    return repo.write_commit(
        top.tree, [previous, commit], top.author, tagger, f"{build.nvr}\n".encode()
    )


def newest(repo: Repository, branch: str, tip: str | None, where: str) -> Evr:
    """Return the EVR of the build at ``tip``, the end of ``branch``; the lowest for None.

    Raises WrongUsage where that is no build: the branch is somebody else's.
    """
    if tip is None:
        return Evr(-1, "", "")
    file = repo.tree(tip).get(SERIES_JSON)
    try:
        record = json.loads(file.data if file else b"")
        nvr = Nvr.parse(record["nvr"])
        return Evr(record["epoch"] or 0, nvr.version, nvr.release)
    except (ValueError, KeyError, TypeError, WrongUsage):
        raise WrongUsage(
            f"the branch {branch} exists there and is not srcgit's ({tip})",
            where=where,
            next_step="choose another repository or --branch, or rename that one; it is never overwritten",
        ) from None


def _fetch(repo: Repository, url: str, tips: Mapping[str, str]) -> None:
    """Have the objects of the remote's branches here; refs of our own keep them from git gc."""
    lacking = [ref for ref, id in tips.items() if repo.commit_id(id) is None]
    if not lacking:
        return
    specs = [f"+{ref}:refs/srcgit/published/{ref.removeprefix('refs/')}" for ref in lacking]
    _talk(repo, url, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", url, *specs)
    if any(repo.commit_id(tips[ref]) is None for ref in lacking):
        raise LeaseLost(
            "a branch moved while it was read", where=redacted(url), next_step="run it again"
        )


def _push(repo: Repository, url: str, moves: Mapping[str, tuple[str | None, str]]) -> None:
    """Push all of ``moves`` (ref -> (old, new)) or none. Raises LeaseLost, RemoteUnavailable.

    git-push(1): a lease that expects nothing is written as an empty value.
    """
    leases = [f"--force-with-lease={ref}:{old or ''}" for ref, (old, _) in moves.items()]
    specs = [f"{new}:{ref}" for ref, (_, new) in moves.items()]
    done = _talk(repo, url, "push", "--porcelain", "--atomic", *leases, url, *specs, ok=(0, 1))
    if done.status != 0:  # of any ref (git's transport.c, push_had_errors)
        said = done.stderr.decode("utf-8", "replace").strip()
        raise _refusal(parse_porcelain(done.stdout), said, url)


def parse_porcelain(told: bytes) -> list[Push]:
    """Read git's ``--porcelain`` (git-push(1), OUTPUT): flag, TAB, from:to, TAB, summary."""
    pushes = []
    for line in told.decode("utf-8", "replace").splitlines():
        fields = line.split("\t")
        if len(fields) == 3 and len(fields[0]) == 1:
            pushes.append(Push(fields[0], fields[1].rpartition(":")[2], fields[2]))
    return pushes


def _refusal(pushes: list[Push], said: str, url: str) -> SrcgitError:
    """Return the error that a push's porcelain and what the remote ``said`` stand for.

    A server that cannot lock a ref tells why on standard error only, each ref then being a victim
    of the "atomic transaction failed" (git's builtin/receive-pack.c, refs/files-backend.c).
    """
    refused = [push for push in pushes if push.flag == "!"]
    reasons = [push for push in refused if "atomic" not in push.summary] or refused
    words = [line.removeprefix("remote:").strip() for line in redacted(said).splitlines()]
    words = [line for line in words if line and not line.startswith("error: failed to push")]
    told = "; ".join([*(f"{push.ref}: {push.summary}" for push in reasons[:1]), *words])
    if re.search(r"stale info|is at [0-9a-f]+ but expected|reference already exists", told):
        return LeaseLost(
            f"somebody else published at the same time: {told}",
            where=redacted(url),
            next_step="run the same again: it looks at what is there now",
        )
    if re.search(r"cannot lock ref|Unable to create .*\.lock", told):
        return RefLocked(
            f"a ref is locked there: {told}",
            where=redacted(url),
            next_step="if no push is running there, one has died: remove its .lock file, "
            "with `srcgit repair REPOSITORY` there",
        )
    return PushRefused(
        f"the remote refused: {told}",
        where=redacted(url),
        next_step="see its hooks, permissions and disk",
    )


def _talk(repo: Repository, url: str, *args: str, ok: tuple[int, ...] = (0,)) -> Done:
    """Run git with the remote. Raises RemoteUnavailable for any exit status that is not ``ok``."""
    try:
        return repo.git.run(*args, ok=ok, network=True, timeout=TIMEOUT)
    except (GitFailed, TimeoutError) as error:
        raise RemoteUnavailable(
            redacted(str(getattr(error, "message", error))),
            where=redacted(url),
            next_step="check the address and the network, then run it again",
        ) from error
