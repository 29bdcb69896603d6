"""Publishing: one atomic push of branch, ``builds/`` branch and tag, with a lease on each ref.

What is published decides where the branches go, not what this repository last thought: the remote
is asked, its tip is read, and the push says what it expects to replace. So any number of hosts may
publish to one remote, in any order, and a push that is repeated changes nothing. What somebody else
has put there is told apart first (remote.py), and never built upon.
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
from urllib.parse import unquote

from converter.build import SERIES_JSON, Build, Evr, Nvr
from converter.clock import Progress
from converter.errors import (
    CannotConvert,
    Fate,
    LeaseLost,
    RemoteUnavailable,
    RepositoryUnusable,
    SrcgitError,
    TryAgain,
    WrongUsage,
)
from converter.mirror import is_url, redacted
from converter.odb import Repository
from converter.remote import (
    NOBODY,
    TAGS,
    Judge,
    Record,
    Remote,
    Trust,
    another_packages,
    compare,
    not_srcgits,
    nvr_of,
    read,
    talk,
)

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


def publish(
    repo: Repository,
    build: Build,
    commit: str,
    tag: str,
    base: str,
    url: str,
    trust: Trust = NOBODY,
) -> Receipt:
    """Push a build that is in ``repo`` to ``url``: its tag, and its branches if it is the newest.

    ``commit`` is the top commit, ``tag`` the tag object, ``base`` the upstream commit (on which
    a ``builds/`` branch starts), ``trust`` says whom to believe. Raises RemoteUnavailable,
    LeaseLost, PublishedOtherwise, RemoteChanged, and WrongUsage where a branch of that name is
    somebody else's.
    """
    for attempt in range(1, ATTEMPTS + 1):
        remote = read(repo, url)
        record = Record(repo, url)
        try:
            wanted = _wanted(repo, build, commit, tag, base, remote, record, trust)
            there = {r: id for r, id in remote.refs.items() if r in _refs(build) or r in wanted}
            changed = {ref: id for ref, id in wanted.items() if there.get(ref) != id}
            if changed:
                _push(repo, url, {ref: (there.get(ref), id) for ref, id in changed.items()})
                if not is_url(url) or url.startswith("file:///"):  # else it is left to its upkeep
                    with suppress(RepositoryUnusable):
                        place = Path(unquote(url.removeprefix("file://")) if is_url(url) else url)
                        Repository(place).point_head(build.branch_ref)
            record.note(wanted)
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
    trust: Trust = NOBODY,
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
            receipts.append(publish(repo, build, commit, tag, base, url, trust))
        except SrcgitError as error:
            failures.append(error)
    if failures:
        raise next((error for error in failures if error.fate is Fate.LATER), failures[0])
    return receipts


def catch_up(repo: Repository, url: str, package: str, trust: Trust) -> list[str]:
    """Take over the signed tags of ``package`` that ``url`` has and ``repo`` lacks.

    Those are what other hosts have converted. Without ``trust.signers`` there is no telling, and
    nothing is taken. Returns the names of those that are not signed by ours. ``repo`` has to
    borrow upstream's objects already, or all of upstream comes along. Raises RemoteUnavailable,
    LeaseLost.
    """
    if trust.signers is None:
        return []
    remote, record = read(repo, url), Record(repo, url)
    ours = repo.refs(TAGS)
    new = [
        ref
        for ref in remote.peeled
        if ref not in ours and (nvr := nvr_of(ref)) and nvr.name == package
    ]
    judge = Judge(repo, remote, record, trust)
    judge.fetch(new)
    believed = {ref: remote.refs[ref] for ref in new if judge.signed(ref)}
    with suppress(TryAgain):  # another worker of this host was quicker
        repo.move_refs({ref: (None, id) for ref, id in believed.items()})
    record.note(believed)
    return [ref.removeprefix(TAGS) for ref in new if ref not in believed]


def _state(ref: str, there: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[RefState, str]:
    if ref not in wanted:
        return "kept", there[ref]
    if ref not in there:
        return "new", wanted[ref]
    return ("same" if there[ref] == wanted[ref] else "moved"), wanted[ref]


def _refs(build: Build) -> tuple[str, str, str]:
    return build.branch_ref, build.builds_ref, build.tag_ref


def look(repo: Repository, url: str, build: Build) -> dict[str, str]:
    """Return ref -> id of the build's three refs as the remote has them now.

    Raises RemoteUnavailable.
    """
    return {name: id for name, id in read(repo, url).refs.items() if name in _refs(build)}


def _wanted(
    repo: Repository,
    build: Build,
    commit: str,
    tag: str,
    base: str,
    remote: Remote,
    record: Record,
    trust: Trust,
) -> dict[str, str]:
    """Return what the refs should be: the branches move only to a higher version."""
    judge = Judge(repo, remote, record, trust, (build.tag_ref, tag, commit))
    there = {name: id for name, id in remote.refs.items() if name in _refs(build)}
    judge.fetch(there)
    judge.refuse(*compare(repo, remote, record))
    wanted = {build.tag_ref: _tag(repo, build, commit, tag, remote, judge, trust), **judge.keys()}
    tip = there.get(build.branch_ref)
    if tip not in (None, commit):
        judge.tip(build)
        where = redacted(remote.url)
        if not newest(repo, build.branch, tip, where, build.nvr.name) < build.evr:
            return wanted
    wanted[build.branch_ref] = commit

    def merged(nvr: Nvr, top: str, previous: str) -> str:
        return merge(repo, nvr, top, previous)

    builds = judge.builds(build, merged) if build.builds_ref in there else None
    if builds is None or commit not in repo.commit(builds).parents[1:]:
        builds = merge(repo, build.nvr, commit, builds or base)
    wanted[build.builds_ref] = builds
    return wanted


def _tag(
    repo: Repository,
    build: Build,
    commit: str,
    tag: str,
    remote: Remote,
    judge: Judge,
    trust: Trust,
) -> str:
    """Return the id of the tag: what is published already stays, if it says the same.

    Another version of srcgit may have made it, which the tag names. Raises PublishedOtherwise.
    """
    tagged = remote.refs.get(build.tag_ref)
    if tagged in (None, tag):
        return tag
    assert tagged
    same = remote.peeled.get(build.tag_ref) == commit and (
        judge.signed(build.tag_ref)
        if trust.signers
        else _but_for_version(repo, tagged) == _but_for_version(repo, tag)
    )
    if not same:
        raise PublishedOtherwise(
            f"the tag {build.tag} is published with other content ({tagged}, here {tag})",
            where=redacted(remote.url),
            next_step="find out which srcgit made it; a published tag is never moved",
        )
    return tagged


def _but_for_version(repo: Repository, tag: str) -> bytes:
    return re.sub(rb"(?m)^Converter: srcgit \S+$", b"", repo.tag_data(tag) or b"")


def merge(repo: Repository, nvr: Nvr, commit: str, previous: str) -> str:
    """Write the commit that joins a build to its ``builds/`` branch; return its id.

    It has the build's tree and dates; first parent the previous build, second parent the series.
    """
    top = repo.commit(commit)
    tagger = replace(top.committer, date=top.author.date)
    return repo.write_commit(top.tree, [previous, commit], top.author, tagger, f"{nvr}\n".encode())


def newest(
    repo: Repository, branch: str, tip: str | None, where: str, package: str | None = None
) -> Evr:
    """Return the EVR of the build at ``tip``, the end of ``branch``; the lowest for None.

    Raises WrongUsage where that is no build, or one of another package than ``package``: the branch
    is somebody else's.
    """
    if tip is None:
        return Evr(-1, "", "")
    file = repo.tree(tip).get(SERIES_JSON)
    try:
        record = json.loads(file.data if file else b"")
        nvr = Nvr.parse(record["nvr"])
        evr = Evr(record["epoch"] or 0, nvr.version, nvr.release)
    except (ValueError, KeyError, TypeError, WrongUsage):
        raise not_srcgits(branch, tip, where) from None
    if package not in (None, nvr.name):
        raise another_packages(branch, nvr.name, where)
    return evr


def _push(repo: Repository, url: str, moves: Mapping[str, tuple[str | None, str]]) -> None:
    """Push all of ``moves`` (ref -> (old, new)) or none. Raises LeaseLost, RemoteUnavailable.

    git-push(1): a lease that expects nothing is written as an empty value.
    """
    leases = [f"--force-with-lease={ref}:{old or ''}" for ref, (old, _) in moves.items()]
    specs = [f"{new}:{ref}" for ref, (_, new) in moves.items()]
    done = talk(repo, url, "push", "--porcelain", "--atomic", *leases, url, *specs, ok=(0, 1))
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
    if re.search(
        r"stale info|is at [0-9a-f]+ but expected|reference already exists"
        r"|incorrect old value provided",
        told,
    ):
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
