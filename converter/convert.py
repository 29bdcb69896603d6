"""The pipeline: a pkg-git commit becomes a branch and a tag, a line per step."""

from __future__ import annotations

import functools
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter import VERSION, start, top, upstream
from converter.archives.lookaside import Lookaside
from converter.archives.originals import Originals, roomy
from converter.build import Build, Nvr, tag_name
from converter.errors import (
    BaseMissing,
    BaseUnknown,
    CannotConvert,
    CannotWork,
    NoSandbox,
    PatchDoesNotApply,
    SpecDoesNotParse,
    SrcgitError,
    WrongUsage,
)
from converter.mirror import Mirror
from converter.odb import Entry, GitTree, Identity, Repository, Stage
from converter.pkggit import History, Package, PkgGit
from converter.publish import evr_of, merge
from converter.start import Retrace, Start, Use, Wanted
from converter.text import text
from converter.upstream import Found
from specparse.plan import (
    CHANGES,
    Header,
    Meanwhile,
    Plan,
    Preparer,
    Reader,
    SandboxError,
    SpecError,
    Tracer,
)

if TYPE_CHECKING:  # what is slow to import, and not needed at once or not at all
    from converter.replay import Replay
    from converter.series import Failure, Patched
    from converter.verification.prepared import Prepared
    from converter.verification.verdict import Verdict

Progress = Callable[[str], None]


_ARCH = "x86_64"  # of what is published


@dataclass(frozen=True, slots=True)
class Request:
    """What to convert, and how. Only the first two are needed."""

    pkg_git: Mirror
    rev: str
    spec: bytes | None = None  # its path; found where it is not given
    nvr: Nvr | None = None
    dist: str | None = None
    branch: str | None = None
    target: str | None = None  # Koji's build target, for the branch
    koji_id: int | None = None
    arch: str = _ARCH
    options: tuple[str, ...] = ()  # of rpmbuild, as words of a tag: with-NAME, MACRO=BODY
    base: str | None = None
    upstreams: tuple[Mirror, ...] = ()
    tags: tuple[
        str, ...
    ] = ()  # templates of upstream's tags, tried in order before what is learned
    explode_from: Mirror | None = None  # kernel-ark, to take the monolithic patch apart
    archives: Use = "touched"
    lookaside: Lookaside | None = None
    with_prep: bool = False  # record what %prep does besides patching
    loose: bool = False  # pkg_git was made from loose files: its commit says nothing of them
    told_by: str = ""  # what the author and date of loose files are taken from
    committer: tuple[bytes, bytes] = (b"srcgit", b"srcgit@localhost")

    @property
    def wanted(self) -> Wanted:
        """Where to look for the base."""
        use = "others" if self.with_prep and self.archives == "touched" else self.archives
        return Wanted(self.upstreams, self.base, self.tags, use)

    @property
    def variant(self) -> str:
        """What the tag says of a build that is not Fedora's own on x86_64."""
        arch = () if self.arch == _ARCH else (self.arch,)
        return "+".join((*arch, *self.options))


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what it is the plan of."""

    nvr: Nvr
    dist: str
    plan: Plan
    pkg_git: PkgGit
    package: Package
    history: History | None  # None where there is none: loose files
    told_by: str = ""  # what the author and date of these are taken from

    def build(self, request: Request) -> Build:
        """Return the build, its branch derived where the request names none."""
        commit = self.package.commit.id
        branch = request.branch or self.pkg_git.branch_of(commit, self.dist, request.target)
        if request.variant and not request.branch:
            branch += "-" + re.sub(r"[^A-Za-z0-9._-]", "-", request.variant)
        url = self.pkg_git.url
        return Build(
            self.nvr, self.plan.epoch, url, commit, branch, request.koji_id, request.variant
        )

    def again(self, plan: Plan) -> Planned:
        """Return the same with another plan, which may apply other patches."""
        history = self.history
        if history is not None and plan.steps != self.plan.steps:
            history = self.package.history(plan.spec).only(_patches(self.package, plan))
        return replace(self, plan=plan, history=history)

    def originals(self, request: Request, scratch: Path, progress: Progress) -> Originals:
        """Return where the package's sources come from; ``scratch`` is for copies of them."""
        return Originals(self.package, self.plan.name, request.lookaside, scratch, progress)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted build: its series.json, and the ids of what was written."""

    build: Build
    series: dict[str, Any]
    commit: str
    tree: str
    tag: str  # id of the tag object
    verdict: Verdict | None = None  # of a verification that ran now
    seconds: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the contract's ``convert --json``, without ``pushed``."""
        return {
            "nvr": self.series["nvr"],
            "pkg_git": self.series["pkg_git"],
            "base": self.series["base"],
            "branch": self.build.branch,
            "tag": self.build.tag,
            "commit": self.commit,
            "tree": self.tree,
            "series": _series_contract(self.series),
            **({"prep": self.series["prep"]} if "prep" in self.series else {}),
            "verified": self.series.get("verified", "not run"),
            "verification": self.verdict.as_json() if self.verdict else None,
            "seconds": {stage: round(s, 4) for stage, s in self.seconds.items()},
        }


