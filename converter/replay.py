"""The series of a build on its base, in a stage that stays open for what comes on top of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from converter import robots
from converter.archives.originals import Originals
from converter.commits import Notes
from converter.odb import Repository
from converter.pkggit import Origin, Package
from converter.series import Series
from converter.stage import Stage
from converter.start import Start
from converter.text import text
from specparse.plan import Step

if TYPE_CHECKING:
    from converter.clock import Progress
    from converter.explode import Explosion
    from converter.planning import Planned
    from converter.request import Request


class Replay:
    """The steps of a plan, applied; the plan may grow while it is being made."""

    def __init__(
        self,
        planned: Planned,
        base: Start,
        request: Request,
        repo: Repository,
        originals: Originals,
        progress: Progress,
    ) -> None:
        """Open a stage on ``base``; the caller leaves it, as a context, or drops it."""
        self.stage = Stage(repo, base.commit)
        self._base = base.commit
        self._planned = planned
        self._steps: tuple[Step, ...] = ()
        self.series = Series(
            self.stage,
            read=originals.patch,
            origin=lambda patch: _origin(self._planned, patch),
            committer=request.committer,
            notes=lambda patch: _notes(self._planned, patch),
            explode=lambda step: _explosion(planned.package, step, request, base.commit),
            progress=lambda step: progress(f"applying {text(step.patch)}"),
            form="files" if base.whole or not base.upstream else "git",
        )

    def fits(self, planned: Planned, base: Start) -> bool:
        """Tell whether what is applied is the beginning of what ``planned`` says."""
        begun = planned.plan.steps[: len(self._steps)]
        return (self._base, self._steps) == (base.commit, begun)

    def go_on(self, planned: Planned) -> None:
        """Apply the steps that were not known before. Raises what reading a patch raises."""
        self._planned = planned
        known, self._steps = self._steps, planned.plan.steps
        self.series.apply(self._steps[len(known) :])


def _origin(planned: Planned, patch: bytes) -> Origin:
    commit = planned.package.commit
    if planned.history is None:
        return Origin("", commit.author, commit.message, planned.told_by)
    provenance = planned.history.of(patch)
    origin = provenance.changed if provenance else Origin(commit.id, commit.author, commit.message)
    if not robots.is_robot(origin.author, origin.message):
        return origin
    spec = planned.pkg_git.at(origin.commit).read(planned.plan.spec) or b""
    return robots.packager(origin, spec)


_DECLARATION = re.compile(r"(?:Patch|Source)\d*\s*:", re.IGNORECASE)


def _notes(planned: Planned, patch: bytes) -> Notes:
    """Return what is known of a patch beside its file; a declaration in a comment says nothing."""
    comment = planned.plan.comments.get(patch.rpartition(b"/")[2], "")
    told = "\n".join(line for line in comment.splitlines() if not _DECLARATION.match(line))
    return Notes(told, text(_patchlist(planned.package, patch)).strip())


def _patchlist(package: Package, patch: bytes) -> bytes:
    """Return the list that lies beside a monolithic patch; b"" for any other."""
    if not patch.endswith(b"-redhat.patch"):
        return b""
    return package.read(b"Patchlist.changelog") or b""


def _explosion(package: Package, step: Step, request: Request, base: str) -> Explosion | None:
    if request.explode_from is None or step.tool == "git-am" or step.reverse or step.directory:
        return None
    from converter import explode

    commits = explode.listed(_patchlist(package, step.patch))
    return explode.Explosion(request.explode_from, commits, base) if commits else None
