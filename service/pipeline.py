"""A row of the journal becomes a published tag: the one place where the daemon's work is wired.

Runs in a worker's child process. What only Koji knows is asked first, then converter.convert makes
the commits and converter.publish pushes them; every step can be repeated without harm.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from converter import borrowing, conversion
from converter import convert as converting
from converter.archives.lookaside import Lookaside
from converter.build import Evr, Nvr
from converter.clock import Clock, Progress
from converter.comparison import pairs
from converter.conversion import Conversion
from converter.damage import mending
from converter.errors import CannotConvert, Fate, PkgGitInvalid, SrcgitError, TryAgain
from converter.mirror import Mirror
from converter.odb import Repository
from converter.pkggit import PkgGit
from converter.publish import catch_up, publish_all
from converter.remote import Trust
from converter.request import Request
from service.config import Config, Package
from service.journal import Row
from service.kinds import key, uploaded, why
from service.koji import COMPLETE, Koji, KojiBuild, NoSuchBuild, same_repository
from service.worker import Outcome, judge
from specparse.plan import Preparer, Tracer
from specparse.prep import SandboxedPreparer
from specparse.system_root import Roots
from specparse.trace import SandboxedTracer

log = logging.getLogger(__name__)

BY_HAND = ("queue", "pkg-git")  # rows that the operator of this service has ordered
LOOK_BACK = 200  # builds, between which those of the other releases lie


class NotOurs(SrcgitError):
    """Not a build that a pkg-git commit stands for, or of no configured package."""

    exit_code = 1
    fate = Fate.NOT_OURS


class SourceElsewhere(CannotConvert):
    """Koji says that the build was made from another repository than the configured one."""


class PkgGitBehind(TryAgain):
    """Our pkg-git lacks the commit that Koji built: a mirror that is not up to date."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Converts and publishes one row; the ``Convert`` of the daemon's workers."""

    config: Config
    trace: Tracer
    prepare_tree: Preparer  # for packages that are verified before they are published

    def __call__(self, row: Row, progress: Progress) -> Outcome:
        """Return how it ended, with the facts that the announcement needs. Raises SrcgitError."""
        package = self.config.packages.get(row.package)
        if package is None:
            raise NotOurs(
                f"{row.package} is not configured",
                where=row.nvr,
                next_step="add it to the configuration, then queue the build again",
            )
        clock = Clock(_log_stage)
        with clock("koji"):
            build = self._asked(row, progress)
        facts = self._facts(row, build)
        try:
            request = self._request(row, build, package)
            made = mending(
                lambda: self._publish(request, package, progress, clock),
                *(package.repo, request.mirrors, progress),
            )
        except Exception as error:
            outcome = judge(error)
            return replace(outcome, evidence={**facts, **outcome.evidence})
        return Outcome(Fate.DONE, "", {**facts, **made})

    def _publish(
        self, request: Request, package: Package, progress: Progress, clock: Clock
    ) -> dict[str, Any]:
        """Convert and publish one build; return what was made. Raises SrcgitError."""
        with clock("fetch"):
            progress("looking at pkg-git")
            _has(request)
            progress("looking at what is published")
            repo = Repository.create(package.repo)
            for mirror in request.upstreams:
                borrowing.borrow(repo, mirror)
            borrowing.complete(repo, request.upstreams)
            trust = self._trust(package, repo, progress)
            before = repo.refs("refs/tags/").values()
            for place in package.push:
                if others := catch_up(repo, place, package.name, trust):
                    told = {"reason": f"not signed by ours: {', '.join(others[:5])}"}
                    log.warning("%d tags there are somebody else's", len(others), extra=told)
            _hold(repo, request, set(repo.refs("refs/tags/").values()).difference(before))
        done = self._convert(request, repo, package, progress, clock)
        base = done.series["base"]
        with clock("publish"):
            receipts = publish_all(
                *(repo, done.build, done.commit, done.tag, base["commit"], package.push),
                *(progress, trust),
            )
        return {
            "branch": done.build.branch,
            "tag": done.build.tag,
            "top": done.commit,
            "base": base["rev"],
            "patches": len(done.series["patches"]),
            "changes": changes(repo, done),
            "pushed": [receipt.as_json() for receipt in receipts],
            "seconds": {stage: round(s, 3) for stage, s in clock.seconds.items()},
        }

    def _trust(self, package: Package, repo: Repository, progress: Progress) -> Trust:
        """Return when a tag that ``repo`` did not make is believed."""

        def again(tag: str, _: str) -> str | None:
            """Convert a build again, of which Koji tells the commit; return what comes of it."""
            try:
                nvr = Nvr.of_ref(tag)
                progress(f"converting {nvr} again, to compare")
                row = Row(str(nvr), package.name, key(nvr))
                request = self._request(row, self._asked(row, progress), package)
                return self._convert(request, repo, package, progress, Clock(_log_stage)).commit
            except SrcgitError as error:
                if error.fate in (Fate.LATER, Fate.STOP):
                    raise
                log.warning("%s cannot be converted again", tag, extra={"reason": error.what})
                return None

        return Trust(self.config.signing.signers(self.config.committer[1]), again)

    def _convert(
        self, request: Request, repo: Repository, package: Package, progress: Progress, clock: Clock
    ) -> Conversion:
        prepare = self.prepare_tree if package.verify or package.with_prep else None
        return converting.convert(
            *(request, repo, self.trace),
            prepare=prepare,
            progress=progress,
            clock=clock,
            sign=self.config.signing.signer(self.config.committer[1]),
        )

    def _asked(self, row: Row, progress: Progress) -> KojiBuild | None:
        """Return what Koji knows; nothing for a row that the operator made from a pkg-git commit.

        Asked for by its NVR: an id that a message has may be another build's. Raises NotOurs for a
        message about a build that Koji does not have.
        """
        if row.commit is not None and row.koji_id is None and row.via in BY_HAND:
            return None
        progress("asking Koji")
        try:
            return Koji(self.config.koji).build(row.nvr)
        except NoSuchBuild as error:
            if row.via != "message":
                raise
            raise NotOurs(
                f"a message told of {row.nvr}, and Koji has no such build", where=error.where
            ) from error

    def _facts(self, row: Row, build: KojiBuild | None) -> dict[str, Any]:
        """Return what is known before the conversion, however that ends."""
        page = None
        if self.config.web:
            page = f"{self.config.web}/build/{quote(row.nvr)}"
        elif build:
            page = re.sub(r"/kojihub/?$", f"/koji/buildinfo?buildID={build.id}", self.config.koji)
        return {
            "commit": build.commit if build else row.commit,
            "target": _target(build, row),
            "koji_id": build.id if build else None,
            "owner": build.owner if build else None,
            "url": page,
        }

    def _request(self, row: Row, build: KojiBuild | None, package: Package) -> Request:
        """Return what to convert. Raises NotOurs, CannotConvert (SourceElsewhere)."""
        rev = _commit(build, row, package) if build else row.commit
        assert rev is not None
        cache = self.config.state / "mirrors"
        name, email = self.config.committer
        return Request(
            pkg_git=Mirror(package.pkg_git, cache, known_as=package.source),
            rev=rev,
            nvr=Nvr.parse(row.nvr),
            target=_target(build, row),
            koji_id=build.id if build else None,
            upstreams=tuple(Mirror(url, cache) for url in package.upstreams),
            tags=package.tags,
            archives="whole" if package.archive else "touched",
            with_prep=package.with_prep,
            lookaside=Lookaside(self.config.lookaside, self.config.state / "lookaside"),
            explode_from=Mirror(package.explode_from, cache) if package.explode_from else None,
            committer=(name.encode(), email.encode()),
        )

    def prepare(self, progress: Progress) -> None:
        """Clone what is to be mirrored, however long it takes; raises SrcgitError.

        Done before work begins: a first clone of Linux outlasts the time that one conversion has.
        """
        cache = self.config.state / "mirrors"
        for package in self.config.packages.values():
            ark = (package.explode_from,) if package.explode_from else ()
            for location in (package.pkg_git, *package.upstreams, *ark):
                progress(f"looking at {location}")
                _ = Mirror(location, cache).repository