class SeriesFailed(PatchDoesNotApply):
    """A patch of the series does not apply; what applied before it was kept.

    ``report`` is for people to read, ``series`` the contract's object up to the failure.
    """

    kind = "PatchDoesNotApply"

    def __init__(self, failure: Failure, build: Build, record: dict[str, Any]) -> None:
        super().__init__(
            f"{text(failure.step.patch)}: {failure.reason}",
            where=f"{build.pkg_git}#{build.commit}",
            next_step=f"see what applied with: git log {build.failed_ref}",
        )
        base = record["base"]
        start = f"{base['rev'] or base['commit']} ({base['how']})"
        self.report = f"{failure.report}The series starts at {start}.\n" + _besides(record)
        self.series = _series_contract(record)


def _besides(record: dict[str, Any]) -> str:
    """Return what %prep may have done before a patch that applies only after it (dos2unix, sed)."""
    did = [u["command"].splitlines()[0] for u in record["unrepresented"] if u["why"] == CHANGES]
    if not did:
        return ""
    lines = [f"  {command[:200]}" for command in did[:3]]
    lines += [f"  and {len(did) - 3} more"] if len(did) > 3 else []
    told = "%prep changes files besides, perhaps before this patch; the series is without that:"
    return "\n".join([told, *lines, ""])


@contextmanager
def _machine() -> Iterator[None]:
    """A full or read-only disk is this machine's fault, not a bug."""
    try:
        yield
    except OSError as error:
        raise CannotWork(
            error.strerror or str(error),
            where=text(os.fsencode(error.filename)) if error.filename else "",
            next_step="make room, or make it writable; then run it again",
        ) from error


@_machine()
def plan(
    request: Request,
    trace: Tracer,
    progress: Progress = lambda stage: None,
    so_far: Callable[[Planned], None] = lambda planned: None,
    configs: Callable[[Mapping[bytes, bytes]], None] = lambda made: None,
) -> Planned:
    """Return what %prep would apply, and on which base; needs no upstream.

    ``so_far`` is called with as much of it as is known while %prep is still running, ``configs``
    with the configuration files when it has just ended.
    Raises PkgGitInvalid, SpecDoesNotParse, NoSandbox, WrongUsage.
    """
    pkg_git = PkgGit(request.pkg_git)
    commit = pkg_git.resolve(request.rev)
    package = pkg_git.at(commit)
    spec = request.spec or package.spec(request.nvr.name if request.nvr else None)
    dist = request.dist
    if dist is None:  # "" is an answer: a quilt queue is for no release
        dist = (request.nvr and request.nvr.dist) or pkg_git.dist_of(commit)
    progress(f"reading {text(spec)}")
    history = functools.cache(lambda: None if request.loose else package.history(spec))

    def begun() -> None:
        history()  # goes on beside it
        if not request.branch:
            pkg_git.look_ahead(commit)
        _import_series()

    def planned(made: Plan, *, whole: bool) -> Planned:
        nvr, doubts = _nvr(request.nvr, made, spec, package)
        made = replace(made, warnings=(*made.warnings, *doubts))
        patches = _patches(package, made)
        known = history()
        if known is not None:
            known = known.only(patches) if whole else known.of_all(patches)
        return Planned(nvr, dist, made, pkg_git, package, known, request.told_by)

    made = _traced(
        *(trace, package, spec, dist, request.arch),
        meanwhile=Meanwhile(begun, lambda made: so_far(planned(made, whole=False)), configs),
    )
    return planned(made, whole=True)


