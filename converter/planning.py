"""What %prep would apply, and on which base: pkg-git at a commit becomes a plan, without upstream."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converter import start, top, upstream
from converter.archives.originals import Originals
from converter.build import Build, Nvr
from converter.clock import Progress
from converter.errors import (
    BaseMissing,
    BaseUnknown,
    CannotConvert,
    NoSandbox,
    SpecDoesNotParse,
    WrongUsage,
    on_this_machine,
)
from converter.objects import Entry
from converter.odb import GitTree
from converter.pkggit import History, Package, PkgGit
from converter.request import Request
from converter.start import Retrace
from converter.text import text
from converter.upstream import Found
from specparse.plan import Header, Meanwhile, Plan, Reader, SandboxError, SpecError, Tracer


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


@on_this_machine()
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
    Raises CannotConvert (PkgGitInvalid, SpecDoesNotParse, another NVR), NoSandbox, WrongUsage, and
    what a Mirror raises.
    """
    pkg_git, package, spec, dist = _found(request)
    progress(f"reading {text(spec)}")
    # Both go on beside what follows.
    history = None if request.loose else package.history(spec)
    if not request.branch:
        pkg_git.look_ahead(package.commit.id)

    def planned(made: Plan, *, whole: bool) -> Planned:
        nvr, doubts = _nvr(request.nvr, made, spec, package)
        made = replace(made, warnings=(*made.warnings, *doubts))
        patches = _patches(package, made)
        known = history and (history.only(patches) if whole else history.of_all(patches))
        return Planned(nvr, dist, made, pkg_git, package, known, request.told_by)

    made = _traced(
        *(trace, package, spec, dist, request.arch),
        meanwhile=Meanwhile(
            _import_series, lambda made: so_far(planned(made, whole=False)), configs
        ),
    )
    return planned(made, whole=True)


@on_this_machine()
def named(request: Request, read: Reader) -> tuple[Nvr, tuple[str, ...]]:
    """Return what a commit's spec calls its build, and doubts of it; %prep is not run.

    Raises CannotConvert (PkgGitInvalid, SpecDoesNotParse, another NVR), NoSandbox, WrongUsage, and
    what a Mirror raises.
    """
    _, package, spec, dist = _found(request)
    with _errors(package, spec):
        header = read(
            lambda directory: package.export(directory, spec), spec, dist=dist, arch=request.arch
        )
    return _nvr(request.nvr, header, spec, package)


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
    retrace = retracer(planned, request, trace)
    return planned.again(start.seeing(planned.plan, base, lambda files: retrace({}, files)))


def retracer(planned: Planned, request: Request, trace: Tracer) -> Retrace:
    """Return what traces the same package again, with what became known of archives and the base."""
    return lambda archives, base_files: _traced(
        trace, planned.package, planned.plan.spec, planned.dist, request.arch, archives, base_files
    )


def all_told(plan: Plan) -> None:
    """Raise CannotConvert for a patch that %prep applies and that no commit can stand for."""
    for left_out in plan.unrepresented:
        if left_out.applies:
            raise CannotConvert(
                f"%prep applies a patch in a way that cannot be told: {left_out.why}",
                where=left_out.command,
                next_step="apply it from its own file, with -p, on the tree of the upstream archive",
            )


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
    """In the block the port's errors become ours: SpecDoesNotParse, NoSandbox."""
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


def _found(request: Request) -> tuple[PkgGit, Package, bytes, str]:
    """Return pkg-git, the package at the commit that is asked for, its spec and its dist tag."""
    pkg_git = PkgGit(request.pkg_git)
    commit = pkg_git.resolve(request.rev)
    package = pkg_git.at(commit)
    spec = request.spec or package.spec(request.nvr.name if request.nvr else None)
    dist = request.dist
    if dist is None:  # "" is an answer: a quilt queue is for no release
        dist = (request.nvr and request.nvr.dist) or pkg_git.dist_of(commit, request.branch)
    return pkg_git, package, spec, dist


def _patches(package: Package, plan: Plan) -> dict[bytes, Entry]:
    """Return the files of pkg-git that ``plan`` applies."""
    entries = {step.patch: package.entry(step.patch) for step in plan.steps}
    return {patch: entry for patch, entry in entries.items() if entry}


# rpmautospec counts the release when a package is built, forgemeta puts a snapshot's date into it.
_COUNTED = re.compile(
    rb"^Release\s*:.*%\{?\??autorelease|^[^\S\n]*%\{?\??(?:forgemeta|gometa)\b", re.MULTILINE
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
        try:
            return Nvr.parse(told), (doubt,) if guessed else ()
        except WrongUsage as error:  # not by who asked: rpm takes more for a version than Koji does
            raise SpecDoesNotParse(
                f"the spec builds what is no name-version-release: {told!r}",
                where=f"{package.url}#{package.commit.id[:12]} {text(path)}",
                next_step="look at its Name, Version and Release",
            ) from error
    if counted:
        told = f"{made.name}-{made.version}-{asked.release}"
    if told != str(asked):
        raise CannotConvert(
            f"this commit builds {told}, not {asked}",
            where=package.commit.id,
            next_step="give the commit that Koji names for the build",
        )
    return asked, ()


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
            {
                "archive": text(a.file),
                "top": text(a.top),
                "directory": text(a.directory),
                **({"beside": text(a.beside)} if a.beside else {}),
            }
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