def _hold(repo: Repository, request: Request, tags: Set[str]) -> None:
    """Have the mirrors keep what builds of other hosts stand on."""
    bases = borrowing.keep(repo, tags)
    for mirror in request.upstreams if bases else ():
        if mirror.is_ours:
            borrowing.hold_bases(repo, mirror.repository)


def _log_stage(stage: str, seconds: float) -> None:
    log.info("stage", extra={"stage": stage, "seconds": round(seconds, 3)})


def _commit(build: KojiBuild, row: Row, package: Package) -> str:
    """Return the pkg-git commit that was built. Raises NotOurs, CannotConvert (SourceElsewhere)."""
    if build.nvr != row.nvr:
        raise NotOurs(f"build {build.id} is {build.nvr} in Koji, not {row.nvr}")
    kind = _kind(build)
    if kind:
        raise NotOurs(f"{build.nvr} is not converted: {why(kind)}", where=f"Koji build {build.id}")
    assert build.source is not None
    if not same_repository(build.source, package.source):
        raise SourceElsewhere(
            f"{build.nvr} was built from {build.source:.300}",
            where=package.source,
            next_step="set the package's source if that is right",
        )
    if build.commit is None:
        raise CannotConvert(
            f"Koji does not name a full commit id for {build.nvr}: {build.source:.300}",
            next_step="convert it by hand, with PKG_GIT#COMMIT and --nvr",
        )
    return build.commit