@_machine()
def named(request: Request, read: Reader) -> tuple[Nvr, tuple[str, ...]]:
    """Return what a commit's spec calls its build, and doubts of it; %prep is not run.

    Raises PkgGitInvalid, SpecDoesNotParse, NoSandbox, WrongUsage.
    """
    pkg_git = PkgGit(request.pkg_git)
    commit = pkg_git.resolve(request.rev)
    package = pkg_git.at(commit)
    spec = request.spec or package.spec(request.nvr.name if request.nvr else None)
    dist = request.dist or pkg_git.dist_of(commit)
    with _errors(package, spec):
        header = read(
            lambda directory: package.export(directory, spec), spec, dist=dist, arch=request.arch
        )
    return _nvr(request.nvr, header, spec, package)


def _patches(package: Package, plan: Plan) -> dict[bytes, Entry]:
    """Return the files of pkg-git that ``plan`` applies."""
    entries = {step.patch: package.entry(step.patch) for step in plan.steps}
    return {patch: entry for patch, entry in entries.items() if entry}


def _traced(
    trace: Tracer,
    package: Package,
    spec: bytes,
    dist: str,
    arch: str,
    archives: Mapping[bytes, Sequence[bytes]] = {},
    base_files: Mapping[bytes, bytes] = {},
    meanwhile: Meanwhile | None = None,
) -> Plan:
    """Trace a package with what is known of its archives and its base. Our errors for the port's."""
    with _errors(package, spec):
        return trace(
            lambda directory: package.export(directory, spec),
            spec,
            dist=dist,
            arch=arch,
            archives=archives,
            base_files=base_files,
            meanwhile=meanwhile,
        )


@contextmanager
def _errors(package: Package, spec: bytes) -> Iterator[None]:
    """In the block the port's errors become ours."""
    try:
        yield
    except SpecError as error:
        raise SpecDoesNotParse(
            error.what,
            where=f"{package.url}#{package.commit.id[:12]} {text(spec)}"
            + (f" {error.where}" if error.where else ""),
            next_step=error.next_step,
        ) from error
    except SandboxError as error:
        raise NoSandbox(error.what, where=error.where, next_step=error.next_step) from error


def _import_series() -> None:
    """Import what applies patches, which is a third of all imports, while the spec is parsed."""
    import converter.engine.apply_git
    import converter.replay  # noqa: F401


def at_hand(planned: Planned, request: Request) -> Found | str:
    """Return the base in the upstreams that can be read without a network, or why it is not there.

    "" where no upstream is at hand.
    """
    here = [mirror for mirror in request.upstreams if mirror.at_hand]
    if not here or (request.base is None and planned.plan.base.kind == "unknown"):
        return ""
    try:
        return upstream.find(planned.plan.base, request.base, here, request.tags, fetch=False)
    except (BaseMissing, BaseUnknown) as error:
        return f"{error.what} [{error.where}]"


def seeing(planned: Planned, request: Request, trace: Tracer, base: GitTree) -> Planned:
    """Return the plan of a %prep that sees the files of ``base`` which it looks at."""
    retrace = _retrace(planned, request, trace)
    return planned.again(start.seeing(planned.plan, base, lambda files: retrace({}, files)))


# rpmautospec counts the release when a package is built, forgemeta puts a snapshot's date into it.
_COUNTED = re.compile(
    rb"^Release\s*:.*%\{?\??autorelease|^\s*%\{?\??(?:forgemeta|gometa)\b", re.MULTILINE
)
_COUNTED_BEFORE = re.compile(rb"^%(?:define|global)\s+autorelease\b", re.MULTILINE)


def _nvr(
    asked: Nvr | None, made: Plan | Header, path: bytes, package: Package
) -> tuple[Nvr, tuple[str, ...]]:
    """Return the build's NVR, and warnings: the spec's own, which must be the one asked for.

    Where only a build computes the release, the question decides.
    """
    spec = package.read(path) or b""
    counted = _COUNTED.search(spec)
    told = f"{made.name}-{made.version}-{made.release}"
    if asked is None:
        guessed = counted and b"autorelease" in counted[0] and not _COUNTED_BEFORE.search(spec)
        doubt = f"rpmautospec counts the release: {told} without --nvr is a guess"
        return Nvr.parse(told), (doubt,) if guessed else ()
    if counted:
        told = f"{made.name}-{made.version}-{asked.release}"
    if told != str(asked):
        raise CannotConvert(
            f"this commit builds {told}, not {asked}",
            where=package.commit.id,
            next_step="give the commit that Koji names for the build",
        )
    return asked, ()


