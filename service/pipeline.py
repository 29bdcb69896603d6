"""A row of the journal becomes a converted build: the one place where the daemon's work is wired.

Runs in a worker's child process. What only Koji knows is asked first, then converter.convert makes
the commits, in a repository of its own from which service/publishing.py takes them; every step can be
repeated without harm.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
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
from converter.damage import damaged, look, mending
from converter.errors import CannotConvert, Fate, PkgGitInvalid, SrcgitError, TryAgain
from converter.handover import Statement
from converter.mirror import Mirror
from converter.odb import Repository
from converter.pkggit import PkgGit
from converter.request import Request
from service.config import Config, Package
from service.journal import Row
from service.kinds import key, uploaded, why
from service.koji import COMPLETE, Koji, KojiBuild, NoSuchBuild, same_repository
from service.publishing import Publishing
from service.worker import NotOurs, Outcome, judge, of_package
from specparse.plan import Preparer, Tracer
from specparse.prep import SandboxedPreparer
from specparse.system_root import Roots
from specparse.trace import SandboxedTracer

log = logging.getLogger(__name__)

BY_HAND = ("queue", "pkg-git")  # rows that the operator of this service has ordered
LOOK_BACK = 200  # builds, between which those of the other releases lie


class SourceElsewhere(CannotConvert):
    """Koji says that the build was made from another repository than the configured one."""


class PkgGitBehind(TryAgain):
    """Our pkg-git lacks the commit that Koji built: a mirror that is not up to date."""


@dataclass(frozen=True, slots=True)
class Converting:
    """Converts one row; the ``Convert`` of the daemon's workers. It has no keys and pushes nothing."""

    config: Config
    trace: Tracer
    prepare_tree: Preparer  # for packages that are verified before they are published

    def __call__(self, row: Row, progress: Progress) -> Outcome:
        """Return how it ended: converted, with a statement for who publishes. Raises SrcgitError."""
        package = of_package(self.config, row)
        clock = Clock(_log_stage)
        with clock("koji"):
            build = self._asked(row, progress)
        facts = self._facts(row, build)
        try:
            request = self._request(row, build, package)
            repo, done, confirmed = mending(
                lambda: self._made(row, request, package, progress, clock),
                *(self.config.converting(package), request.mirrors, progress),
            )
        except Exception as error:
            outcome = judge(error)
            return replace(outcome, evidence={**facts, **outcome.evidence})
        made = {
            "branch": done.build.branch,
            "top": done.commit,
            "base": done.series["base"]["rev"],
            "patches": len(done.series["patches"]),
            "changes": changes(self.repositories(package), done),
            "statement": Statement.of(repo, done).as_json(),
            "confirmed": {**row.evidence.get("confirmed", {}), **confirmed},
            "seconds": {stage: round(s, 3) for stage, s in clock.seconds.items()},
        }
        return Outcome(Fate.CONVERTED, "", {**facts, **made})

    def examine(self, row: Row) -> Outcome | None:
        """Return how an attempt that came to no end ended, where damage kept it from that."""
        package = self.config.packages.get(row.package)
        if package is None:
            return None
        cache = self.config.state / "mirrors"
        places = (package.pkg_git, *package.upstreams)
        for path in (
            self.config.converting(package),
            *(Mirror(place, cache).path for place in places),
        ):
            if path.exists() and (found := look(path, deep=True)):
                return judge(damaged(found[0]))
        return None

    def _made(
        self, row: Row, request: Request, package: Package, progress: Progress, clock: Clock
    ) -> tuple[Repository, Conversion, dict[str, str | None]]:
        """Convert, and convert again what is to be compared; return where, and what came of it."""
        with clock("fetch"):
            progress("looking at pkg-git")
            _has(request)
            repo = self.repository(package)
            for mirror in request.upstreams:
                borrowing.borrow(repo, mirror)
            borrowing.complete(repo, request.upstreams)
        done = self._convert(request, repo, package, progress, clock)
        return repo, done, {t: self.again(t, progress) for t in row.evidence.get("confirm", ())}

    def repository(self, package: Package) -> Repository:
        """Return the repository that builds of ``package`` are converted in."""
        path = self.config.converting(package)
        path.parent.mkdir(parents=True, exist_ok=True)
        return Repository.create(path)

    def repositories(self, package: Package) -> list[Repository]:
        """Return where converted builds are: what is published, and what is converted here."""
        paths = (package.repo, self.config.converting(package))
        return [Repository(path) for path in paths if path.exists()]

    def again(self, tag: str, progress: Progress) -> str | None:
        """Convert a build that a remote has, of which Koji tells the commit; return what comes of it.

        None where that cannot be done. Raises SrcgitError for what may pass.
        """
        try:
            nvr = Nvr.of_ref(tag)
            progress(f"converting {nvr} again, to compare")
            row = Row(str(nvr), nvr.name, key(nvr))
            package = of_package(self.config, row)
            request = self._request(row, self._asked(row, progress), package)
            repo = self.repository(package)
            return self._convert(request, repo, package, progress, Clock(_log_stage)).commit
        except SrcgitError as error:
            if error.fate in (Fate.LATER, Fate.STOP):
                raise
            log.warning("%s cannot be converted again", tag, extra={"reason": error.what})
            return None

    def _convert(
        self, request: Request, repo: Repository, package: Package, progress: Progress, clock: Clock
    ) -> Conversion:
        prepare = self.prepare_tree if package.verify or package.with_prep else None
        return converting.convert(
            request, repo, self.trace, prepare=prepare, progress=progress, clock=clock
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


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Converts and publishes one row in one process, for who works without a daemon."""

    converting: Converting
    publishing: Publishing

    def __call__(self, row: Row, progress: Progress) -> Outcome:
        """Return how it ended, with the facts that the announcement needs. Raises SrcgitError."""
        while True:
            outcome = self.converting(row, progress)
            if outcome.fate is not Fate.CONVERTED:
                return outcome
            outcome = self.publishing(replace(row, evidence=outcome.evidence), progress)
            if "confirm" not in outcome.evidence:
                return outcome
            row = replace(row, evidence=outcome.evidence)

    @property
    def config(self) -> Config:
        """The configuration of both."""
        return self.converting.config

    def examine(self, row: Row) -> Outcome | None:
        """Return what damage kept an attempt that came to no end from it."""
        return self.converting.examine(row)

    def prepare(self, progress: Progress) -> None:
        """Clone what is to be mirrored; raises SrcgitError."""
        self.converting.prepare(progress)


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


def changes(repos: Sequence[Repository], done: Conversion) -> dict[str, Any]:
    """Return which patches came, went or changed since the build before this one of its branch.

    Before: by version; so that it does not matter in which order they come. ``repos`` have them.
    """
    previous = _previous(repos, done)
    if previous is None:
        return {"previous": None, "added": [], "dropped": [], "changed": []}
    told = pairs.changes(previous.series, done.series).as_json()
    return {"previous": str(previous.build.nvr), **told}


def _previous(repos: Sequence[Repository], done: Conversion) -> Conversion | None:
    nvr, epoch = done.build.nvr, done.build.epoch or 0
    older: dict[str, tuple[Evr, Nvr, Repository]] = {}
    for repo in repos:
        for ref in repo.refs(f"refs/tags/{nvr.name}-*"):
            try:
                other = Nvr.of_ref(ref.removeprefix("refs/tags/"))
            except SrcgitError:
                continue
            evr = Evr(epoch, other.version, other.release)
            if other.name == nvr.name and evr < done.build.evr:
                older.setdefault(ref, (evr, other, repo))
    newest_first = sorted(older.values(), key=lambda found: found[0], reverse=True)
    for _, other, repo in newest_first[:LOOK_BACK]:
        found = conversion.find(repo, other)
        if found and found.build.branch == done.build.branch:
            return found
    return None


def pipeline(config: Config) -> Pipeline:
    """Return the daemon's pipeline: always sandboxed."""
    roots = Roots(config.roots)
    work = Converting(config, SandboxedTracer(roots=roots), SandboxedPreparer(roots=roots))
    return Pipeline(work, Publishing(config))
