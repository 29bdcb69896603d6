"""A row of the journal becomes a published tag: the one place where the daemon's work is wired.

Runs in a worker's child process. What only Koji knows is asked first, then converter.convert makes
the commits and converter.publish pushes them; every step can be repeated without harm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from converter import convert as converting
from converter.build import Evr, Nvr
from converter.convert import Conversion, Request
from converter.errors import CannotConvert, Fate, PkgGitInvalid, SrcgitError, TryAgain
from converter.mirror import Mirror
from converter.odb import Repository
from converter.pkggit import PkgGit
from converter.publish import Receipt, catch_up, publish_all
from service.config import Config, Package
from service.journal import Row
from service.koji import COMPLETE, Koji, KojiBuild, same_repository
from service.worker import Outcome
from specparse.plan import Preparer, Tracer
from specparse.prep import SandboxedPreparer
from specparse.trace import SandboxedTracer


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

    def __call__(self, row: Row, progress: Callable[[str], None]) -> Outcome:
        """Return DONE with the facts that the announcement needs. Raises SrcgitError."""
        package = self.config.packages.get(row.package)
        if package is None:
            raise NotOurs(
                f"{row.package} is not configured",
                where=row.nvr,
                next_step="add it to the configuration, then queue the build again",
            )
        row, owner = self._asked(row, package, progress)
        repo = Repository.create(package.repo)
        request = self._request(row, package)
        progress("looking at pkg-git")
        _has(request)
        progress("looking at what is published")
        for mirror in request.upstreams:
            repo.borrow(mirror.repository)
        for place in package.push[:1]:
            catch_up(repo, place)
        prepare = self.prepare_tree if package.verify else None
        done = converting.convert(request, repo, self.trace, prepare=prepare, progress=progress)
        base = done.series["base"]["commit"]
        receipts = publish_all(
            repo, done.build, done.commit, done.tag, base, package.push, progress
        )
        return Outcome(Fate.DONE, "", _evidence(row, owner, repo, done, receipts, self.config))

    def _asked(
        self, row: Row, package: Package, progress: Callable[[str], None]
    ) -> tuple[Row, str | None]:
        """Return the row with what Koji knows filled in, and the build's owner.

        A row from pkg-git's history has no id of Koji's, and Koji is not asked.
        """
        if row.commit is not None and row.koji_id is None:
            return row, None
        progress("asking Koji")
        build = Koji(self.config.koji).build(row.koji_id or row.nvr)
        commit = _commit(build, row, package)
        return replace(row, commit=commit, target=build.target, koji_id=build.id), build.owner

    def _request(self, row: Row, package: Package) -> Request:
        assert row.commit is not None
        cache = self.config.state / "mirrors"
        name, email = self.config.committer
        return Request(
            pkg_git=Mirror(package.pkg_git, cache, known_as=package.source),
            rev=row.commit,
            nvr=Nvr.parse(row.nvr),
            target=row.target,
            koji_id=row.koji_id,
            upstreams=tuple(Mirror(url, cache) for url in package.upstreams),
            tags=package.tags,
            explode_from=Mirror(package.explode_from, cache) if package.explode_from else None,
            committer=(name.encode(), email.encode()),
        )

    def prepare(self, progress: Callable[[str], None]) -> None:
        """Clone what is to be mirrored, however long it takes; raises SrcgitError.

        Done before work begins: a first clone of Linux outlasts the time that one conversion has.
        """
        cache = self.config.state / "mirrors"
        for package in self.config.packages.values():
            ark = (package.explode_from,) if package.explode_from else ()
            for location in (package.pkg_git, *package.upstreams, *ark):
                progress(f"looking at {location}")
                _ = Mirror(location, cache).repository


def _commit(build: KojiBuild, row: Row, package: Package) -> str:
    """Return the pkg-git commit that was built. Raises NotOurs, SourceElsewhere."""
    if build.nvr != row.nvr:
        raise NotOurs(f"build {build.id} is {build.nvr} in Koji, not {row.nvr}")
    if build.draft or build.state != COMPLETE:
        raise NotOurs(
            f"{build.nvr} is {'a draft' if build.draft else 'not complete'} in Koji",
            next_step="backfill finds it when it is",
        )
    if build.source is None:
        raise NotOurs(f"{build.nvr} was imported: Koji has no source for it")
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


def _has(request: Request) -> None:
    """Raise PkgGitBehind where pkg-git lacks the commit, after a fetch if it is a mirror of ours."""
    try:
        PkgGit(request.pkg_git).resolve(request.rev)
    except PkgGitInvalid as error:
        raise PkgGitBehind(error.what, where=error.where, next_step=error.next_step) from error


def _evidence(
    row: Row,
    owner: str | None,
    repo: Repository,
    done: Conversion,
    receipts: Sequence[Receipt],
    config: Config,
) -> Mapping[str, Any]:
    koji_page = re.sub(r"/kojihub/?$", "/koji", config.koji)
    page = f"{koji_page}/buildinfo?buildID={row.koji_id}" if row.koji_id else None
    return {
        "commit": row.commit,
        "target": row.target,
        "koji_id": row.koji_id,
        "owner": owner,
        "url": page,
        "branch": done.build.branch,
        "tag": done.build.tag,
        "top": done.commit,
        "base": done.series["base"]["rev"],
        "patches": len(done.series["patches"]),
        "changes": changes(repo, done),
        "pushed": [receipt.as_json() for receipt in receipts],
        "seconds": {stage: round(s, 3) for stage, s in done.seconds.items()},
    }


def changes(repo: Repository, done: Conversion) -> dict[str, Any]:
    """Return which patches came, went or changed since the build before this one of its branch.

    Before: by version, of the same dist; so that it does not matter in which order they come.
    """
    nvr = done.build.nvr
    before: list[tuple[Evr, Nvr]] = []
    for ref in repo.refs("refs/tags/"):
        name = ref.removeprefix("refs/tags/")
        if not name.startswith(f"{nvr.name}-"):
            continue
        try:
            other = Nvr.of_ref(name)
        except SrcgitError:
            continue
        evr = Evr(done.build.epoch or 0, other.version, other.release)
        if (other.name, other.dist) == (nvr.name, nvr.dist) and evr < done.build.evr:
            before.append((evr, other))
    if not before:
        return {"previous": None, "added": [], "dropped": [], "changed": []}
    previous = max(before, key=lambda found: found[0])[1]
    found = converting.find(repo, previous)
    old = _states(found.series) if found else {}
    new = _states(done.series)
    return {
        "previous": str(previous),
        "added": [name for name in new if name not in old],
        "dropped": [name for name in old if name not in new],
        "changed": [name for name in new if name in old and new[name] != old[name]],
    }


def _states(series: Mapping[str, Any]) -> dict[str, object]:
    """Return patch -> what tells its content: the pkg-git commit that last changed it."""
    return {
        patch["patch"]: patch["changed"]["commit"] if patch["changed"] else None
        for patch in series["patches"]
    }


def pipeline(config: Config) -> Pipeline:
    """Return the daemon's pipeline: always sandboxed."""
    return Pipeline(config, SandboxedTracer(sandboxed=True), SandboxedPreparer())