@_machine()
def convert(
    request: Request,
    repo: Repository,
    trace: Tracer,
    *,
    prepare: Preparer | None = None,
    progress: Progress = lambda stage: None,
    clock: Clock | None = None,
) -> Conversion:
    """Make the commits, the branch and the tag of one build in ``repo``.

    With ``prepare``, the series is first held against the real %prep, and a difference leaves
    neither branch nor tag; ``with_prep`` needs it. A build that has its tag already is returned as
    it is. ``clock`` is told how long each stage took. Raises SrcgitError of every kind.
    """
    with tempfile.TemporaryDirectory(prefix="srcgit-", dir=roomy()) as scratch:
        return _convert(request, repo, trace, prepare, progress, clock or Clock(), Path(scratch))


def _convert(
    request: Request,
    repo: Repository,
    trace: Tracer,
    prepare: Preparer | None,
    progress: Progress,
    clock: Clock,
    scratch: Path,
) -> Conversion:
    with ExitStack() as stages:
        ahead = _Ahead(request, repo, scratch, progress, clock, stages)
        with clock("plan"):
            if request.nvr and (done := find(repo, request.nvr, request.variant)):
                commit = PkgGit(request.pkg_git).resolve(request.rev)
                return _checked(done, commit, repo, request)
            planned = plan(request, trace, progress, ahead.so_far, ahead.configs)
        build = planned.build(request)
        if done := find(repo, build.nvr, build.variant):
            ahead.drop()
            return _checked(done, build.commit, repo, request)
        if start.is_final(planned.plan, request.wanted):
            # before upstream is asked for its base
            _all_told(planned.plan)
            patches = (step.patch for step in planned.plan.steps)
            planned.originals(request, scratch, progress).check(patches)
        with clock("base"):
            progress("looking for the base")
            base = ahead.start(planned, _retrace(planned, request, trace))
            planned = planned.again(base.plan)
            _all_told(planned.plan)
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
        repo.move_refs({build.failed_ref: (repo.ref(build.failed_ref), reached)})
        raise SeriesFailed(result.failure, build, record)
    verdict = None
    if prepare is not None:
        from converter.verification.prepared import commit as leave
        from converter.verification.verify import Subject
        from converter.verification.verify import verify as against_prep

        prepared: list[Prepared] = []

        def record_prep(directory: Path, verdict: Verdict) -> None:
            if verdict.verified:
                author = planned.package.commit.author
                committer = Identity(*request.committer, author.date)
                nvr = str(build.nvr)
                prepared.append(leave(repo, reached, directory, verdict, author, committer, nvr))

        with clock("verify"):
            subject = Subject(
                planned.package,
                planned.plan,
                planned.dist,
                repo,
                base.commit,
                reached,
                base,
                planned.originals(request, scratch, progress),
                everything=request.with_prep,
            )
            left = record_prep if request.with_prep else None
            verdict = against_prep(subject, prepare, progress=progress, left=left)
        if not verdict.verified:
            repo.move_refs({build.failed_ref: (repo.ref(build.failed_ref), reached)})
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
        tag = repo.write_tag(commit, build.tag, when, message)
        repo.move_refs(_moves(repo, build, base.commit, commit, tag))
        repo.point_head(build.branch_ref)
    tree = repo.commit(commit).tree
    return Conversion(build, record, commit, tree, tag, verdict, clock.seconds)


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
    _checked(done, planned.package.commit.id, repo)
    record = done.series
    with tempfile.TemporaryDirectory(prefix="srcgit-", dir=roomy()) as scratch:
        originals = planned.originals(request, Path(scratch), progress)
        retrace = _retrace(planned, request, trace)
        base = start.again(repo, planned.plan, record["base"], originals, retrace)
        planned = planned.again(base.plan)
        subject = Subject(
            planned.package,
            planned.plan,
            planned.dist,
            repo,
            base.commit,
            record["series"]["commit"],
            base,
            originals,
            everything="prep" in record,
            prepared=(record["prep"] if record["prep"]["commit"] else record["series"])["commit"]
            if "prep" in record
            else None,
        )
        return planned.nvr, against_prep(subject, prepare, progress=progress)


