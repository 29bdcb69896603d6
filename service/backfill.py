"""Backfill: what Koji lists, or pkg-git's history tells, and the published tree lacks.

Heals an hour, a week or a lost queue of downtime: messages make things quick, this makes them
complete. It only adds rows to the journal; workers do the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from converter.build import Nvr
from converter.clock import Progress
from converter.errors import CannotConvert, RemoteUnavailable, SrcgitError, WrongUsage
from converter.git import Git, GitFailed, lines
from converter.mirror import redacted
from converter.pkggit import DEVELOPMENT, PkgGit, branch_name, release_of
from service.config import Package
from service.journal import UNSETTLED, Journal, Row
from service.kinds import elsewhere, key, uploaded, why
from service.koji import Koji, KojiBuild, same_repository

log = logging.getLogger(__name__)

LS_REMOTE = 120.0  # seconds


@dataclass(frozen=True, slots=True)
class Found:
    """A build that was looked at: the row that it needs, or why it needs none."""

    nvr: str
    row: Row | None
    why: str


def published(package: Package) -> set[str]:
    """Return the names of the tags that every place of publication has. Raises RemoteUnavailable.

    Where nothing is pushed, the package's own repository is the place.
    """
    places = package.push or (str(package.repo),)
    if not package.push and not package.repo.exists():
        return set()
    tags = [_tags(place) for place in places]
    return set.intersection(*tags)


def _tags(place: str) -> set[str]:
    try:
        told = Git().run("ls-remote", "--tags", "--refs", place, network=True, timeout=LS_REMOTE)
    except (GitFailed, TimeoutError) as error:
        raise RemoteUnavailable(
            redacted(f"cannot list what is published: {error}"),
            where=redacted(place),
            next_step="check the address and the network, then run it again",
        ) from error
    return {line.partition("\trefs/tags/")[2] for line in lines(told.stdout)}


def from_koji(
    package: Package, koji: Koji, since: datetime, limit: int | None = None
) -> Iterator[Found]:
    """Yield the builds that Koji finished after ``since``, oldest first, at most ``limit`` rows.

    ``since`` is aware of its zone. Raises RemoteUnavailable, HubRefuses.
    """
    there = published(package)
    rows = 0
    for build in koji.builds(package.name, since):
        found = _look(build, package, there)
        yield found
        rows += found.row is not None
        if limit is not None and rows >= limit:
            return


def left_out(build: KojiBuild, package: Package) -> str:
    """Return why a build that Koji lists is not converted, or nothing where it is."""
    try:
        nvr = Nvr.parse(build.nvr)
    except WrongUsage as error:
        return error.what
    if reason := elsewhere(nvr):
        return reason
    if build.source is not None and uploaded(build.source):
        return why("uploaded source package")
    if build.source is not None and not same_repository(build.source, package.source):
        return f"built from {build.source:.200}, not from {package.source}"
    return ""


def _look(build: KojiBuild, package: Package, there: set[str]) -> Found:
    if reason := left_out(build, package):
        return Found(build.nvr, None, reason)
    nvr = Nvr.parse(build.nvr)
    if nvr.ref_name in there:
        return Found(build.nvr, None, "published")
    row = Row(build.nvr, package.name, key(nvr), build.id, build.commit, via="backfill")
    return Found(build.nvr, row, "missing")


Name = Callable[[str, str], Nvr | None]  # (commit, dist) -> the NVR that it would build
Seen = dict[tuple[str, str], Nvr | None]  # (blob of the spec, dist) -> what it was named


def from_pkg_git(
    package: Package,
    pkg_git: PkgGit,
    name: Name,
    since: datetime,
    limit: int | None = None,
    progress: Progress = lambda stage: None,
) -> Iterator[Found]:
    """Yield what pkg-git's history tells to have been built after ``since``, oldest first.

    Without Koji nobody knows which of the commits with one NVR was built: the last one on its
    branch is taken, as the next commit then bumps the release. ``name`` reads a commit's NVR; it
    is asked once for each state of the spec.
    """
    there = published(package)
    found: dict[str, tuple[int, str]] = {}
    seen: Seen = {}
    for branch in _branches(pkg_git):
        for nvr, moment, commit in _last_of_each(pkg_git, branch, name, since, progress, seen):
            found.setdefault(nvr, (moment, commit))
    rows = 0
    for nvr, (_, commit) in sorted(found.items(), key=lambda item: item[1]):
        parsed = Nvr.parse(nvr)
        if reason := elsewhere(parsed):
            yield Found(nvr, None, reason)
        elif parsed.ref_name in there:
            yield Found(nvr, None, "published")
        else:
            row = Row(nvr, package.name, key(parsed), commit=commit, via="pkg-git")
            yield Found(nvr, row, "missing")
            rows += 1
            if limit is not None and rows >= limit:
                return


def _branches(pkg_git: PkgGit) -> list[str]:
    """Return the branches of releases, oldest release first, then the development branch."""
    names = {
        ref: branch_name(ref)
        for prefix in ("refs/heads", "refs/remotes")
        for ref in pkg_git.repository.refs(prefix)
    }
    numbered = ((release_of(name), ref) for ref, name in names.items())
    releases = sorted((number, ref) for number, ref in numbered if number is not None)
    return [ref for _, ref in releases] + [r for r, name in names.items() if name in DEVELOPMENT]


def _last_of_each(
    pkg_git: PkgGit,
    branch: str,
    name: Name,
    since: datetime,
    progress: Progress,
    seen: Seen,
) -> Iterator[tuple[str, int, str]]:
    """Yield (NVR, seconds since the epoch, commit) of the last commit of each NVR on a branch."""
    log_ = pkg_git.repository.git.run(
        "log",
        "--first-parent",
        f"--since={since.astimezone(UTC).isoformat()}",
        "--format=%H %ct",
        branch,
        "--",
    ).stdout.decode("ascii")
    newer = None
    listed = log_.splitlines()
    for number, line in enumerate(listed, 1):
        commit, moment = line.split()
        progress(f"{branch}: {number} of {len(listed)} commits")
        try:
            package = pkg_git.at(commit)
            spec = package.spec(None)
            dist = pkg_git.dist_of(commit)
            entry = package.entry(spec)
            state = (entry.id if entry else "", dist)
            if state not in seen:
                seen[state] = name(commit, dist)
        except (CannotConvert, WrongUsage) as error:
            log.info("%s: %s", commit[:12], error.what)
            continue
        nvr = seen[state]
        if nvr is not None and nvr != newer:
            yield str(nvr), int(moment), commit
        newer = nvr


def enqueue(found: Iterable[Found], journal: Journal) -> Iterator[Found]:
    """Add the rows to the journal; yield what became of each, as it is done.

    What is left without a row will not be converted.
    """
    for each in found:
        if each.row is None or journal.add(each.row):
            yield each
            continue
        row = journal.find(each.nvr)
        if row is None or row.state in UNSETTLED:
            yield Found(each.nvr, each.row, "on the list already")
        elif row.state == "done" or (row.state == "ignored" and each.row.commit is not None):
            # The published tree is the truth, and it lacks the tag; Koji has the commit by now.
            journal.again(each.row)
            yield each
        else:
            yield Found(each.nvr, None, f"{row.state} before: {row.outcome}")


def queue_again(journal: Journal, row: Row) -> str:
    """Put one build on the list, whatever became of it before; return what was done, in words."""
    if journal.add(row):
        return "added"
    if journal.again(row):
        return "due again"
    return "being converted now"


def spec_reader(read: Callable[[str, str], tuple[Nvr, tuple[str, ...]]]) -> Name:
    """Return a Name by ``read``, which tells doubts as well.

    A commit whose spec does not parse has none, nor has one of which the NVR can only be guessed.
    """

    def name(commit: str, dist: str) -> Nvr | None:
        try:
            nvr, doubts = read(commit, dist)
        except SrcgitError as error:
            if error.exit_code == 1:
                log.info("%s: %s", commit[:12], error.what)
                return None
            raise
        for doubt in doubts:
            log.info("%s: %s", commit[:12], doubt)
        return None if doubts else nvr

    return name
