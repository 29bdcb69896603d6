"""The pipeline: a pkg-git commit becomes a branch and a tag, a line per step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter import VERSION, start, tagging, top
from converter.ahead import Ahead
from converter.archives.originals import Originals, roomy
from converter.build import Build, Nvr
from converter.clock import Clock, Progress
from converter.conversion import Conversion, SeriesFailed, checked, find
from converter.errors import WrongUsage, on_this_machine
from converter.objects import Identity
from converter.odb import Repository
from converter.pkggit import PkgGit
from converter.planning import Planned, all_told, plan, retracer
from converter.publish import newest
from converter.request import Request
from converter.stage import Stage
from specparse.plan import Preparer, Tracer

if TYPE_CHECKING:  # what is slow to import, and not needed at once or not at all
    from converter.series import Patched
    from converter.start import Start
    from converter.verification.prepared import Prepared
    from converter.verification.verdict import Verdict
    from specparse.foreign_tree import ForeignTree


@on_this_machine()
def convert(
    request: Request,
    repo: Repository,
    trace: Tracer,
    *,
    prepare: Preparer | None = None,
    progress: Progress = lambda stage: None,
    clock: Clock | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> Conversion:
    """Make the commits, the branch and the tag of one build in ``repo``.

    With ``prepare``, the series is first held against the real %prep, and a difference leaves
    neither branch nor tag; ``with_prep`` needs it. A build that has its tag already is returned as
    it is. ``clock`` is told how long each stage took; ``sign`` signs the tag. Raises SrcgitError of every kind.
    """
    with tempfile.TemporaryDirectory(prefix="srcgit-", dir=roomy()) as scratch:
        clock = clock or Clock()
        return _convert(request, repo, trace, prepare, progress, clock, Path(scratch), sign)


def _convert(
    request: Request,
    repo: Repository,
    trace: Tracer,
    prepare: Preparer | None,
    progress: Progress,
    clock: Clock,
    scratch: Path,
    sign: Callable[[bytes], bytes] | None,
) -> Conversion:
    with ExitStack() as stages:
        ahead = Ahead(request, repo, scratch, progress, clock, stages)
        with clock("plan"):
            if request.nvr and (done := find(repo, request.nvr, request.variant)):
                commit = PkgGit(request.pkg_git).resolve(request.rev)
                return checked(done, commit, repo, request)
            planned = plan(request, trace, progress, ahead.so_far, ahead.configs)
        build = planned.build(request)
        if done := find(repo, build.nvr, build.variant):
            ahead.drop()
            return checked(done, build.commit, repo, request)
        if tip := repo.ref(build.branch_ref):  # before there is much to do
            newest(repo, build.branch, tip, str(repo.path), build.nvr.name)
        if start.is_final(planned.plan, request.wanted):  # before upstream is asked for its base
            all_told(planned.plan)
            patches = (step.patch for step in planned.plan.steps)
            planned.originals(request, scratch, progress).check(patches)
        with clock("base"):
            progress("looking for the base")
            base = ahead.start(planned, retracer(planned, request, trace))
            planned = planned.again(base.plan)
            all_told(planned.plan)
        with clock("series"):
            replay = ahead.replay(planned, base)
            stage, result = replay.stage, replay.series
            ids = stage.ids(w.mark for p in result.patches for w in p.commits)
            tree = stage.tree_id()
            record = top.series_json(
                build, planned.plan, base.as_json(), tree, _with_ids(planned, result.patches, ids)
            )
            if result.failure is None and prepare is None:
                commit = _top(stage, planned, record, build, request)
            stages.close()
    reached = ids[-1] if ids else base.commit
    if result.failure is not None:
        tagging.move(repo, {build.failed_ref: (repo.ref(build.failed_ref), reached)})
        raise SeriesFailed(result.failure, build, record, base.absent)
    verdict = None
    if prepare is not None:
        with clock("verify"):
            originals = planned.originals(request, scratch, progress)
            verdict, prepared = _held_against_prep(
                planned, request, repo, base, reached, originals, prepare, progress
            )
        if not verdict.verified:
            tagging.move(repo, {build.failed_ref: (repo.ref(build.failed_ref), reached)})
            verdict.check(str(build.nvr))
        record["verified"] = "yes"
        for did in prepared:
            record = top.with_prep(record, did)
            reached = did.commit or reached
        with clock("top"), Stage(repo, reached) as stage:
            commit = _top(stage, planned, record, build, request)
    with clock("tag"):
        when = Identity(*request.committer, planned.package.commit.author.date)
        message = top.tag_message(build, record, VERSION)
        tag = repo.write_tag(commit, build.tag, when, message, sign)
        if tools := planned.plan.tools:
            repo.write_note(top.PREPARED, commit, f"Prepared-With: {tools}\n")
        tagging.move(repo, tagging.moves(repo, build, base.commit, commit, tag))
        repo.point_head(build.branch_ref)
    tree = repo.commit(commit).tree
    return Conversion(build, record, commit, tree, tag, tools, verdict, clock.seconds)


def _held_against_prep(
    planned: Planned,
    request: Request,
    repo: Repository,
    base: Start,
    series: str,
    originals: Originals,
    prepare: Preparer,
    progress: Progress,
) -> tuple[Verdict, list[Prepared]]:
    """Return what the real %prep says of the commit ``series``, and what it does besides.

    The latter only where that is asked for and where it says yes: a defect must not hide in it.
    """
    from converter.verification.prepared import commit
    from converter.verification.verify import Subject
    from converter.verification.verify import verify as against_prep

    prepared: list[Prepared] = []

    def record(left: ForeignTree, top: bytes, verdict: Verdict) -> None:
        if verdict.verified:
            author = planned.package.commit.author
            committer = Identity(*request.committer, author.date)
            nvr = str(planned.nvr)
            made = commit(
                *(repo, series, left, top, verdict, author, committer, nvr), subject.beside
            )
            prepared.append(made)

    subject = Subject(
        *(planned.package, planned.plan, planned.dist, repo, base.commit, series, base, originals),
        everything=request.with_prep,
    )
    left = record if request.with_prep else None
    return against_prep(subject, prepare, progress=progress, left=left), prepared


def verify(
    request: Request,
    repo: Repository,
    trace: Tracer,
    prepare: Preparer,
    *,
    progress: Progress = lambda stage: None,
) -> tuple[Nvr, Verdict]:
    """Hold a build that ``repo`` has a tag of against its real %prep; nothing is written.

    Raises WrongUsage where there is no tag, and SrcgitError of every kind.
    """
    from converter.verification.verify import Subject
    from converter.verification.verify import verify as against_prep

    planned = plan(request, trace, progress)
    done = find(repo, planned.nvr, request.variant)
    if done is None:
        raise WrongUsage(
            f"{planned.nvr} is not converted yet",
            where=str(repo.path),
            next_step="leave --repo out, or run srcgit convert --verify",
        )
    checked(done, planned.package.commit.id, repo)
    record = done.series
    with tempfile.TemporaryDirectory(prefix="srcgit-", dir=roomy()) as scratch:
        originals = planned.originals(request, Path(scratch), progress)
        retrace = retracer(planned, request, trace)
        base = start.again(repo, planned.plan, record["base"], originals, retrace)
        planned = planned.again(base.plan)
        series = record["series"]["commit"]
        subject = Subject(
            *(planned.package, planned.plan, planned.dist, repo),
            *(base.commit, series, base, originals),
            everything="prep" in record,
            prepared=(record["prep"] if record["prep"]["commit"] else record["series"])["commit"]
            if "prep" in record
            else None,
        )
        return planned.nvr, against_prep(subject, prepare, progress=progress)


def _top(
    stage: Stage, planned: Planned, record: dict[str, Any], build: Build, request: Request
) -> str:
    """Write the top commit on ``stage``; return its id."""
    package_commit = planned.package.commit
    mark = stage.commit(
        top.files(planned.package, planned.plan, record),
        package_commit.author,
        Identity(*request.committer, package_commit.author.date),
        top.commit_message(build, package_commit),
    )
    [commit] = stage.ids([mark])
    return commit


def _with_ids(
    planned: Planned, patches: Sequence[Patched], ids: Sequence[str]
) -> Iterator[tuple[Patched, str | None, list[str], Any]]:
    rest = iter(ids)
    for patched in patches:
        yield (
            patched,
            planned.package.blob(patched.step.patch),
            [next(rest) for _ in patched.commits],
            planned.history and planned.history.of(patched.step.patch),
        )