def _all_told(plan: Plan) -> None:
    """Raise CannotConvert for a patch that %prep applies and that no commit can stand for."""
    for left_out in plan.unrepresented:
        if left_out.applies:
            raise CannotConvert(
                f"%prep applies a patch in a way that cannot be told: {left_out.why}",
                where=left_out.command,
                next_step="apply it from its own file, with -p, on the tree of the upstream archive",
            )


def _retrace(planned: Planned, request: Request, trace: Tracer) -> Retrace:
    return lambda archives, base_files: _traced(
        trace,
        planned.package,
        planned.plan.spec,
        planned.dist,
        request.arch,
        archives,
        base_files,
    )


class _Ahead:
    """The series of a build: applied while %prep is still running, as far as that has come.

    What is wrong with an early plan is not told: it may be wrong only as long as it is not whole.
    """

    def __init__(
        self,
        request: Request,
        repo: Repository,
        scratch: Path,
        progress: Progress,
        clock: Clock,
        stages: ExitStack,
    ) -> None:
        """``stages`` is where a stage is entered that the caller leaves."""
        self._request = request
        self._repo = repo
        self._scratch = scratch
        self._progress = progress
        self._clock = clock
        self._stages = stages
        self._replay: Replay | None = None
        self._in_vain = False  # what is wrong may be lasting, such as a full disk

    def so_far(self, planned: Planned) -> None:
        tag = tag_name(planned.nvr, self._request.variant)
        done = self._repo.ref(f"refs/tags/{tag}") is not None
        upstream_only = self._request.upstreams and not planned.plan.archives[1:]
        if done or not upstream_only or self._request.archives == "whole" or self._in_vain:
            return  # nothing to do, or archives to fetch
        try:
            with self._clock("base"):
                base = self.start(planned, lambda *_: planned.plan)
                _all_told(base.plan)
            with self._clock("series"):
                self.replay(planned, base)
        except SrcgitError:
            self.drop()
            self._in_vain = True

    def configs(self, made: Mapping[bytes, bytes]) -> None:
        """Have them written while the plan is completed: they are the most of the top commit."""
        if self._replay is not None:
            self._replay.stage.begin(map(top.file, made.values()))

    def start(self, planned: Planned, retrace: Retrace) -> Start:
        """Return where the series starts."""
        request = self._request
        originals = planned.originals(request, self._scratch, self._progress)
        return start.find(
            self._repo, planned.plan, request.wanted, originals, request.committer, retrace
        )

    def replay(self, planned: Planned, base: Start) -> Replay:
        """Return the series of ``planned`` on ``base``, applied; most of it may have been before."""
        from converter.replay import Replay

        if self._replay is None or not self._replay.fits(planned, base):
            self.drop()
            originals = planned.originals(self._request, self._scratch, self._progress)
            self._replay = Replay(
                planned, base, self._request, self._repo, originals, self._progress
            )
            self._stages.enter_context(self._replay.stage)
        self._replay.go_on(planned)
        return self._replay

    def drop(self) -> None:
        """Forget what was applied."""
        if self._replay is not None:
            self._replay.stage.drop()
        self._replay = None


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


def find(repo: Repository, nvr: Nvr, variant: str = "") -> Conversion | None:
    """Return the conversion that the tag of ``nvr`` stands for, read from the tree itself."""
    tag = repo.ref(f"refs/tags/{tag_name(nvr, variant)}")
    message = repo.tag_message(tag) if tag else None
    commit = repo.commit_id(tag) if tag else None
    file = repo.tree(commit).get(top.SERIES_JSON) if commit else None
    if tag is None or commit is None or message is None or file is None:
        if tag is not None:
            raise CannotConvert(
                f"the tag {tag_name(nvr, variant)} exists and is not srcgit's",
                where=str(repo.path),
                next_step="choose another --repo; srcgit never moves a tag",
            )
        return None
    record = json.loads(file.data)
    koji_id = top.trailers(message).get("Koji-Build")
    build = Build(
        nvr,
        record["epoch"],
        record["pkg_git"]["url"],
        record["pkg_git"]["commit"],
        record["branch"],
        int(koji_id) if koji_id else None,
        variant,
    )
    return Conversion(build, record, commit, repo.commit(commit).tree, tag)