def _target(build: KojiBuild | None, row: Row) -> str | None:
    """Return the build target: Koji's word, or the operator's where Koji has no task to tell it."""
    told = row.target if row.via in BY_HAND else None
    return build.target if build and build.task is not None else told


def _kind(build: KojiBuild) -> str:
    """Return the kind of a build that is not converted, or nothing."""
    if build.draft:
        return "draft"
    if build.state != COMPLETE:
        return "unfinished"
    if build.source is None:
        return "imported"
    return "uploaded source package" if uploaded(build.source) else ""


def _has(request: Request) -> None:
    """Raise PkgGitBehind where pkg-git lacks the commit, after a fetch if it is a mirror of ours."""
    try:
        PkgGit(request.pkg_git).resolve(request.rev)
    except PkgGitInvalid as error:
        raise PkgGitBehind(error.what, where=error.where, next_step=error.next_step) from error


def changes(repo: Repository, done: Conversion) -> dict[str, Any]:
    """Return which patches came, went or changed since the build before this one of its branch.

    Before: by version; so that it does not matter in which order they come.
    """
    previous = _previous(repo, done)
    if previous is None:
        return {"previous": None, "added": [], "dropped": [], "changed": []}
    told = pairs.changes(previous.series, done.series).as_json()
    return {"previous": str(previous.build.nvr), **told}


def _previous(repo: Repository, done: Conversion) -> Conversion | None:
    nvr, epoch = done.build.nvr, done.build.epoch or 0
    older: list[tuple[Evr, Nvr]] = []
    for ref in repo.refs(f"refs/tags/{nvr.name}-*"):
        try:
            other = Nvr.of_ref(ref.removeprefix("refs/tags/"))
        except SrcgitError:
            continue
        evr = Evr(epoch, other.version, other.release)
        if other.name == nvr.name and evr < done.build.evr:
            older.append((evr, other))
    for _, other in sorted(older, key=lambda found: found[0], reverse=True)[:LOOK_BACK]:
        found = conversion.find(repo, other)
        if found and found.build.branch == done.build.branch:
            return found
    return None


def pipeline(config: Config) -> Pipeline:
    """Return the daemon's pipeline: always sandboxed."""
    roots = Roots(config.roots)
    return Pipeline(config, SandboxedTracer(roots=roots), SandboxedPreparer(roots=roots))