def _checked(
    done: Conversion, commit: str, repo: Repository, request: Request | None = None
) -> Conversion:
    """Return ``done``, which must have been made from pkg-git commit ``commit``, as asked for."""
    if done.build.commit != commit:
        raise CannotConvert(
            f"the tag {done.build.tag} was made from pkg-git commit {done.build.commit[:12]}, "
            f"not {commit[:12]}",
            where=str(repo.path),
            next_step="ask Koji which commit was built; a tag is never moved",
        )
    if request is not None and request.with_prep and "prep" not in done.series:
        raise WrongUsage(
            f"{done.build.tag} was converted without what %prep does besides patching",
            where=str(repo.path),
            next_step="choose another --repo; a tag is never moved",
        )
    return done


def _moves(
    repo: Repository, build: Build, base: str, commit: str, tag: str
) -> dict[str, tuple[str | None, str | None]]:
    """Return the moves of refs that publish the build in ``repo`` (name -> (old, new)).

    The branch and its ``builds/`` twin move only to a higher EVR, in whatever order builds come.
    """
    moves: dict[str, tuple[str | None, str | None]] = {build.tag_ref: (None, tag)}
    failed = repo.ref(build.failed_ref)
    if failed is not None:
        moves[build.failed_ref] = (failed, None)
    old = repo.ref(build.branch_ref)
    if old is None or evr_of(repo, old) < build.evr:
        builds = repo.ref(build.builds_ref)
        moves[build.branch_ref] = (old, commit)
        moves[build.builds_ref] = (builds, merge(repo, build, commit, builds or base))
    return moves


def _series_contract(record: dict[str, Any]) -> dict[str, Any]:
    """Return the ``series`` object of ``convert --json`` from a series.json."""
    patches = [
        {
            "patch": patch["patch"],
            "commits": patch["commits"],
            "offset": patch["applied"]["offset"],
            "fuzz": patch["applied"]["fuzz"],
        }
        for patch in record["patches"]
    ]
    return {**record["series"], "patches": patches}


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


class Clock:
    """Seconds of wall time by stage; ``told`` hears of each stage as it ends, well or not."""

    def __init__(self, told: Callable[[str, float], None] = lambda stage, seconds: None) -> None:
        self.seconds: dict[str, float] = {}
        self._told = told
        self._inside: list[float] = []  # of each stage at work: what others took within it

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what takes place in the context, except for what is a stage by itself."""
        start = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - start
            own = took - self._inside.pop()
            self.seconds[stage] = self.seconds.get(stage, 0.0) + own
            if self._inside:
                self._inside[-1] += took
            else:
                self._told(stage, self.seconds[stage])


def warnings(planned: Planned, found: Found | str) -> list[str]:
    """Return what a person should look at; ``found`` is what ``at_hand`` told.

    Not all of it is of the build: what is at hand here does not belong into series.json.
    """
    made = planned.plan
    told = [*made.warnings]
    told += [f"nothing in %prep reads the patch {text(patch)}" for patch in made.unread]
    if isinstance(found, str):
        told += [found] if found else []
        looks = [text(path) for path in made.looks if path[:1] != b"."]
        if made.unread and looks:
            names = ", ".join(looks[:20])
            told.append(f"%prep looks at files of upstream, which is not at hand: {names}")
    return told


def plan_json(planned: Planned, found: Found | str = "") -> dict[str, Any]:
    """Return the contract's ``plan --json``; ``found`` is what ``at_hand`` told."""
    nvr, made = planned.nvr, planned.plan
    base = found.base if isinstance(found, Found) else made.base
    resolved = (
        {"commit": found.commit, "upstream": found.location, "template": found.template or None}
        if isinstance(found, Found)
        else {}
    )
    return {
        "nvr": str(nvr),
        "name": nvr.name,
        "version": nvr.version,
        "release": nvr.release,
        "pkg_git": {"url": planned.pkg_git.url, "commit": planned.package.commit.id},
        "spec": text(made.spec),
        "arch": made.arch,
        "base": {
            "kind": base.kind,
            "rev": base.rev,
            "how": base.how,
            "versions": list(base.versions),
            "names": list(base.names),
            "guess": base.guess,
            **resolved,
        },
        "archives": [
            {"archive": text(a.file), "top": text(a.top), "directory": text(a.directory)}
            for a in made.archives
        ],
        "base_patches": [text(patch) for patch in made.base_patches],
        "steps": [top.step_json(step) for step in made.steps],
        "skipped": [{"patch": text(s.patch), "why": s.why} for s in made.skipped],
        "unrepresented": [
            {"command": u.command, "why": u.why, "applies": u.applies} for u in made.unrepresented
        ],
        "warnings": warnings(planned, found),
    }
